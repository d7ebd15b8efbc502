//! What the engine asks of the database. Each call is a transaction of its own, and none is open while the network is used. An
//! error is a text for worker_status() and the log; after it, nothing of the call has happened.

use std::sync::Arc;
use std::time::Duration;

use super::message_class::MessageClass;
use super::revocation::SharedRevocations;
use super::server::definition::Definition;
use crate::mail::addresses::Addresses;
use crate::mail::attachment::File;
use crate::mail::bounce::Rules;
use crate::mail::rendered::Consent;
use crate::mail::template::Snippets;
use crate::tracking::token::Keyring;

pub type Result<T> = std::result::Result<T, String>;

/// A row of the outbox as claimed.
#[derive(Debug, Clone)]
pub struct Claimed {
    pub id: i64,
    pub attempt: i32,
    /// Which way it goes: the name of a [`super::channel::Channel`].
    pub channel: String,
    /// The target of a webhook, scheme://host:port; None: it is a mail.
    pub target: Option<String>,
    /// None: a test.
    pub record: Option<i64>,
    pub record_uuid: String,
    pub activity: i32,
    /// Whose texts it has: the activity's own, or those of a variant.
    pub template: i32,
    /// Of the texts.
    pub version: i32,
    pub email: String,
    pub recipient_name: Option<String>,
    /// Who gets it beside its party, or instead.
    pub addresses: Addresses,
    pub language: String,
    pub time_zone: String,
    /// JSON text.
    pub context: String,
    pub party: Option<String>,
    /// Seconds since its first attempt.
    pub age: f64,
    pub consent: Consent,
    /// Seconds until its send window closes, seen from the claim; None: it has none.
    pub closes_in: Option<f64>,
}

/// What a claim brings.
#[derive(Debug, Clone, Default)]
pub struct Claim {
    pub mails: Vec<Claimed>,
    /// Differs after every change of snippets.
    pub snippets_version: Option<String>,
    /// None: it was not asked for.
    pub share: Option<Share>,
}

/// This process's share of the connections that servers allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// How many processes send for this database, this one among them.
    pub senders: usize,
    /// Its place among them, from 0 on; None: it has only just come, and the others still have all connections.
    pub place: Option<usize>,
}

impl Share {
    /// How many of these connections are its own: all together have no more. What is left over goes to the first ones.
    #[must_use]
    pub fn of(self, connections: usize) -> usize {
        let senders = self.senders.max(1);
        self.place.map_or(0, |place| {
            connections / senders + usize::from(place < connections % senders)
        })
    }
}

/// Templates of one activity, or variant, in one language; empty: its own.
#[derive(Debug, Clone)]
pub struct TemplateRow {
    pub activity: i32,
    pub version: i32,
    pub name: String,
    pub scenario: String,
    pub class: MessageClass,
    /// The language of the activity's own.
    pub own_language: String,
    pub language: String,
    pub sender: Option<String>,
    pub subject: Option<String>,
    pub body: Option<String>,
    pub reply_to: Option<String>,
    pub preheader: Option<String>,
    pub text: Option<String>,
    /// An object of names and templates.
    pub headers: Option<String>,
    /// Whether style sheets are written into the elements that they match.
    pub inline_css: bool,
    /// What the links of its mails get, and the hosts that get it.
    pub utm: Option<String>,
    pub utm_hosts: Option<String>,
    /// Of a webhook, whose body is JSON; None: it is a mail.
    pub url: Option<String>,
    /// Whether its mails take files along.
    pub has_attachments: bool,
}

/// A file of a claimed mail.
#[derive(Debug, Clone)]
pub struct FileRow {
    pub mail: i64,
    pub file: File,
    /// By which its content is kept; None: it has none, or too much.
    pub digest: Option<Digest>,
}

/// SHA-256 of a content.
pub type Digest = Vec<u8>;

/// The result of a delivery as the database keeps it.
#[derive(Debug, Clone)]
pub struct Completed {
    pub id: i64,
    pub attempt: i32,
    /// What becomes of the mail: sent, failed, queued (again), released or in_doubt.
    pub state: &'static str,
    /// How the attempt ended: sent, failed, deferred or in_doubt; none: it was no attempt.
    pub result: Option<&'static str>,
    pub reply: Option<String>,
    pub code: Option<i32>,
    pub status: Option<String>,
    pub server: Arc<str>,
    /// The name of the server; empty: none has been chosen.
    pub server_name: Arc<str>,
    pub retry_seconds: f64,
}

/// An enabled row of smtp_server, or of webhook_target.
#[derive(Debug, Clone)]
pub struct ServerRow {
    /// Still without password, and, of smtp_server, without timeout.
    pub definition: Definition,
    pub password_file: Option<String>,
}

/// What a limited server may take.
#[derive(Debug, Clone)]
pub struct Grant {
    pub server: String,
    pub tokens: usize,
    /// The warm-up allows no more than the tokens in hand today.
    pub is_exhausted: bool,
    /// How long until there is another token.
    pub wait: Duration,
}

