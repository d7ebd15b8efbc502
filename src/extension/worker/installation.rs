//! Whether the database has the extension, which one and of which version, and whether somebody is changing it.

use pgrx::prelude::*;

use super::transaction;
use crate::version::{self, Mismatch, VERSION};

/// What a look at the database finds.
pub(super) enum Extension {
    Absent,
    /// Somebody is dropping or altering it right now.
    Locked,
    Installed {
        /// The outbox's OID tells one installation from the next.
        installation: pg_sys::Oid,
        /// Why this library does not work with it: its SQL is of another version.
        mismatch: Option<String>,
    },
}

/// Says which of the two is older, and what to do about it; None: they are of one version.
fn mismatch(installed: &str) -> Option<String> {
    let advice = match version::mismatch(installed)? {
        Mismatch::SqlIsOlder => "run ALTER EXTENSION marketing_automation UPDATE",
        Mismatch::SqlIsNewer => "restart the server with the library of that version",
    };
    Some(format!(
        "nothing is sent: the extension is {installed}, this library {VERSION}: {advice}"
    ))
}

pub(super) fn look_for_extension() -> Result<Extension, String> {
    transaction::run(|| {
        // By the snapshot alone: a commit wakes us before it tells others to forget what they keep of the catalog, where
        // to_regnamespace() looks, so that an extension made again just after a drop was not found, and nobody looked for five minutes.
        let found = Spi::get_two::<pg_sys::Oid, String>(
            "select c.oid, e.extversion from pg_catalog.pg_extension e
             join pg_catalog.pg_namespace n on n.nspname = 'marketing_automation_internal'
             join pg_catalog.pg_class c on c.relname = 'outbox' and c.relnamespace = n.oid
             where e.extname = 'marketing_automation'",
        );
        match found {
            Err(spi::Error::InvalidPosition) | Ok((None, _) | (_, None)) => Ok(Extension::Absent),
            Err(error) => Err(error),
            Ok((Some(outbox), Some(installed))) => {
                // SAFETY: a lock that the end of the transaction gives back. A session that drops or alters the extension holds a
                // stronger one, and must not wait for us nor we for them.
                let free = unsafe {
                    pg_sys::ConditionalLockRelationOid(
                        outbox,
                        pg_sys::AccessShareLock as pg_sys::LOCKMODE,
                    )
                };
                Ok(if free {
                    Extension::Installed {
                        installation: outbox,
                        mismatch: mismatch(&installed),
                    }
                } else {
                    Extension::Locked
                })
            }
        }
    })
}
