//! The background workers: one launcher, and a mailer for each database that has the extension.
//!
//! | what | where |
//! | --- | --- |
//! | processes: who works where, how they start, wait and use transactions | [`launcher`], [`registry`], [`bgworker`], [`transaction`], [`installation`] |
//! | a mailer, around the engine of [`crate::delivery`] | [`mailer`], [`process`], [`spi_store`], [`statements`], [`revocation`] |
//! | what waits for a commit | [`on_commit`] |
//! | what comes back: opens and clicks | [`event_applier`] |
//! | rows of watched tables, as soon as they are committed | [`enroller`] |

mod bgworker;
mod enroller;
mod event_applier;
mod installation;
pub(super) mod launcher;
mod mailer;
mod on_commit;
mod process;
pub(super) mod registry;
pub(super) mod revocation;
mod spi_store;
pub(super) mod statements;
mod transaction;
