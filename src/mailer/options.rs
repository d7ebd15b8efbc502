//! What the administrator decides: by flags, the environment and a file, in this order.

use std::path::PathBuf;

use clap::Parser;
use serde::Deserialize;
use thiserror::Error;
use uuid::Uuid;

pub use super::session::Identity;
use crate::program::listener::Listen;
use crate::program::log::{LogFormat, LogLevel};

/// Sends the mails of the PostgreSQL extension marketing_automation from this host, beside the worker in the server or instead of it.
///
/// It needs a role that was granted 'mailer' (select marketing_automation.grant_access('role', 'mailer')) and nothing else, a
/// connection to the server itself, not to a pooler, and the files that the settings name (password of the SMTP server, key of DKIM).
/// Everything else it reads from the database. Stops on SIGTERM and SIGINT after the mails that are with a server.
///
/// A flag overrides its environment variable, and that the file that --config names, which is TOML with the long names
/// of the flags as keys: name = "mailer-1".
#[derive(Debug, Default, Parser, Deserialize)]
#[command(version)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Options {
    /// File with more options
    #[arg(long, env = "MARKETING_MAILER_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,

    /// Database, as libpq connection string or URL, with sslmode and sslrootcert; a password belongs into the environment variable
    /// or the file, where other users cannot read it
    #[arg(long, env = "MARKETING_MAILER_DATABASE_URL", hide_env_values = true)]
    pub database: Option<String>,

    /// Name of this mailer, which no other of the database may have [default: the name of this host]
    #[arg(long, env = "MARKETING_MAILER_NAME")]
    pub name: Option<String>,

    /// Where to answer GET /healthz, /readyz and /metrics: ADDRESS:PORT or unix:/PATH [default: nowhere]
    #[arg(long, env = "MARKETING_MAILER_LISTEN")]
    pub listen: Option<Listen>,

    /// Directory with the files that settings name by their place on the database's host: one of the same name here is taken
    /// [default: the same place]
    #[arg(long, env = "MARKETING_MAILER_SECRETS", value_name = "DIRECTORY")]
    pub secrets: Option<PathBuf>,

    /// What to log [default: info]
    #[arg(long, env = "MARKETING_MAILER_LOG", value_name = "LEVEL")]
    pub log: Option<LogLevel>,

    /// How to log [default: text]
    #[arg(long, env = "MARKETING_MAILER_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,

    /// Try the configuration, the database, the role, the settings and each SMTP server, without a mail; say what is wrong, and
    /// exit with 0 or 1
    #[arg(long)]
    #[serde(skip)]
    pub check: bool,
}

/// What is wrong with the options.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OptionsError {
    #[error("cannot read the configuration {path}: {error}")]
    Read { path: String, error: std::io::Error },
    #[error("the configuration {path} is not valid: {error}")]
    Parse { path: String, error: String },
    #[error(
        "no database is given: use --database, MARKETING_MAILER_DATABASE_URL or database in the file of --config"
    )]
    NoDatabase,
    #[error("this host has no name that a mailer can have: use --name")]
    NoName,
}

/// The options, with defaults, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    pub database: String,
    pub identity: Identity,
    pub listen: Option<Listen>,
    pub secrets: Option<PathBuf>,
}

impl Options {
    /// Adds what the file says that is not said otherwise.
    pub fn with_file(self) -> Result<Self, OptionsError> {
        let Some(path) = self.config.clone() else {
            return Ok(self);
        };
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(&path).map_err(|error| OptionsError::Read {
            path: shown.clone(),
            error,
        })?;
        let file: Self = toml::from_str(&text).map_err(|error| OptionsError::Parse {
            path: shown,
            // Not the whole: it quotes the line, which may have a password in it.
            error: error.message().to_owned(),
        })?;
        Ok(Self {
            config: self.config,
            database: self.database.or(file.database),
            name: self.name.or(file.name),
            listen: self.listen.or(file.listen),
            secrets: self.secrets.or(file.secrets),
            log: self.log.or(file.log),
            log_format: self.log_format.or(file.log_format),
            check: self.check,
        })
    }

    pub fn settings(&self) -> Result<Settings, OptionsError> {
        // An empty variable is one that is not set.
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let host = hostname::get().ok();
        let host = host.map(|host| host.to_string_lossy().into_owned());
        let host = host.filter(|host| !host.is_empty());
        Ok(Settings {
            database: given(&self.database).ok_or(OptionsError::NoDatabase)?,
            identity: Identity {
                name: given(&self.name)
                    .or_else(|| host.clone())
                    .ok_or(OptionsError::NoName)?,
                host: host.unwrap_or_else(|| "unknown".to_owned()),
                instance: Uuid::now_v7(),
            },
            listen: self.listen.clone(),
            secrets: self.secrets.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Options {
        Options::try_parse_from([&["marketing-mailer"], arguments].concat()).unwrap()
    }

    #[test]
    fn flags_override_the_file_and_the_host_gives_the_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mailer.toml");
        std::fs::write(
            &path,
            "database = \"host=a\"\nname = \"one\"\nlisten = \"127.0.0.1:9\"",
        )
        .unwrap();
        let path = path.to_str().unwrap();
        let settings =
            |arguments: &[&str]| parse(arguments).with_file().unwrap().settings().unwrap();
        let both = settings(&["--config", path, "--name", "two"]);
        assert_eq!(
            (both.database.as_str(), both.identity.name.as_str()),
            ("host=a", "two")
        );
        assert_eq!(both.listen, Some("127.0.0.1:9".parse().unwrap()));
        let bare = settings(&["--database", "host=b"]);
        assert_eq!(bare.identity.name, bare.identity.host);
        assert_ne!(bare.identity.instance, both.identity.instance);
    }

    #[test]
    fn mistakes_are_named_and_a_password_is_not_quoted() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mailer.toml");
        std::fs::write(&path, "database = \"password=secret\" \"").unwrap();
        let error = parse(&["--config", path.to_str().unwrap()])
            .with_file()
            .unwrap_err();
        assert!(error.to_string().contains("mailer.toml") && !error.to_string().contains("secret"));
        let error = parse(&["--config", "/nonexistent"])
            .with_file()
            .unwrap_err();
        assert!(error.to_string().contains("/nonexistent"));
        assert!(
            parse(&[])
                .settings()
                .unwrap_err()
                .to_string()
                .contains("--database")
        );
    }

    #[test]
    fn every_option_is_explained() {
        use clap::CommandFactory;
        let command = Options::command();
        for argument in command.get_arguments() {
            assert!(argument.get_help().is_some(), "{}", argument.get_id());
        }
        command.debug_assert();
    }
}
