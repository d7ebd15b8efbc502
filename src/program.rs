//! What the programs, proxy and mailer, have in common with any other: they listen, log, report what `--check` has found, and
//! end no transaction of theirs by a setting of their role.

pub mod listener;
pub mod log;
pub mod report;
pub mod session;
pub mod tls;
