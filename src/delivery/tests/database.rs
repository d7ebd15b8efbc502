//! A store in memory, as simple as the promises of the real one.

mod revoked;
mod store;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use revoked::Revoked;

use super::clock::ManualClock;
use crate::delivery::clock::Time;
use crate::delivery::store::{Policy, Result, Settings, Share};
use crate::mail::attachment::File;
use crate::tracking::token::Keyring;

/// A row of the outbox.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) state: &'static str,
    pub(super) attempts: i32,
    pub(super) channel: &'static str,
    pub(super) target: Option<&'static str>,
    pub(super) email: String,
    /// Each has a sender of its own.
    pub(super) activity: i32,
    pub(super) is_blocked: bool,
    pub(super) reply: Option<String>,
    pub(super) server: Option<String>,
    doubts: usize,
    /// Its send window.
    pub(super) closes_at: Option<Instant>,
    due_at: Instant,
    first_attempt_at: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct Tables {
    pub(super) rows: Vec<Row>,
    /// How many mails each claim asked for.
    pub(super) claims: Vec<usize>,
    /// Which mails were claimed, one after the other.
    pub(super) claimed: Vec<i64>,
    pub(super) completions: usize,
    pub(super) dead_mailboxes: Vec<i64>,
    pub(super) reports: Vec<String>,
    pub(super) links: HashMap<String, i64>,
    /// Files of mails, with the only byte of their contents, which is the digest, too.
    pub(super) files: HashMap<i64, Vec<(File, Option<u8>)>>,
    /// Which contents were fetched, one after the other.
    pub(super) fetched: Vec<u8>,
    pub(super) policy: Policy,
    pub(super) settings: std::result::Result<Settings, String>,
    pub(super) session_settings: Option<String>,
    /// Tokens that servers with a limit may still have.
    pub(super) tokens: usize,
    /// The next calls of these names fail.
    pub(super) failing: Vec<&'static str>,
    pub(super) share: Share,
    /// How often it was asked which claimed mails may still leave.
    pub(super) confirmations: usize,
}

/// The store; its clones share the tables.
#[derive(Clone)]
pub(super) struct Database {
    tables: Arc<Mutex<Tables>>,
    revoked: Arc<Revoked>,
    clock: Arc<ManualClock>,
}

impl Database {
    pub(super) fn new(clock: &Arc<ManualClock>) -> Self {
        let settings = Settings {
            smtp_url: Some("smtp://main.example".to_owned()),
            smtp_connections: 2,
            smtp_timeout: Duration::from_secs(30),
            automation_base: Some("https://t.example".to_owned()),
            email_from: Some("Shop <news@shop.example>".to_owned()),
            keys: vec![1],
            keyring: Keyring::new(vec![(1, [7; 32])]),
            ..Settings::default()
        };
        Database {
            tables: Arc::new(Mutex::new(Tables {
                rows: Vec::new(),
                claims: Vec::new(),
                claimed: Vec::new(),
                completions: 0,
                dead_mailboxes: Vec::new(),
                reports: Vec::new(),
                links: HashMap::new(),
                files: HashMap::new(),
                fetched: Vec::new(),
                policy: Policy {
                    hold: false,
                    retry_window: 3600.0,
                    batch_size: 500,
                    retention: None,
                },
                settings: Ok(settings),
                session_settings: None,
                tokens: 0,
                share: Share {
                    senders: 1,
                    place: Some(0),
                },
                confirmations: 0,
                failing: Vec::new(),
            })),
            revoked: Arc::default(),
            clock: Arc::clone(clock),
        }
    }

    pub(super) fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap()
    }

    /// Queues so many mails, due now.
    pub(super) fn queue(&self, mails: usize) {
        let due_at = self.clock.now();
        let mut tables = self.tables();
        for _ in 0..mails {
            let email = format!("reader-{}@example.net", tables.rows.len());
            tables.rows.push(Row {
                state: "queued",
                attempts: 0,
                channel: "mail",
                target: None,
                email,
                activity: 1,
                is_blocked: false,
                reply: None,
                server: None,
                doubts: 0,
                closes_at: None,
                due_at,
                first_attempt_at: None,
            });
        }
    }

    /// From now on it hears of no revocation, as a process on another host.
    pub(super) fn deafen(&self) {
        self.revoked.deafen(&self.clock);
    }

    /// Commits a block of a row's record.
    pub(super) fn block(&self, id: usize) {
        self.tables().rows[id].is_blocked = true;
        self.revoked.block(id + 1);
    }

    pub(super) fn count(&self, state: &str) -> usize {
        self.tables()
            .rows
            .iter()
            .filter(|row| row.state == state)
            .count()
    }

    fn fails(&self, call: &str) -> Result<()> {
        let mut tables = self.tables();
        match tables.failing.iter().position(|failing| *failing == call) {
            Some(position) => {
                tables.failing.remove(position);
                Err(format!("{call} failed"))
            }
            None => Ok(()),
        }
    }
}
