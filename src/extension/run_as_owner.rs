//! Runs user SQL as its owner: the one place where expressions that users wrote are executed.
//!
//! It does as REFRESH MATERIALIZED VIEW does: the SQL runs under the owner's user id, in a security-restricted operation
//! (CVE-2020-25695, CVE-2022-1552: no SET ROLE, no temporary objects left behind), and with pinned settings. In addition it runs
//! read-only, so that not even a function that the expression calls can write. The result is complete, in a tuplestore, before
//! the extension's own statement reads its first row.

mod calls;
mod code;
mod role;

use std::ffi::{CStr, CString};

use pgrx::prelude::*;

use super::{settings, time_limit, time_zone};

// executor/tstoreReceiver.h, which pgrx does not bind. It only assigns, so that no error needs a guard.
unsafe extern "C-unwind" {
    fn SetTuplestoreDestReceiverParams(
        receiver: *mut pg_sys::DestReceiver,
        store: *mut pg_sys::Tuplestorestate,
        context: pg_sys::MemoryContext,
        detoast: bool,
        target: pg_sys::TupleDesc,
        map_failure_message: *const std::ffi::c_char,
    );
}

/// What user SQL runs under, whatever the calling session has set: rows must have the same text form, and operators the
/// same meaning, for everybody. `search_path` as PostgreSQL 17 sets it for maintenance commands: another schema would let
/// whoever may create in it capture operators.
const SETTINGS: [(&CStr, &CStr); 10] = [
    (c"search_path", c"pg_catalog, pg_temp"),
    (c"row_security", c"on"),
    (c"datestyle", c"ISO, MDY"),
    (c"intervalstyle", c"postgres"),
    (c"extra_float_digits", c"1"),
    (c"bytea_output", c"hex"),
    (c"lc_monetary", c"C"),
    (c"lc_numeric", c"C"),
    (c"standard_conforming_strings", c"on"),
    (c"transform_null_equals", c"off"),
];

/// Prepares this process for user SQL.
pub(super) fn init() {
    calls::init();
}

/// What runs as its owner.
#[derive(Clone, Copy)]
pub(in crate::extension) struct Query<'a> {
    pub(in crate::extension) text: &'a CStr,
    /// It has the parameter $1, keys (text[]).
    pub(in crate::extension) keys: bool,
}

/// Runs `body`, which executes `query`, with the rights of `owner` on `relation` (see [`role::running_roles`]), under [`SETTINGS`],
/// read-only, and within the limits of time ([`time_limit`]) and of waiting for locks. The first of these roles runs it to whose
/// rights nobody else's code would come (see [`code`]).
///
/// Read-only means what it does for a transaction: notifications and advisory locks pass, large objects too on PostgreSQL
/// 15. The variable behind `transaction_read_only` is set directly, since PostgreSQL 16 refuses that setting at any
/// nest level but the transaction's. Nothing that the query calls can switch it off: PostgreSQL refuses that once there
/// is a snapshot. An ERROR inside leaves through here: the abort of the (sub)transaction restores user, settings and
/// this variable, as everywhere in PostgreSQL (AbortSubTransaction, StartTransaction).
pub(in crate::extension) fn as_owner<R>(
    owner: pg_sys::Oid,
    relation: pg_sys::Oid,
    query: Query<'_>,
    body: impl FnOnce() -> R,
) -> R {
    role::require_role(owner);
    role::require_membership(owner);
    let roles = role::running_roles(owner, relation);
    let time_zone = time_zone::of_database();
    // SAFETY: the sequence of RefreshMatViewByOid in matview.c, on the main thread; what is set is restored below or by
    // the abort.
    unsafe {
        let mut user = pg_sys::InvalidOid;
        let mut context = 0;
        pg_sys::GetUserIdAndSecContext(&mut user, &mut context);
        let read_only = pg_sys::XactReadOnly;
        let nest_level = pg_sys::NewGUCNestLevel();
        for (name, value) in SETTINGS {
            set_local(name, value);
        }
        set_local(c"timezone", &time_zone);
        set_lock_timeout();
        // The extension's own statements may have set it for themselves.
        let planner = c"enable_nestloop";
        let value = pg_sys::GetConfigOptionResetString(planner.as_ptr());
        set_local(planner, CStr::from_ptr(value));
        pg_sys::XactReadOnly = true;
        let restricted = context
            | pg_sys::SECURITY_LOCAL_USERID_CHANGE as i32
            | pg_sys::SECURITY_RESTRICTED_OPERATION as i32
            | calls::USER_SQL;
        let mut refusal = None;
        for role in roles {
            pg_sys::SetUserIdAndSecContext(role, restricted);
            let foreign = code::foreign_code(query.text, query.keys, role);
            match (foreign, refusal.take()) {
                (None, _) => break,
                // Of the owner's own rights, if of any.
                (Some(foreign), before) => refusal = before.or(Some((foreign, role))),
            }
        }
        if let Some((foreign, role)) = refusal {
            foreign.refuse(role);
        }
        let result = time_limit::limited(body);
        pg_sys::AtEOXact_GUC(false, nest_level);
        // After the settings: one of them may be transaction_read_only, set to on by a function of the query.
        pg_sys::XactReadOnly = read_only;
        pg_sys::SetUserIdAndSecContext(user, context);
        result
    }
}

