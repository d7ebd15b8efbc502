//! The engine of delivery: takes rows of the outbox, makes messages of them, hands these to servers, and says what became of
//! each. What it asks of the database, of the process that runs it and of time comes in by traits, so it builds, and is tested,
//! without a server and without waiting.
//!
//! | what | where |
//! | --- | --- |
//! | what it asks for: the database, the process, time, commits that forbid mails | [`store`], [`host`], [`clock`], [`revocation`] |
//! | the loop: collect, complete, configure, claim | [`engine`] |
//! | what to claim and when | [`claim_size`], [`scan_interval`] |
//! | a way to deliver, and the ways there are | [`channel`], [`channels`] |
//! | which server takes a message | [`routing`], [`server`], [`breaker`], [`rests`], [`rate_limit`], [`queue`], [`crowd`] |
//! | one message | [`job`], [`templates`], [`links`], [`compose`], [`identifiers`], [`pool`], [`outcome`], [`diagnostic`], [`retry`] |
//! | what it works with | [`configuration`], [`mail_settings`], [`dkim`], [`secret`]; tried out by [`probe`] |
//!
//! ```text
//! claim ─► prepare (pool) ─► ids of new links ─► compose, deliver (pool) ─► complete
//! ```
//!
//! Only the thread of the engine asks the [`store::Store`]; preparing and delivering run on the threads of the pool, which
//! answers over a channel. Two claims at most are in flight, and prepared messages have a limit of memory; a claim is no larger
//! than what leaves within a second. An error of the store, a lost server or a panic in a mail ends a turn of the loop, not the
//! process.

mod attachments;
pub mod breaker;
pub mod channel;
pub mod channels;
mod claim_size;
pub mod clock;
pub mod compose;
pub mod configuration;
mod crowd;
pub mod diagnostic;
pub mod dkim;
pub mod engine;
pub mod host;
pub mod identifiers;
pub mod job;
mod links;
mod mail_settings;
pub mod message_class;
pub mod outcome;
pub mod pool;
pub mod probe;
mod queue;
mod rate_limit;
mod rests;
mod retry;
pub mod revocation;
mod routing;
mod scan_interval;
mod secret;
pub mod server;
pub mod store;
pub mod templates;
#[cfg(test)]
mod tests;
