//! What an administrator says about a server.

use std::time::Duration;

use crate::extension::worker::secret::Secret;

/// A row of smtp_server, or the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::extension::worker) struct Definition {
    pub(in crate::extension::worker) name: String,
    pub(in crate::extension::worker) url: String,
    pub(in crate::extension::worker) password: Option<Secret>,
    /// Domain of From addresses that it is for; None: any.
    pub(in crate::extension::worker) sender_domain: Option<String>,
    /// Lower ones first.
    pub(in crate::extension::worker) priority: i32,
    pub(in crate::extension::worker) weight: i32,
    pub(in crate::extension::worker) connections: usize,
    pub(in crate::extension::worker) timeout: Duration,
    /// Whether it has a rate limit or a warm-up, so that each mail takes a token.
    pub(in crate::extension::worker) limited: bool,
}
