//! Refuses at the call what reading a query cannot show: a function of somebody else that would run as a superuser.
//!
//! A query runs more than what stands in it. Constant expressions of indexes, statistics, partition keys and constraints are
//! evaluated while it is planned, text is executed by functions such as query_to_xml(), and domains, casts and range types bring
//! functions along. All of these are called through PostgreSQL's function manager, whose hook looks here at whose they are, and
//! as whom they would run.

use pgrx::prelude::*;

use super::code::{self, Code};

/// A bit of the security context that says: this is user SQL. PostgreSQL has bits of its own from below, passes the others on to
/// whatever is called and to parallel workers, and puts them back when the (sub)transaction aborts.
pub(super) const USER_SQL: i32 = 0x4000_0000;

/// The hooks that were there before.
struct Previous {
    needs: pg_sys::needs_fmgr_hook_type,
    call: pg_sys::fmgr_hook_type,
}

static PREVIOUS: std::sync::OnceLock<Previous> = std::sync::OnceLock::new();

/// Watches function calls of this process.
pub(super) fn init() {
    PREVIOUS.get_or_init(|| {
        // SAFETY: the library is being loaded, on the main thread; hooks are chained as PostgreSQL wants it.
        unsafe {
            let previous = Previous {
                needs: pg_sys::needs_fmgr_hook,
                call: pg_sys::fmgr_hook,
            };
            pg_sys::needs_fmgr_hook = Some(needs_hook);
            pg_sys::fmgr_hook = Some(at_call);
            previous
        }
    });
}

/// Gives the role whose rights user SQL has at the moment, if it is a superuser.
fn superuser_in_user_sql() -> Option<pg_sys::Oid> {
    let mut user = pg_sys::InvalidOid;
    let mut context = 0;
    // SAFETY: reads plain variables; a look-up.
    unsafe {
        pg_sys::GetUserIdAndSecContext(&mut user, &mut context);
        (context & USER_SQL != 0 && pg_sys::superuser_arg(user)).then_some(user)
    }
}

/// Says which functions at_call() wants to see, which are not inlined then. Built-in ones are not asked about.
#[pg_guard]
unsafe extern "C-unwind" fn needs_hook(function: pg_sys::Oid) -> bool {
    let of_others = PREVIOUS
        .get()
        .and_then(|previous| previous.needs)
        // SAFETY: as our caller's.
        .is_some_and(|needs| unsafe { needs(function) });
    of_others
        || superuser_in_user_sql()
            .is_some_and(|role| code::is_foreign(Code::Function(function.to_u32()), role))
}

/// Refuses a call that would run as a superuser; a SECURITY DEFINER function runs as its owner by now.
#[pg_guard]
unsafe extern "C-unwind" fn at_call(
    event: pg_sys::FmgrHookEventType::Type,
    function: *mut pg_sys::FmgrInfo,
    argument: *mut pg_sys::Datum,
) {
    if event == pg_sys::FmgrHookEventType::FHET_START
        && let Some(role) = superuser_in_user_sql()
    {
        // SAFETY: the function manager's own.
        let called = Code::Function(unsafe { (*function).fn_oid }.to_u32());
        code::refuse_foreign(called, role);
    }
    if let Some(call) = PREVIOUS.get().and_then(|previous| previous.call) {
        // SAFETY: as our caller's.
        unsafe { call(event, function, argument) };
    }
}
