//! What SQL calls when a commit forbids mails: see [`crate::extension::worker::revocation`].

use pgrx::prelude::*;

use crate::extension::worker::{registry, revocation};

#[pg_schema]
mod marketing_automation {
    use super::*;

    /// Revokes claims when, and only if, the current transaction commits.
    #[pg_extern(sql = r#"
create function marketing_automation.revoke_claims_of(kind text, key text) returns void
language c volatile strict parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function marketing_automation.revoke_claims_of(text, text) is
    'API: private. When the current transaction commits, no claimed mail of this record, party, address (its hash in hexadecimal digits), activity, or all, leaves any more: '
    'it must be claimed again';
"#)]
    fn revoke_claims_of(kind: &str, key: &str) {
        if registry::preloaded() {
            revocation::revoke_on_commit(kind, key);
        }
    }
}
