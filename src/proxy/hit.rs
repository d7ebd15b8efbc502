//! A hit: an open or a click, from the request to the answer.

use std::net::IpAddr;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// An open or a click that waits to be recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hit {
    /// Made by the proxy, so that recording the same hit twice counts once.
    pub id: Uuid,
    pub kind: HitKind,
    /// Already verified by the proxy; the function verifies it again.
    pub token: String,
    pub occurred_at: SystemTime,
    pub method: HitMethod,
    /// Network of the reader; the database knows how many of its bits to keep.
    pub address: Option<IpAddr>,
    pub user_agent: Option<String>,
}

/// How the proxy was asked. Only `GET` can be a reader's doing, which the database takes into account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum HitMethod {
    Get,
    Head,
    /// A `GET` in advance, before anybody has asked for it.
    Prefetch,
}

impl HitMethod {
    /// The value of `event.method`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Prefetch => "PREFETCH",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum HitKind {
    Open,
    Click,
}

impl HitKind {
    /// The value of `event.kind`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "email_opened",
            Self::Click => "email_clicked",
        }
    }
}

/// What the database said to a hit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// False when the record, activity or link does not exist: the hit was not recorded.
    pub known: bool,
    /// Where a click goes.
    pub location: Option<String>,
}

impl Answer {
    /// To a hit that needs no answer but that it is kept.
    pub fn kept() -> Self {
        Self {
            known: true,
            location: None,
        }
    }
}