/// When there is something to claim.
#[derive(Debug, Clone, Default)]
pub struct NextDue {
    /// Seconds until the next queued mail may be claimed; None: none is queued.
    pub seconds: Option<f64>,
    /// Who has paused sending, and why.
    pub pause: Option<String>,
    pub share: Option<Share>,
}

/// Settings that may change from one turn of the loop to the next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    /// A mail in doubt waits for a person instead of being sent again.
    pub hold: bool,
    /// Seconds after which a mail that is refused temporarily again and again is given up.
    pub retry_window: f64,
    pub batch_size: usize,
    /// Seconds after which mails that ended are removed; None: never.
    pub retention: Option<f64>,
}

/// The settings of sending, as text.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    pub smtp_url: Option<String>,
    pub smtp_password_file: Option<String>,
    pub smtp_connections: usize,
    pub smtp_timeout: Duration,
    pub automation_base: Option<String>,
    pub email_from: Option<String>,
    pub bounce_address: Option<String>,
    pub unsubscribe_address: Option<String>,
    pub feedback_sender: Option<String>,
    pub staging_mailbox: Option<String>,
    pub provider_headers: Option<String>,
    pub dkim_domain: Option<String>,
    pub dkim_selector: Option<String>,
    pub dkim_key_file: Option<String>,
    pub dkim_keys: Option<String>,
    pub hidden_link: bool,
    /// The enabled rows of smtp_server; none: the settings name the server.
    pub servers: Vec<ServerRow>,
    /// The enabled rows of webhook_target.
    pub targets: Vec<ServerRow>,
    /// By which refusals are judged; None: as they are shipped.
    pub bounce_rules: Option<Arc<Rules>>,
    /// The ids of the tracking keys.
    pub keys: Vec<i16>,
    pub keyring: Option<Keyring>,
}

/// What a look at the settings finds.
#[derive(Debug, Clone)]
pub struct Found {
    /// What ALTER DATABASE … SET and ALTER ROLE … SET say about this session. PostgreSQL reads it when a session starts only,
    /// so a change means that another session must begin.
    pub session_settings: Option<String>,
    /// The settings, or why this database may not send.
    pub settings: std::result::Result<Settings, String>,
}

/// The database.
pub trait Store {
    fn policy(&self) -> Policy;

    /// Reads all settings. `afresh`: for the first time, so nothing is known of servers that are out of reach.
    fn settings(&mut self, afresh: bool) -> Result<Found>;

    /// Claims at most so many mails that are due. `full_scan`: from the beginning of the queue, past its cursor.
    fn claim(&mut self, size: usize, full_scan: bool) -> Result<Claim>;

    fn next_due(&mut self) -> Result<NextDue>;

    fn templates(&mut self, activities: Vec<i32>) -> Result<Vec<TemplateRow>>;

    fn snippets(&mut self) -> Result<Snippets>;

    /// The files of these claimed mails, those of each in their order.
    fn files(&mut self, mails: Vec<i64>) -> Result<Vec<FileRow>>;

    /// The contents of files of these claimed mails.
    fn contents(&mut self, mails: Vec<i64>, digests: Vec<Digest>)
    -> Result<Vec<(Digest, Vec<u8>)>>;

    /// The ids of URLs; new ones are stored.
    fn link_ids(&mut self, urls: Vec<String>) -> Result<Vec<(String, i64)>>;

    /// Asks for tokens: so many that each of these servers has `wanted` in hand, as far as its limits allow.
    fn permits(
        &mut self,
        servers: Vec<String>,
        in_hand: Vec<i32>,
        wanted: i32,
    ) -> Result<Vec<Grant>>;

    /// Records results, each only for the attempt that it belongs to, and starts the children of what was sent. A mail that a server
    /// has left in doubt for the third time is held, though its state says queued.
    fn complete(&mut self, completed: &[Completed]) -> Result<()>;

    /// Suppresses the recipients of these mails, which a server refused because their mailboxes do not exist.
    fn record_dead_mailboxes(&mut self, ids: Vec<i64>) -> Result<()>;

    /// Takes back what others that have ended had in flight. `hold`: for a person to decide.
    fn rescue(&mut self, hold: bool) -> Result<()>;

    /// Removes the mails that ended longer ago than so many seconds.
    fn purge(&mut self, older_than: f64) -> Result<()>;

    /// Notes that a server is left alone for some seconds, and why, or that it answers again.
    fn report_server(&mut self, name: &str, away: Option<(f64, &str)>) -> Result<()>;

    /// Asks again about mails that have waited for long: a claim whose lease has grown says little about what has been forbidden
    /// since. For stores that do not hear of revocations by themselves.
    fn confirm(&mut self) -> Result<()> {
        Ok(())
    }

    /// Where commits are heard of that forbid mails which are claimed already.
    fn revoked(&self) -> SharedRevocations;
}