/// Sets a setting until the current nest level ends.
///
/// # Safety
/// Within a transaction, after `NewGUCNestLevel`.
unsafe fn set_local(name: &CStr, value: &CStr) {
    // SAFETY: two C strings; errors are raised.
    unsafe {
        pg_sys::set_config_option(
            name.as_ptr(),
            value.as_ptr(),
            pg_sys::GucContext::PGC_SUSET,
            pg_sys::GucSource::PGC_S_SESSION,
            pg_sys::GucAction::GUC_ACTION_SAVE,
            true,
            0,
            false,
        );
    }
}

/// Bounds how long the query waits for a lock, until the current nest level ends.
///
/// # Safety
/// Within a transaction, after `NewGUCNestLevel`.
unsafe fn set_lock_timeout() {
    // SAFETY: a plain variable.
    let of_caller = unsafe { pg_sys::LockTimeout };
    let own = settings::expression_lock_timeout();
    if own > 0
        && (of_caller == 0 || own < of_caller)
        && let Ok(value) = CString::new(own.to_string())
    {
        // SAFETY: as the caller's.
        unsafe { set_local(c"lock_timeout", &value) };
    }
}

/// Runs one query through SPI, read-only; rows go to `receiver`, where there is one.
///
/// # Safety
/// `receiver` is null or a valid receiver, `parameters` null or a list.
unsafe fn execute(
    query: &CStr,
    parameters: pg_sys::ParamListInfo,
    receiver: *mut pg_sys::DestReceiver,
) {
    // SAFETY: the documented use of SPI; errors are raised and clean up by the abort.
    unsafe {
        pg_sys::SPI_connect();
        let options = pg_sys::SPIExecuteOptions {
            params: parameters,
            read_only: true,
            must_return_tuples: !receiver.is_null(),
            dest: receiver,
            ..Default::default()
        };
        let status = pg_sys::SPI_execute_extended(query.as_ptr(), &options);
        if status < 0 {
            pgrx::error!("SPI_execute_extended failed: {status}");
        }
        pg_sys::SPI_finish();
    }
}

/// The list of one parameter, `keys` (text[]), as $1.
fn keys_parameter(keys: Option<pg_sys::Datum>) -> pg_sys::ParamListInfo {
    // SAFETY: makes a list of one and fills it.
    unsafe {
        let parameters = pg_sys::makeParamList(1);
        let parameter = (*parameters).params.as_mut_ptr();
        (*parameter).value = keys.unwrap_or(pg_sys::Datum::from(0));
        (*parameter).isnull = keys.is_none();
        (*parameter).pflags = pg_sys::PARAM_FLAG_CONST as u16;
        (*parameter).ptype = pg_sys::TEXTARRAYOID;
        parameters
    }
}

/// Plans `query` as its owner and checks its rights without evaluating a row, and raises what is wrong with it.
/// Only with `keys` does it have a parameter: an expression by itself has none.
pub(in crate::extension) fn plan(
    owner: pg_sys::Oid,
    relation: pg_sys::Oid,
    query: &str,
    keys: bool,
) {
    // A limit of 0 starts the executor, which checks the rights, and fetches nothing.
    let Ok(probe) = CString::new(format!("{query} limit 0")) else {
        pgrx::error!("query contains a null byte");
    };
    let query = Query { text: &probe, keys };
    // SAFETY: no receiver.
    as_owner(owner, relation, query, || unsafe {
        let parameters = if keys {
            // Of a known type, though empty.
            keys_parameter(Some(pg_sys::Datum::from(pg_sys::construct_empty_array(
                pg_sys::TEXTOID,
            ))))
        } else {
            std::ptr::null_mut()
        };
        execute(&probe, parameters, std::ptr::null_mut());
    });
}

