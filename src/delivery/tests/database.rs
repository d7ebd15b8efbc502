//! A store in memory, as simple as the promises of the real one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::clock::ManualClock;
use crate::delivery::clock::Time;
use crate::delivery::revocation::{Revocations, SharedRevocations, Subject};
use crate::delivery::store::{
    Claim, Claimed, Completed, Found, Grant, NextDue, Policy, Result, Settings, Share, Store,
    TemplateRow,
};
use crate::mail::rendered::Consent;
use crate::mail::template::Snippets;
use crate::tracking::token::Keyring;

/// A row of the outbox.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) state: &'static str,
    pub(super) attempts: i32,
    pub(super) channel: &'static str,
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

#[derive(Default)]
struct Revoked {
    count: AtomicU64,
    last: Mutex<HashMap<usize, u64>>,
    /// It hears of nothing, and believes a claim for so long: what count() gives are milliseconds.
    deaf: Mutex<Option<(Arc<ManualClock>, Instant)>>,
}

impl Revoked {
    fn age(&self) -> Option<u64> {
        let deaf = self.deaf.lock().unwrap();
        let age = |(clock, began): &(Arc<ManualClock>, Instant)| clock.now() - *began;
        deaf.as_ref()
            .map(age)
            .map(|age| u64::try_from(age.as_millis()).unwrap())
    }
}

impl Revocations for Revoked {
    fn count(&self) -> u64 {
        self.age()
            .unwrap_or_else(|| self.count.load(Ordering::SeqCst))
    }

    fn bucket(&self, subject: Subject, key: &str) -> usize {
        format!("{subject:?} {key}")
            .bytes()
            .fold(7, |sum: usize, byte| {
                sum.wrapping_mul(31).wrapping_add(byte.into())
            })
    }

