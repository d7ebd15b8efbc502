//! The database's time zone, whatever the calling session has set: delays and expressions mean the same for everybody.

use std::cell::RefCell;
use std::ffi::{CStr, CString};
use std::time::{Duration, Instant};

use pgrx::prelude::*;

/// So long a session may count with the zone that the database had.
const FRESH: Duration = Duration::from_secs(10);

thread_local! {
    static KNOWN: RefCell<Option<(Instant, CString)>> = const { RefCell::new(None) };
}

/// What `alter database … set` says, what the server's files say, and GMT, as PostgreSQL does without either. A client's setting and
/// a role's are not asked: pg_settings has no other once there is one.
const OF_DATABASE: &str = "select substr(c.setting, 10)
    from pg_catalog.pg_db_role_setting s cross join lateral pg_catalog.unnest(s.setconfig) as c (setting)
    where s.setrole operator(pg_catalog.=) 0 and c.setting operator(pg_catalog.~~*) 'timezone=%'
      and s.setdatabase operator(pg_catalog.=) (
          select d.oid from pg_catalog.pg_database d where d.datname operator(pg_catalog.=) pg_catalog.current_database())
    limit 1";
const MAY_READ_FILES: &str =
    "select pg_catalog.has_function_privilege('pg_catalog.pg_show_all_file_settings()', 'execute')
        and pg_catalog.has_table_privilege('pg_catalog.pg_file_settings', 'select')";
const OF_FILES: &str = "select f.setting from pg_catalog.pg_file_settings f
    where pg_catalog.lower(f.name) operator(pg_catalog.=) 'timezone' and f.error is null
    order by f.seqno desc limit 1";

/// The one value of a query that only reads. Not by `Spi::get_one`, which assigns a transaction id, and a standby has none to give.
fn value<T: FromDatum + IntoDatum>(query: &str) -> Option<T> {
    Spi::connect(|client| client.select(query, Some(1), &[])?.first().get_one())
        .ok()
        .flatten()
}

fn look_up() -> CString {
    let of_files = || {
        value::<bool>(MAY_READ_FILES)
            .filter(|may| *may)
            .and_then(|_| value::<String>(OF_FILES))
    };
    value::<String>(OF_DATABASE)
        .or_else(of_files)
        .and_then(|name| CString::new(name).ok())
        .filter(|name| is_known(name))
        .unwrap_or_else(|| c"GMT".to_owned())
}

/// The time zone of the database.
pub(super) fn of_database() -> CString {
    let known = KNOWN.with_borrow(|known| {
        known
            .as_ref()
            .filter(|(since, _)| since.elapsed() < FRESH)
            .map(|(_, name)| name.clone())
    });
    known.unwrap_or_else(|| {
        let name = look_up();
        KNOWN.set(Some((Instant::now(), name.clone())));
        name
    })
}

/// Whether PostgreSQL knows a time zone of this name.
pub(super) fn is_known(name: &CStr) -> bool {
    // SAFETY: a C string on the main thread; the zone is kept in PostgreSQL's cache.
    !name.is_empty() && unsafe { !pg_sys::pg_tzset(name.as_ptr()).is_null() }
}