/// Tells PostgreSQL the calling convention of [`query_as_owner`], as `PG_FUNCTION_INFO_V1` does in C.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn pg_finfo_query_as_owner() -> &'static pg_sys::Pg_finfo_record {
    &pg_sys::Pg_finfo_record { api_version: 1 }
}

/// Runs `query` as `owner` and returns its rows, for the extension's own statements to read from.
///
/// # Safety
/// Called by PostgreSQL.
#[pg_guard]
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn query_as_owner(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    // SAFETY: as the caller's.
    unsafe { return_rows(fcinfo) }
}

/// A materialising function over (owner, relation, query, keys): rows go from the executor into the tuplestore without passing
/// through Rust.
///
/// # Safety
/// With the call that PostgreSQL made.
unsafe fn return_rows(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    // SAFETY: a materialising set-returning function as in PostgreSQL's documentation (38.10.9).
    unsafe {
        let call = &mut *fcinfo;
        let arguments = call.args.as_slice(4);
        let result = call.resultinfo.cast::<pg_sys::ReturnSetInfo>();
        if result.is_null()
            || ((*result).allowedModes & pg_sys::SetFunctionReturnMode::SFRM_Materialize as i32)
                == 0
        {
            pgrx::error!("query_as_owner must be called in FROM");
        }
        if arguments[..3].iter().any(|argument| argument.isnull) {
            pgrx::error!("owner, relation and query of query_as_owner must not be null");
        }
        let owner = pg_sys::Oid::from(arguments[0].value.value() as u32);
        let relation = pg_sys::Oid::from(arguments[1].value.value() as u32);
        let query = CStr::from_ptr(pg_sys::text_to_cstring(arguments[2].value.cast_mut_ptr()));
        let keys = (!arguments[3].isnull).then_some(arguments[3].value);

        let per_query = (*(*result).econtext).ecxt_per_query_memory;
        let caller = pg_sys::MemoryContextSwitchTo(per_query);
        let random_access = ((*result).allowedModes
            & pg_sys::SetFunctionReturnMode::SFRM_Materialize_Random as i32)
            != 0;
        let store = pg_sys::tuplestore_begin_heap(random_access, false, pg_sys::work_mem);
        let description = pg_sys::CreateTupleDescCopy((*result).expectedDesc);
        pg_sys::MemoryContextSwitchTo(caller);
        let receiver = pg_sys::CreateDestReceiver(pg_sys::CommandDest::DestTuplestore);
        SetTuplestoreDestReceiverParams(
            receiver,
            store,
            per_query,
            false,
            description,
            c"query_as_owner: unexpected type of row".as_ptr(),
        );

        let text = query;
        as_owner(owner, relation, Query { text, keys: true }, || {
            execute(text, keys_parameter(keys), receiver)
        });

        (*result).returnMode = pg_sys::SetFunctionReturnMode::SFRM_Materialize;
        (*result).setResult = store;
        (*result).setDesc = description;
        call.isnull = true;
        pg_sys::Datum::from(0)
    }
}

/// How many rows the planner expects of `query`, planned as its owner; it has no parameter.
#[pg_extern(sql = false)]
fn expected_rows(owner: pg_sys::Oid, relation: pg_sys::Oid, query: &str) -> f64 {
    let Ok(query) = CString::new(query) else {
        pgrx::error!("query contains a null byte");
    };
    let checked = Query {
        text: &query,
        keys: false,
    };
    // SAFETY: the documented use of SPI and of its cached plan; errors are raised and clean up by the abort.
    as_owner(owner, relation, checked, || unsafe {
        pg_sys::SPI_connect();
        let plan = pg_sys::SPI_prepare(query.as_ptr(), 0, std::ptr::null_mut());
        if plan.is_null() {
            pgrx::error!("SPI_prepare failed");
        }
        let cached = pg_sys::SPI_plan_get_cached_plan(plan);
        let rows = if cached.is_null() {
            0.0
        } else {
            let statement = pg_sys::list_nth((*cached).stmt_list, 0).cast::<pg_sys::PlannedStmt>();
            let rows = (*(*statement).planTree).plan_rows;
            // Of a plan that is not saved, no resource owner holds it.
            pg_sys::ReleaseCachedPlan(cached, std::ptr::null_mut());
            rows
        };
        pg_sys::SPI_finish();
        rows
    })
}

/// Plans `query` as `owner`; an error says why it would not run.
#[pg_extern(sql = false)]
fn plan_as_owner(owner: pg_sys::Oid, relation: pg_sys::Oid, query: &str) {
    plan(owner, relation, query, true);
}

