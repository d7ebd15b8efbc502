//! What an administrator says about a server.

use std::time::Duration;

use crate::delivery::secret::Secret;

/// A row of smtp_server, or the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    pub name: String,
    pub url: String,
    pub password: Option<Secret>,
    /// Domain of From addresses that it is for; None: any.
    pub sender_domain: Option<String>,
    /// Lower ones first.
    pub priority: i32,
    pub weight: i32,
    pub connections: usize,
    pub timeout: Duration,
    /// Whether it has a rate limit or a warm-up, so that each mail takes a token.
    pub limited: bool,
}
