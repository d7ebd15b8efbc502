//! Public functions that depend on who calls: they run the internal function of the same name, as the extension's owner, and
//! hand it the caller's role.
//!
//! A SECURITY DEFINER function cannot know its caller: `current_user` is its owner, and `session_user` is somebody else after
//! SET ROLE, as PostgREST and connection poolers use it. A function of the invoker could, but would need rights on all that it
//! calls. So `marketing_automation.f(a, b)` is a C function with the symbol `call_with_caller`, and
//! `marketing_automation_internal.f(caller regrole, a, b)` does the work.

use std::ffi::CStr;

use pgrx::prelude::*;

const INTERNAL_SCHEMA: &CStr = c"marketing_automation_internal";
/// FUNC_MAX_ARGS of PostgreSQL.
const MOST_ARGUMENTS: usize = 100;

/// The function to call, kept for as long as the query keeps ours; its lookup is done once.
struct Target {
    function: pg_sys::FmgrInfo,
    owner: pg_sys::Oid,
}

/// Tells PostgreSQL the calling convention of [`call_with_caller`], as `PG_FUNCTION_INFO_V1` does in C.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn pg_finfo_call_with_caller() -> &'static pg_sys::Pg_finfo_record {
    &pg_sys::Pg_finfo_record { api_version: 1 }
}

/// Calls the internal function of the same name with the current user, as a regrole, before the arguments.
///
/// # Safety
/// Called by PostgreSQL.
#[pg_guard]
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn call_with_caller(
    fcinfo: pg_sys::FunctionCallInfo,
) -> pg_sys::Datum {
    // SAFETY: the call that PostgreSQL made; what is set is restored below, or by the abort of the (sub)transaction, as after
    // an error in a SECURITY DEFINER function (fmgr_security_definer in fmgr.c).
    unsafe {
        let call = &mut *fcinfo;
        let target = target_of(call.flinfo);
        let arguments = usize::try_from(call.nargs).unwrap_or_default();

        let mut caller = pg_sys::InvalidOid;
        let mut context = 0;
        pg_sys::GetUserIdAndSecContext(&mut caller, &mut context);

        // FunctionCallInfoBaseData ends in an array: room for one argument more than ours.
        let bytes = std::mem::size_of::<pg_sys::FunctionCallInfoBaseData>()
            + (arguments + 1) * std::mem::size_of::<pg_sys::NullableDatum>();
        let inner = pg_sys::palloc0(bytes).cast::<pg_sys::FunctionCallInfoBaseData>();
        (*inner).flinfo = &raw mut (*target).function;
        (*inner).context = call.context;
        (*inner).resultinfo = call.resultinfo;
        (*inner).fncollation = call.fncollation;
        (*inner).nargs = call.nargs + 1;
        let given = call.args.as_slice(arguments);
        let passed = (*inner).args.as_mut_slice(arguments + 1);
        passed[0].value = pg_sys::Datum::from(caller.to_u32());
        passed[0].isnull = false;
        passed[1..].copy_from_slice(given);

        pg_sys::SetUserIdAndSecContext(
            (*target).owner,
            context | pg_sys::SECURITY_LOCAL_USERID_CHANGE as i32,
        );
        let function = (*target)
            .function
            .fn_addr
            .expect("fmgr_info sets the address");
        // A call through a pointer: what it raises must not jump over Rust's frames.
        let result = pg_sys::ffi::pg_guard_ffi_boundary(|| function(inner));
        pg_sys::SetUserIdAndSecContext(caller, context);

        call.isnull = (*inner).isnull;
        pg_sys::pfree(inner.cast());
        result
    }
}

/// Finds the internal function that belongs to a public one.
///
/// # Safety
/// With the FmgrInfo of a call.
unsafe fn target_of(own: *mut pg_sys::FmgrInfo) -> *mut Target {
    // SAFETY: look-ups in the syscache; what is kept is allocated where our FmgrInfo lives.
    unsafe {
        let kept = (*own).fn_extra.cast::<Target>();
        if !kept.is_null() {
            return kept;
        }
        let mut types: *mut pg_sys::Oid = std::ptr::null_mut();
        let mut count = 0;
        pg_sys::get_func_signature((*own).fn_oid, &mut types, &mut count);
        let count = usize::try_from(count).unwrap_or_default();
        assert!(
            count < MOST_ARGUMENTS,
            "a function has at most 100 arguments"
        );
        let mut wanted = vec![pg_sys::REGROLEOID];
        wanted.extend_from_slice(std::slice::from_raw_parts(types, count));
        let name = pg_sys::get_func_name((*own).fn_oid);
        let schema = pg_sys::get_namespace_oid(INTERNAL_SCHEMA.as_ptr(), false);
        let signature = pg_sys::buildoidvector(wanted.as_ptr(), wanted.len() as i32);
        let oid = pg_sys::GetSysCacheOid(
            pg_sys::SysCacheIdentifier::PROCNAMEARGSNSP as i32,
            pg_sys::Anum_pg_proc_oid as i16,
            pg_sys::Datum::from(name),
            pg_sys::Datum::from(signature),
            schema.into(),
            pg_sys::Datum::from(0),
        );
        if oid == pg_sys::InvalidOid {
            ereport!(
                ERROR,
                PgSqlErrorCode::ERRCODE_UNDEFINED_FUNCTION,
                format!(
                    "function \"{}\" of marketing_automation has no internal counterpart",
                    CStr::from_ptr(name).to_string_lossy()
                ),
                "The extension's SQL is of another version than its library: run ALTER EXTENSION marketing_automation UPDATE."
            );
        }
        let result = result_of((*own).fn_oid);
        let its_result = result_of(oid);
        assert!(
            result.kind == its_result.kind,
            "a public function and its internal counterpart return the same"
        );
        let owner = its_result.owner;

        let target = pg_sys::MemoryContextAllocZero((*own).fn_mcxt, std::mem::size_of::<Target>())
            .cast::<Target>();
        (*target).owner = owner;
        pg_sys::fmgr_info_cxt(oid, &raw mut (*target).function, (*own).fn_mcxt);
        (*own).fn_extra = target.cast();
        target
    }
}

/// What a function returns, and whose it is.
struct Returned {
    kind: (pg_sys::Oid, bool),
    owner: pg_sys::Oid,
}

/// Reads a function's entry in pg_proc.
///
/// # Safety
/// With the OID of a function.
unsafe fn result_of(function: pg_sys::Oid) -> Returned {
    // SAFETY: a look-up in the syscache, of which nothing is kept.
    unsafe {
        let tuple =
            pg_sys::SearchSysCache1(pg_sys::SysCacheIdentifier::PROCOID as i32, function.into());
        assert!(!tuple.is_null(), "a function that is being called exists");
        let form = pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_proc>();
        let returned = Returned {
            kind: ((*form).prorettype, (*form).proretset),
            owner: (*form).proowner,
        };
        pg_sys::ReleaseSysCache(tuple);
        returned
    }
}
