//! What an administrator says about a server.

use std::path::PathBuf;
use std::time::Duration;

use crate::delivery::secret::Secret;

/// What a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// SMTP, or a directory.
    Mail,
    /// HTTP: a target of webhooks, whose name is its origin.
    Webhook { may_be_private: bool },
}

/// A row of smtp_server, the settings, or a row of webhook_target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    pub name: String,
    pub kind: Kind,
    pub url: String,
    /// Or the secret that signs webhooks.
    pub password: Option<Secret>,
    /// Instead of a password: the file of an access token, which is read at each connection.
    pub token_file: Option<PathBuf>,
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

impl Definition {
    /// A row of webhook_target, still without its secret.
    pub(crate) fn of_target(
        origin: String,
        may_be_private: bool,
        connections: usize,
        timeout: Duration,
    ) -> Self {
        Definition {
            name: origin.clone(),
            kind: Kind::Webhook { may_be_private },
            url: origin,
            password: None,
            token_file: None,
            sender_domain: None,
            priority: 0,
            weight: 1,
            connections,
            timeout,
            limited: false,
        }
    }
}