    fn forbids(&self, _mail: i64, count: u64, buckets: &[usize]) -> bool {
        if let Some(now) = self.age() {
            return now - count > 1000;
        }
        let last = self.last.lock().unwrap();
        buckets
            .iter()
            .any(|bucket| last.get(bucket).is_some_and(|last| *last > count))
    }
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
        let now = self.clock.now();
        *self.revoked.deaf.lock().unwrap() = Some((Arc::clone(&self.clock), now));
    }

    /// Commits a block of a row's record.
    pub(super) fn block(&self, id: usize) {
        self.tables().rows[id].is_blocked = true;
        let number = self.revoked.count.fetch_add(1, Ordering::SeqCst) + 1;
        let bucket = self.revoked.bucket(Subject::Record, &(id + 1).to_string());
        self.revoked.last.lock().unwrap().insert(bucket, number);
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

impl Store for Database {
    fn policy(&self) -> Policy {
        self.tables().policy
    }

    fn settings(&mut self, _afresh: bool) -> Result<Found> {
        self.fails("settings")?;
        let tables = self.tables();
        Ok(Found {
            session_settings: tables.session_settings.clone(),
            settings: tables.settings.clone(),
        })
    }

    fn claim(&mut self, size: usize, _full_scan: bool) -> Result<Claim> {
        self.fails("claim")?;
        let now = self.clock.now();
        let mut tables = self.tables();
        tables.claims.push(size);
        let mut mails = Vec::new();
        for (id, row) in tables.rows.iter_mut().enumerate() {
            if mails.len() == size || row.state != "queued" || row.due_at > now {
                continue;
            }
            if row.closes_at.is_some_and(|closes_at| closes_at <= now) {
                continue;
            }
            if row.is_blocked {
                row.state = "suppressed";
                continue;
            }
            row.state = "sending";
            row.attempts += 1;
            let first = *row.first_attempt_at.get_or_insert(now);
            mails.push(Claimed {
                id: id as i64,
                attempt: row.attempts,
                channel: row.channel.to_owned(),
                record: Some(id as i64 + 1),
                record_uuid: format!("uuid-{id}"),
                activity: row.activity,
                version: 1,
                email: row.email.clone(),
                recipient_name: None,
                language: String::new(),
                time_zone: String::new(),
                context: "{}".to_owned(),
                party: None,
                age: now.duration_since(first).as_secs_f64(),
                consent: Consent {
                    opens: true,
                    clicks: true,
                },
                closes_in: row
                    .closes_at
                    .map(|closes_at| closes_at.duration_since(now).as_secs_f64()),
            });
        }
        tables.claimed.extend(mails.iter().map(|mail| mail.id));
        Ok(Claim {
            mails,
            snippets_version: Some("0".to_owned()),
            share: Some(tables.share),
        })
    }

    fn next_due(&mut self) -> Result<NextDue> {
        let now = self.clock.now();
        let tables = self.tables();
        let queued = tables.rows.iter().filter(|row| row.state == "queued");
        let next = queued
            .map(|row| row.due_at.saturating_duration_since(now))
            .min();
        Ok(NextDue {
            seconds: next.map(|next| next.as_secs_f64()),
            pause: None,
            share: Some(tables.share),
        })
    }

    fn templates(&mut self, activities: Vec<i32>) -> Result<Vec<TemplateRow>> {
        self.fails("templates")?;
        let row = |activity| TemplateRow {
            activity,
            version: 1,
            name: "newsletter".to_owned(),
            scenario: "spring".to_owned(),
            own_language: "en".to_owned(),
            language: String::new(),
            sender: Some(format!("Shop <news{activity}@shop.example>")),
            subject: Some("News".to_owned()),
            body: Some("<p><a href=\"https://shop.example/\">Shop</a></p>".to_owned()),
        };
        Ok(activities.into_iter().map(row).collect())
    }

    fn snippets(&mut self) -> Result<Snippets> {
        Ok(Snippets::default())
    }

    fn link_ids(&mut self, urls: Vec<String>) -> Result<Vec<(String, i64)>> {
        self.fails("link_ids")?;
        let mut tables = self.tables();
        let mut ids = Vec::new();
        for url in urls {
            let next = tables.links.len() as i64 + 1;
            let id = *tables.links.entry(url.clone()).or_insert(next);
            ids.push((url, id));
        }
        Ok(ids)
    }

    fn permits(
        &mut self,
        servers: Vec<String>,
        in_hand: Vec<i32>,
        wanted: i32,
    ) -> Result<Vec<Grant>> {
        let mut tables = self.tables();
        let mut grants = Vec::new();
        for (server, in_hand) in servers.into_iter().zip(in_hand) {
            let lacking = usize::try_from(wanted - in_hand).unwrap_or(0);
            let tokens = lacking.min(tables.tokens);
            tables.tokens -= tokens;
            grants.push(Grant {
                server,
                tokens,
                is_exhausted: false,
                wait: Duration::from_secs(1),
            });
        }
        Ok(grants)
    }

    fn complete(&mut self, completed: &[Completed]) -> Result<()> {
        self.fails("complete")?;
        let now = self.clock.now();
        let mut tables = self.tables();
        tables.completions += 1;
        for result in completed {
            let row = &mut tables.rows[result.id as usize];
            if row.state != "sending" || row.attempts != result.attempt {
                continue;
            }
            row.doubts += usize::from(result.result == Some("in_doubt"));
            row.state = match result.state {
                "released" => "queued",
                "queued" if result.result == Some("in_doubt") && row.doubts > 2 => "in_doubt",
                state => state,
            };
            if result.state == "released" {
                row.attempts -= 1;
            }
            row.due_at = now + Duration::from_secs_f64(result.retry_seconds);
            row.reply = result.reply.clone().or(row.reply.take());
            row.server = Some(result.server.to_string());
        }
        Ok(())
    }

    fn record_dead_mailboxes(&mut self, ids: Vec<i64>) -> Result<()> {
        self.tables().dead_mailboxes.extend(ids);
        Ok(())
    }

    fn rescue(&mut self, hold: bool) -> Result<()> {
        for row in &mut self.tables().rows {
            if row.state == "sending" {
                row.state = if hold { "in_doubt" } else { "queued" };
            }
        }
        Ok(())
    }

    fn purge(&mut self, _older_than: f64) -> Result<()> {
        Ok(())
    }

    fn report_server(&mut self, name: &str, away: Option<(f64, &str)>) -> Result<()> {
        let state = match away {
            Some((seconds, _)) => format!("{name} away for {seconds} s"),
            None => format!("{name} back"),
        };
        self.tables().reports.push(state);
        Ok(())
    }

    fn confirm(&mut self) -> Result<()> {
        self.tables().confirmations += 1;
        Ok(())
    }

    fn revoked(&self) -> SharedRevocations {
        Arc::clone(&self.revoked) as SharedRevocations
    }
}
