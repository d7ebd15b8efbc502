//! What the programs, proxy and mailer, have in common with any other: they listen, log, and report what `--check` has found.

pub mod listener;
pub mod log;
pub mod report;
pub mod tls;
