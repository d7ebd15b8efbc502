//! Whether the database has the extension, which one, and whether somebody is changing it.

use pgrx::prelude::*;

use super::transaction;

/// What a look at the database finds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Extension {
    Absent,
    /// Somebody is dropping or altering it right now.
    Locked,
    /// The outbox's OID tells one installation from the next.
    Usable(pg_sys::Oid),
}

pub(super) fn look_for_extension() -> Result<Extension, String> {
    transaction::run(|| {
        let outbox = Spi::get_one::<pg_sys::Oid>(
            "select c.oid from pg_catalog.pg_extension e
             join pg_catalog.pg_class c on c.relname = 'outbox' and c.relnamespace = pg_catalog.to_regnamespace('marketing_automation_internal')
             where e.extname = 'marketing_automation'",
        );
        match outbox {
            Err(spi::Error::InvalidPosition) | Ok(None) => Ok(Extension::Absent),
            Err(error) => Err(error),
            Ok(Some(outbox)) => {
                // SAFETY: a lock that the end of the transaction gives back. A session that drops or alters the extension holds a
                // stronger one, and must not wait for us nor we for them.
                let free = unsafe {
                    pg_sys::ConditionalLockRelationOid(
                        outbox,
                        pg_sys::AccessShareLock as pg_sys::LOCKMODE,
                    )
                };
                Ok(if free {
                    Extension::Usable(outbox)
                } else {
                    Extension::Locked
                })
            }
        }
    })
}