#[cfg(any(test, feature = "pg_test"))]
#[pg_schema]
mod tests {
    use super::*;

    const STATE: &str = "select current_user || ' ' || current_setting('search_path') || ' ' || current_setting('transaction_read_only')";

    fn set_up() {
        Spi::run(
            "create role test_owner;
             create schema test_shop;
             create table test_shop.t (id integer);
             insert into test_shop.t values (1);
             grant usage on schema test_shop to test_owner;
             grant select on test_shop.t to test_owner",
        )
        .expect("set up");
    }

    fn query_as_owner(query: &str) -> Result<Option<String>, spi::Error> {
        Spi::get_one_with_args::<String>(
            "select q.x from marketing_automation_internal.query_as_owner('test_owner', 'test_shop.t', $1, null) as q (x text)",
            &[query.into()],
        )
    }

    #[pg_test]
    fn the_query_runs_as_owner_and_everything_is_as_before_afterwards() {
        set_up();
        let before = Spi::get_one::<String>(STATE);
        let inside = query_as_owner(STATE);
        assert_eq!(
            inside,
            Ok(Some("test_owner pg_catalog, pg_temp on".to_owned()))
        );
        assert_eq!(Spi::get_one::<String>(STATE), before);
    }

    #[pg_test]
    fn everything_is_as_before_after_an_error_too() {
        set_up();
        Spi::run(
            "do $$
             declare before text := current_user || current_setting('search_path') || current_setting('transaction_read_only');
             begin
                 begin
                     perform from marketing_automation_internal.query_as_owner('test_owner', 'test_shop.t', 'select 1 / (id - 1) from test_shop.t', null) as q (x integer);
                     raise exception 'no error';
                 exception when division_by_zero then null;
                 end;
                 if before <> current_user || current_setting('search_path') || current_setting('transaction_read_only') then
                     raise exception 'something was left behind';
                 end if;
             end $$",
        )
        .expect("state restored");
    }

    #[pg_test(error = "query_as_owner: unexpected type of row")]
    fn a_row_of_another_type_is_refused() {
        set_up();
        query_as_owner("select 1").expect("unreachable");
    }

    #[pg_test(error = "SELECT is not allowed in a non-volatile function")]
    fn the_query_cannot_write() {
        set_up();
        query_as_owner("with d as (delete from test_shop.t returning id) select id::text from d")
            .expect("unreachable");
    }

    /// Makes `test_shop.write()` of `body`, which a query of the owner may call.
    fn set_up_function(body: &str) {
        set_up();
        Spi::run(&format!(
            "grant insert on test_shop.t to test_owner;
             create function test_shop.write() returns text language plpgsql as $f$ begin {body} return 'written'; end $f$"
        ))
        .expect("set up function");
    }

    #[pg_test(error = "cannot execute INSERT in a read-only transaction")]
    fn a_function_that_the_query_calls_cannot_write() {
        set_up_function("insert into test_shop.t values (2);");
        query_as_owner("select test_shop.write()").expect("unreachable");
    }

    #[pg_test(error = "cannot execute INSERT in a read-only transaction")]
    fn nor_after_an_error_that_it_caught() {
        set_up_function(
            "begin perform 1 / 0; exception when division_by_zero then null; end;
             insert into test_shop.t values (2);",
        );
        query_as_owner("select test_shop.write()").expect("unreachable");
    }

    #[pg_test(error = "transaction read-write mode must be set before any query")]
    fn nor_make_the_transaction_writable() {
        set_up_function(
            "perform set_config('transaction_read_only', 'off', true);
             insert into test_shop.t values (2);",
        );
        query_as_owner("select test_shop.write()").expect("unreachable");
    }

    #[pg_test]
    fn the_caller_may_write_again_afterwards_and_after_a_write_that_was_refused() {
        set_up_function("insert into test_shop.t values (2);");
        query_as_owner("select set_config('transaction_read_only', 'on', false)").expect("query");
        Spi::run("insert into test_shop.t values (3)").expect("writable after a query");
        Spi::run(
            "do $$ begin
                 begin
                     perform from marketing_automation_internal.query_as_owner('test_owner', 'test_shop.t', 'select test_shop.write()', null) as q (x text);
                     raise exception 'no error';
                 exception when read_only_sql_transaction then
                     insert into test_shop.t values (4);
                 end;
                 insert into test_shop.t values (5);
             end $$",
        )
        .expect("writable after an error");
        assert_eq!(
            Spi::get_one::<String>("select string_agg(id::text, ' ' order by id) from test_shop.t"),
            Ok(Some("1 3 4 5".to_owned()))
        );
    }
}
