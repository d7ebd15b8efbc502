//! The background workers: one launcher, and a mailer for each database that has the extension.
//!
//! | what | where |
//! | --- | --- |
//! | processes: who works where, how they start, wait and use transactions | [`launcher`], [`registry`], [`bgworker`], [`transaction`], [`installation`] |
//! | a mailer and its loop | [`mailer`], [`engine`], [`event_applier`] |
//! | what to claim and when | [`claim_size`], [`scan_interval`], [`revocation`] |
//! | which server takes a mail | [`routing`], [`server`], [`breaker`], [`rate_limit`], [`queue`] |
//! | one mail | [`job`], [`templates`], [`links`], [`compose`], [`pool`], [`outcome`], [`diagnostic`], [`retry`] |
//! | what it works with | [`configuration`], [`mail_settings`], [`dkim`], [`secret`], [`spi_store`] |
//!
//! Servers and mails are plain data, and the threads of the pool never touch PostgreSQL: SQL is run by the main thread, in
//! [`spi_store`], [`configuration`] and [`templates`].

mod bgworker;
mod breaker;
mod claim_size;
pub(super) mod compose;
mod configuration;
mod diagnostic;
mod dkim;
mod engine;
mod event_applier;
mod installation;
mod job;
pub(super) mod launcher;
mod links;
mod mail_settings;
mod mailer;
mod outcome;
mod pool;
mod queue;
mod rate_limit;
pub(super) mod registry;
mod retry;
pub(super) mod revocation;
mod routing;
mod scan_interval;
mod secret;
mod server;
pub(super) mod spi_store;
pub(super) mod templates;
mod transaction;
