//! The background workers: the launcher, and a mailer for each database that has the extension.

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
mod mailer;
mod pool;
mod queue;
mod rate_limit;
pub(super) mod registry;
mod retry;
pub(super) mod revocation;
mod routing;
mod scan_interval;
mod server;
pub(super) mod spi_store;
pub(super) mod templates;
mod transaction;
