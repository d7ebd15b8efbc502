//! Runs whole queries as their owner, for SQL of the extension: into a tuplestore, or only planned.

use std::ffi::{CStr, CString};

use pgrx::prelude::*;

use super::walk::list_length;
use super::{Query, as_owner};

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

/// The parameters `keys` (text[]), as $1, and `results` (jsonb), as $2.
fn parameters(
    keys: Option<pg_sys::Datum>,
    results: Option<pg_sys::Datum>,
) -> pg_sys::ParamListInfo {
    let values = [(keys, pg_sys::TEXTARRAYOID), (results, pg_sys::JSONBOID)];
    // SAFETY: makes a list of two and fills it.
    unsafe {
        let list = pg_sys::makeParamList(2);
        let first = (*list).params.as_mut_ptr();
        for (at, (value, of_type)) in values.into_iter().enumerate() {
            let parameter = first.add(at);
            (*parameter).value = value.unwrap_or(pg_sys::Datum::from(0));
            (*parameter).isnull = value.is_none();
            (*parameter).pflags = pg_sys::PARAM_FLAG_CONST as u16;
            (*parameter).ptype = of_type;
        }
        list
    }
}

/// Plans `query` as its owner and checks its rights without evaluating a row, and raises what is wrong with it.
/// Only with `keys` does it have parameters: an expression by itself has none.
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
    let query = Query {
        text: &probe,
        keys,
        writes: false,
    };
    // SAFETY: no receiver.
    as_owner(owner, relation, query, || unsafe {
        let list = if keys {
            // Of a known type, though empty.
            let empty = pg_sys::construct_empty_array(pg_sys::TEXTOID);
            parameters(Some(pg_sys::Datum::from(empty)), None)
        } else {
            std::ptr::null_mut()
        };
        execute(&probe, list, std::ptr::null_mut());
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
    unsafe { return_rows(fcinfo, 4, false) }
}

/// Tells PostgreSQL the calling convention of [`query_with_results`].
#[unsafe(no_mangle)]
pub extern "C-unwind" fn pg_finfo_query_with_results() -> &'static pg_sys::Pg_finfo_record {
    &pg_sys::Pg_finfo_record { api_version: 1 }
}

/// As [`query_as_owner`], for a query that reads results of calls.
///
/// # Safety
/// Called by PostgreSQL.
#[pg_guard]
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn query_with_results(
    fcinfo: pg_sys::FunctionCallInfo,
) -> pg_sys::Datum {
    // SAFETY: as the caller's.
    unsafe { return_rows(fcinfo, 5, false) }
}

/// Tells PostgreSQL the calling convention of [`call_as_owner`].
#[unsafe(no_mangle)]
pub extern "C-unwind" fn pg_finfo_call_as_owner() -> &'static pg_sys::Pg_finfo_record {
    &pg_sys::Pg_finfo_record { api_version: 1 }
}

/// As [`query_with_results`], for a query whose functions may write.
///
/// # Safety
/// Called by PostgreSQL.
#[pg_guard]
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn call_as_owner(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    // SAFETY: as the caller's.
    unsafe { return_rows(fcinfo, 5, true) }
}

/// A materialising function over (owner, relation, query, keys[, results]), so many arguments: rows go from the executor into the
/// tuplestore without passing through Rust.
///
/// # Safety
/// With the call that PostgreSQL made.
unsafe fn return_rows(
    fcinfo: pg_sys::FunctionCallInfo,
    count: usize,
    writes: bool,
) -> pg_sys::Datum {
    // SAFETY: a materialising set-returning function as in PostgreSQL's documentation (38.10.9).
    unsafe {
        let call = &mut *fcinfo;
        let arguments = call.args.as_slice(count);
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
        let given = |at: usize| {
            let argument = arguments.get(at).filter(|argument| !argument.isnull);
            argument.map(|argument| argument.value)
        };
        let list = parameters(given(3), given(4));

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

        let what = Query {
            text: query,
            keys: true,
            writes,
        };
        as_owner(owner, relation, what, || execute(query, list, receiver));

        (*result).returnMode = pg_sys::SetFunctionReturnMode::SFRM_Materialize;
        (*result).setResult = store;
        (*result).setDesc = description;
        call.isnull = true;
        pg_sys::Datum::from(0)
    }
}

