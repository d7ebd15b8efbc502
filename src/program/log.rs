//! The log of a program: how much, and how.

use std::io::IsTerminal;

use clap::ValueEnum;
use serde::Deserialize;
use tracing_subscriber::EnvFilter;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
}

impl LogLevel {
    /// The filter for the log. Of libraries only what went wrong: what they debug has tokens and addresses in it.
    pub fn filter(self) -> String {
        match self {
            Self::Error => "error".to_owned(),
            level => format!("warn,marketing_automation={level:?}").to_lowercase(),
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    #[default]
    Text,
    /// One object a line.
    Json,
}

/// Begins to log to stderr, once in a program.
pub fn start(level: LogLevel, format: LogFormat) {
    let log = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(level.filter()))
        .with_writer(std::io::stderr)
        // It would complain on stderr of a log that cannot be written there (full disk, closed pipe), and panic.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}
