//! How SQL tells the mailer that there is something to send.

use pgrx::prelude::*;

use crate::extension::worker::registry;

#[pg_schema]
mod marketing_automation {
    use super::*;

    /// Wakes the mailer when, and only if, the current transaction commits; once, however often it is called.
    #[pg_extern(sql = r#"
create function marketing_automation.notify_mailer() returns void
language c volatile parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function marketing_automation.notify_mailer() is
    'API: private. Wakes the mailer of this database, or has it started, when the current transaction commits';
"#)]
    fn notify_mailer() {
        if registry::preloaded() {
            registry::wake_mailer_on_commit();
        }
    }
}