/// Plans `query`, which has no parameter, as `owner`, and gives what `read` makes of the plan; None: there is none.
fn planned<R>(
    owner: pg_sys::Oid,
    relation: pg_sys::Oid,
    query: &str,
    read: impl FnOnce(&pg_sys::PlannedStmt) -> R,
) -> Option<R> {
    let Ok(query) = CString::new(query) else {
        pgrx::error!("query contains a null byte");
    };
    let checked = Query {
        text: &query,
        keys: false,
        writes: false,
    };
    // SAFETY: the documented use of SPI and of its cached plan; errors are raised and clean up by the abort.
    as_owner(owner, relation, checked, || unsafe {
        pg_sys::SPI_connect();
        let plan = pg_sys::SPI_prepare(query.as_ptr(), 0, std::ptr::null_mut());
        if plan.is_null() {
            pgrx::error!("SPI_prepare failed");
        }
        let cached = pg_sys::SPI_plan_get_cached_plan(plan);
        let result = if cached.is_null() {
            None
        } else {
            let statement = pg_sys::list_nth((*cached).stmt_list, 0).cast::<pg_sys::PlannedStmt>();
            let result = read(&*statement);
            // Of a plan that is not saved, no resource owner holds it.
            pg_sys::ReleaseCachedPlan(cached, std::ptr::null_mut());
            Some(result)
        };
        pg_sys::SPI_finish();
        result
    })
}

/// How many rows the planner expects of `query`, planned as its owner; it has no parameter.
#[pg_extern(sql = false)]
fn expected_rows(owner: pg_sys::Oid, relation: pg_sys::Oid, query: &str) -> f64 {
    planned(owner, relation, query, |statement| {
        // SAFETY: a plan of PostgreSQL's.
        unsafe { (*statement.planTree).plan_rows }
    })
    .unwrap_or_default()
}

/// The tables that `query`, planned as its owner, reads from one end to the other; it has no parameter.
#[pg_extern(sql = false)]
fn tables_read_whole(owner: pg_sys::Oid, relation: pg_sys::Oid, query: &str) -> Vec<pg_sys::Oid> {
    planned(owner, relation, query, |statement| {
        let mut found = vec![];
        // SAFETY: a plan of PostgreSQL's, with the plans of its subqueries.
        unsafe {
            scans(statement.planTree, statement.rtable, &mut found);
            for at in 0..list_length(statement.subplans) {
                let plan = pg_sys::list_nth(statement.subplans, at).cast();
                scans(plan, statement.rtable, &mut found);
            }
        }
        found
    })
    .unwrap_or_default()
}

/// Adds the tables that a plan, and what is below, scans sequentially.
///
/// # Safety
/// With a plan of PostgreSQL's, or none, and its range table.
unsafe fn scans(plan: *mut pg_sys::Plan, rtable: *mut pg_sys::List, found: &mut Vec<pg_sys::Oid>) {
    // SAFETY: as the caller's; each node is of the type that its tag says.
    unsafe {
        if plan.is_null() {
            return;
        }
        let several = match (*plan).type_ {
            pg_sys::NodeTag::T_SeqScan => {
                let number = (*plan.cast::<pg_sys::Scan>()).scanrelid;
                let at = i32::try_from(number).unwrap_or_default() - 1;
                let entry = pg_sys::list_nth(rtable, at).cast::<pg_sys::RangeTblEntry>();
                found.push((*entry).relid);
                std::ptr::null_mut()
            }
            pg_sys::NodeTag::T_Append => (*plan.cast::<pg_sys::Append>()).appendplans,
            pg_sys::NodeTag::T_MergeAppend => (*plan.cast::<pg_sys::MergeAppend>()).mergeplans,
            pg_sys::NodeTag::T_SubqueryScan => {
                scans(
                    (*plan.cast::<pg_sys::SubqueryScan>()).subplan,
                    rtable,
                    found,
                );
                std::ptr::null_mut()
            }
            _ => std::ptr::null_mut(),
        };
        for at in 0..list_length(several) {
            scans(pg_sys::list_nth(several, at).cast(), rtable, found);
        }
        scans((*plan).lefttree, rtable, found);
        scans((*plan).righttree, rtable, found);
    }
}

/// Plans `query` as `owner`; an error says why it would not run.
#[pg_extern(sql = false)]
fn plan_as_owner(owner: pg_sys::Oid, relation: pg_sys::Oid, query: &str) {
    plan(owner, relation, query, true);
}
