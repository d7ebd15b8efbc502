//! What an error says to whoever made a mistake, at the last moment before it is told.
//!
//! A failed check of a table says what its column takes; and CONTEXT leaves out what says nothing to them.
//! PL/pgSQL lists each function on the way to an error. Where we refuse something ourselves, where a row does not fit one of our
//! tables, and where an expression is wrong, message, detail and hint say all of it, and eight lines about our own functions would
//! follow. What is left says where in somebody else's code it was.

use std::ffi::{CStr, CString, c_char};

use pgrx::prelude::*;

use super::check_hints;

/// How frames of our own functions begin; both schemas do.
const OURS: &str = "PL/pgSQL function marketing_automation";

/// What the frame of a function's statement begins with; the function's own follows.
const STATEMENTS: [&str; 3] = [
    "SQL statement \"",
    "SQL expression \"",
    "PL/pgSQL assignment \"",
];

/// The hook of whoever was loaded before.
static mut PREVIOUS: pg_sys::emit_log_hook_type = None;

/// Hooks into what is told to client and log.
pub(super) fn init() {
    // SAFETY: when the library is loaded, on the only thread.
    unsafe {
        PREVIOUS = pg_sys::emit_log_hook;
        pg_sys::emit_log_hook = Some(shorten);
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn shorten(data: *mut pg_sys::ErrorData) {
    // SAFETY: elog.c passes the error that it tells, and reads its fields when the hooks are done; it does so in the memory context
    // that the error's texts are in.
    unsafe {
        if let Some(error) = data.as_mut() {
            add_hint(error);
        }
        if let Some(error) = data.as_mut()
            && error.elevel == PgLogLevel::ERROR as i32
            && !error.context.is_null()
            && let Ok(context) = CStr::from_ptr(error.context).to_str()
            && (is_refusal(context)
                || is_about_expression(context)
                || is_in_our_schema(error)
                || is_told_by_us(error, context))
        {
            let left = without_ours(context);
            error.context = match CString::new(left) {
                Ok(left) if !left.is_empty() => pg_sys::pstrdup(left.as_ptr()),
                _ => std::ptr::null_mut(),
            };
        }
        if let Some(previous) = PREVIOUS {
            previous(data);
        }
    }
}

/// Says what a column takes where a check of ours has failed.
///
/// # Safety
/// Its texts must be null or C strings, and the current memory context theirs.
unsafe fn add_hint(error: &mut pg_sys::ErrorData) {
    if !error.hint.is_null() {
        return;
    }
    let text = |text: *const c_char| {
        if text.is_null() {
            return "";
        }
        // SAFETY: as the caller says.
        unsafe { CStr::from_ptr(text) }.to_str().unwrap_or_default()
    };
    let code = |code: PgSqlErrorCode| error.sqlerrcode == code as i32;
    let hint = if is_in_our_schema(error) && code(PgSqlErrorCode::ERRCODE_CHECK_VIOLATION) {
        check_hints::hint(text(error.constraint_name)).map(str::to_owned)
    } else if is_in_our_schema(error) && code(PgSqlErrorCode::ERRCODE_NOT_NULL_VIOLATION) {
        Some(format!("{} must not be null.", text(error.column_name)))
    } else if !is_about_expression(text(error.context)) {
        None
    } else if code(PgSqlErrorCode::ERRCODE_SYNTAX_ERROR) {
        Some("It is one SQL expression over the row, self, as in self.id.".to_owned())
    } else if code(PgSqlErrorCode::ERRCODE_DATATYPE_MISMATCH) {
        Some("It is a condition over the row, self, as in self.amount > 10.".to_owned())
    } else {
        None
    };
    if let Some(hint) = hint.and_then(|hint| CString::new(hint).ok()) {
        // SAFETY: a C string.
        error.hint = unsafe { pg_sys::pstrdup(hint.as_ptr()) };
    }
}

/// Whether a row did not fit one of our tables.
fn is_in_our_schema(error: &pg_sys::ErrorData) -> bool {
    if error.schema_name.is_null() {
        return false;
    }
    // SAFETY: a C string, as elog.c leaves it.
    let schema = unsafe { CStr::from_ptr(error.schema_name) };
    schema == c"marketing_automation"
}

/// Whether it is about an expression, which the context names first, as in `domain of scenario "welcome"`.
fn is_about_expression(context: &str) -> bool {
    let first = context.lines().next().unwrap_or_default();
    first.split_once('"').is_some_and(|(what, _)| {
        [" of model ", " of scenario ", " of activity "]
            .iter()
            .any(|whose| what.ends_with(whose))
            && !what.starts_with("SQL ")
            && !what.starts_with("PL/pgSQL ")
    })
}

/// Whether one of our functions has raised it by RAISE.
fn is_refusal(context: &str) -> bool {
    let first = context.lines().next().unwrap_or_default();
    first.starts_with(OURS) && first.ends_with(" at RAISE")
}

/// Whether it was raised by Rust, or by RAISE in one of our functions that Rust has called, whose own context is lost on the way.
///
/// # Safety
/// Its texts must be null or C strings.
unsafe fn is_told_by_us(error: &pg_sys::ErrorData, context: &str) -> bool {
    let text = |text: *const c_char| match text.is_null() {
        true => c"",
        // SAFETY: as the caller says.
        false => unsafe { CStr::from_ptr(text) },
    };
    text(error.filename).to_bytes().ends_with(b".rs")
        || context.starts_with(OURS)
            && (text(error.funcname) == c"exec_stmt_raise"
                || text(error.filename).to_bytes().ends_with(b"pl_exec.c"))
}

/// The frames that are not ours.
fn without_ours(context: &str) -> String {
    let mut left: Vec<&str> = Vec::new();
    // Where the statement began that the next function runs; it may have many lines.
    let mut statement = None;
    for line in context.lines() {
        if line.starts_with(OURS) {
            left.truncate(statement.take().unwrap_or(left.len()));
            continue;
        }
        if line.starts_with("PL/pgSQL function ") || line.starts_with("SQL function ") {
            statement = None;
        } else if STATEMENTS.iter().any(|start| line.starts_with(start)) {
            statement = Some(left.len());
        }
        left.push(line);
    }
    left.join("\n")
}

#[cfg(any(test, feature = "pg_test"))]
#[pg_schema]
mod tests {
    use super::*;

    #[pg_test]
    fn frames_of_others_stay_in_the_context_of_an_error() {
        let ours = "PL/pgSQL function marketing_automation_internal.check_value(text) line 4 at RAISE\n\
                    SQL statement \"SELECT marketing_automation_internal.check_value(new.x,\n  'PL/x')\"\n\
                    PL/pgSQL function marketing_automation.add_activity(text) line 14 at PERFORM";
        assert!(is_refusal(ours));
        assert_eq!(without_ours(ours), "");
        let theirs = "SQL statement \"SELECT marketing_automation.add_activity('a')\"\n\
                      PL/pgSQL function public.mine() line 3 at PERFORM";
        assert_eq!(without_ours(&format!("{ours}\n{theirs}")), theirs);
        let label = "domain of scenario \"a\"";
        assert_eq!(
            without_ours(&format!("{label}\n{ours}\n{theirs}")),
            format!("{label}\n{theirs}")
        );
        assert!(is_about_expression(&format!("{label}\n{ours}")));
        assert!(!is_about_expression(ours) && !is_about_expression(theirs));
        assert!(!is_refusal(
            "PL/pgSQL function marketing_automation.enroll() line 4 at assignment"
        ));
        assert!(!is_refusal(
            "PL/pgSQL function public.mine() line 3 at RAISE"
        ));
    }
}
