//! What SQL calls when a commit forbids mails: see [`crate::extension::worker::revocation`].

use pgrx::prelude::*;

use crate::extension::worker::{registry, revocation};

/// Revokes claims when, and only if, the current transaction commits.
#[pg_extern(sql = false)]
fn revoke_claims_of(kind: &str, key: &str) {
    if registry::preloaded() {
        revocation::revoke_on_commit(kind, key);
    }
}
