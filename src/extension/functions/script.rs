//! What only the script of the extension may do, and how it is told.

use pgrx::prelude::*;

/// Grants a role what an access may do, as a privilege that users have given and not as an initial one of the extension: those
/// that an extension's script grants go into pg_init_privs, and pg_dump leaves them out.
#[pg_extern(sql = false)]
fn give_access_again(role: &str, access: &str) -> spi::Result<()> {
    // SAFETY: the flag that says that a script runs. It is put back below; after an error the script has ended, and ALTER
    // EXTENSION takes the flag back itself.
    let in_script = unsafe { std::ptr::replace(&raw mut pg_sys::creating_extension, false) };
    Spi::run_with_args(
        "select marketing_automation_internal.give_access($1::pg_catalog.name, $2, true)",
        &[role.into(), access.into()],
    )?;
    // SAFETY: as above.
    unsafe { pg_sys::creating_extension = in_script };
    Ok(())
}

/// Whether the extension's script runs: CREATE EXTENSION or ALTER EXTENSION … UPDATE.
#[pg_extern(sql = false)]
fn is_extension_script() -> bool {
    // SAFETY: a flag of the backend.
    unsafe { pg_sys::creating_extension }
}
