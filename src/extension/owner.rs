//! Runs user SQL as its owner: the one place where expressions that users wrote are executed.
//!
//! As REFRESH MATERIALIZED VIEW does: the owner's user id, a security-restricted operation (CVE-2020-25695,
//! CVE-2022-1552: no SET ROLE, no temporary objects left behind), a pinned `search_path`; and in addition read-only,
//! so that not even a function that the expression calls can write. The result is complete, in a tuplestore, before
//! the extension's own statement reads its first row.

use std::ffi::{CStr, CString};

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

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

/// Runs `body` with the rights of `owner`, read-only, with `search_path` = pg_catalog, the schema of `relation`, pg_temp.
///
/// An ERROR inside leaves through here: the abort of the (sub)transaction restores user and settings, as everywhere in PostgreSQL.
pub(super) fn as_owner<R>(
    owner: pg_sys::Oid,
    relation: pg_sys::Oid,
    body: impl FnOnce() -> R,
) -> R {
    let search_path = search_path(relation);
    require_role(owner);
    // SAFETY: the documented sequence (see refresh_by_match_merge callers in matview.c), on the main thread; what is
    // set is restored below or by the abort.
    unsafe {
        let mut user = pg_sys::InvalidOid;
        let mut context = 0;
        pg_sys::GetUserIdAndSecContext(&mut user, &mut context);
        let nest_level = pg_sys::NewGUCNestLevel();
        set_local(c"search_path", &search_path);
        set_local(c"row_security", c"on");
        set_local(c"transaction_read_only", c"on");
        pg_sys::SetUserIdAndSecContext(
            owner,
            context
                | pg_sys::SECURITY_LOCAL_USERID_CHANGE as i32
                | pg_sys::SECURITY_RESTRICTED_OPERATION as i32,
        );
        let result = body();
        pg_sys::AtEOXact_GUC(false, nest_level);
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

fn require_role(role: pg_sys::Oid) {
    // SAFETY: a syscache look-up.
    let exists = unsafe {
        pg_sys::SearchSysCacheExists(
            pg_sys::SysCacheIdentifier::AUTHOID as i32,
            role.into(),
            0.into(),
            0.into(),
            0.into(),
        )
    };
    if !exists {
        ErrorReport::new(
            PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
            format!("owner role with OID {} does not exist", role.to_u32()),
            "as_owner",
        )
        .set_hint("The role was dropped: give the scenario or model another owner.")
        .report(PgLogLevel::ERROR);
    }
}

/// pg_catalog, the schema of the relation, pg_temp: what an expression sees without qualifying names.
fn search_path(relation: pg_sys::Oid) -> CString {
    // SAFETY: syscache look-ups; the strings are copied.
    unsafe {
        let namespace = pg_sys::get_rel_namespace(relation);
        let name = if namespace == pg_sys::InvalidOid {
            std::ptr::null_mut()
        } else {
            pg_sys::get_namespace_name(namespace)
        };
        if name.is_null() {
            ErrorReport::new(
                PgSqlErrorCode::ERRCODE_UNDEFINED_TABLE,
                format!("relation with OID {} does not exist", relation.to_u32()),
                "as_owner",
            )
            .set_hint(
                "The relation of the model was dropped: register the model again on another one.",
            )
            .report(PgLogLevel::ERROR);
        }
        let quoted = CStr::from_ptr(pg_sys::quote_identifier(name)).to_bytes();
        let path = [b"pg_catalog, ".as_slice(), quoted, b", pg_temp"].concat();
        CString::new(path).unwrap_or_else(|_| c"pg_catalog, pg_temp".to_owned())
    }
}

/// Runs one query through SPI, read-only, with `keys` (text[]) as $1; rows go to `receiver`, where there is one.
///
/// # Safety
/// `receiver` is null or a valid receiver.
unsafe fn execute(query: &CStr, keys: Option<pg_sys::Datum>, receiver: *mut pg_sys::DestReceiver) {
    // SAFETY: the documented use of SPI; errors are raised and clean up by the abort.
    unsafe {
        pg_sys::SPI_connect();
        let parameters = pg_sys::makeParamList(1);
        let parameter = (*parameters).params.as_mut_ptr();
        (*parameter).value = keys.unwrap_or(pg_sys::Datum::from(0));
        (*parameter).isnull = keys.is_none();
        (*parameter).pflags = pg_sys::PARAM_FLAG_CONST as u16;
        (*parameter).ptype = pg_sys::TEXTARRAYOID;
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

/// Plans `query` as its owner and checks its rights without evaluating a row, and raises what is wrong with it.
pub(super) fn plan(owner: pg_sys::Oid, relation: pg_sys::Oid, query: &str) {
    // A limit of 0 starts the executor, which checks the rights, and fetches nothing.
    let Ok(probe) = CString::new(format!("{query} limit 0")) else {
        pgrx::error!("query contains a null byte");
    };
    // SAFETY: no receiver. The empty array gives $1 a type.
    as_owner(owner, relation, || unsafe {
        execute(
            &probe,
            Some(pg_sys::Datum::from(pg_sys::construct_empty_array(
                pg_sys::TEXTOID,
            ))),
            std::ptr::null_mut(),
        );
    });
}

extension_sql!(
    r#"
create function marketing_automation.query_as_owner(owner regrole, relation regclass, query text, keys text[]) returns setof record
language c volatile parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', 'query_as_owner';
comment on function marketing_automation.query_as_owner(regrole, regclass, text, text[]) is
    'API: private. Runs one query, $1 = keys, with the rights of owner, read-only, search_path = pg_catalog and the schema of relation; the only place where user SQL runs';
"#,
    name = "query_as_owner",
    requires = ["schema"]
);

/// Tells PostgreSQL the calling convention of [`query_as_owner`], as `PG_FUNCTION_INFO_V1` does in C.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn pg_finfo_query_as_owner() -> &'static pg_sys::Pg_finfo_record {
    &pg_sys::Pg_finfo_record { api_version: 1 }
}

/// Runs `query` as `owner` and returns its rows, for the extension's own statements to read from.
///
/// A raw function: rows go from the executor into the tuplestore without passing through Rust.
///
/// # Safety
/// Called by PostgreSQL.
#[pg_guard]
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn query_as_owner(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
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

        as_owner(owner, relation, || execute(query, keys, receiver));

        (*result).returnMode = pg_sys::SetFunctionReturnMode::SFRM_Materialize;
        (*result).setResult = store;
        (*result).setDesc = description;
        call.isnull = true;
        pg_sys::Datum::from(0)
    }
}

#[pg_schema]
mod marketing_automation {
    use super::*;

    /// Plans `query` as `owner`; an error says why it would not run.
    #[pg_extern(sql = r#"
create function marketing_automation.plan_as_owner(owner regrole, relation regclass, query text) returns void
language c strict volatile parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function marketing_automation.plan_as_owner(regrole, regclass, text) is
    'API: private. Plans a query as its owner without running it: an error says why it would not run';
"#)]
    fn plan_as_owner(owner: pg_sys::Oid, relation: pg_sys::Oid, query: &str) {
        plan(owner, relation, query);
    }
}
