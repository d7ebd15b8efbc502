//! What the administrator decides: by flags, the environment and a file, in this order.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Parser;
use ipnet::IpNet;
use serde::Deserialize;
use thiserror::Error;

use super::Settings;
use super::bounce::{BounceToken, TokenError};
use super::client::{ForwardedHeader, Trust};
use super::spool::SpoolSettings;
use crate::program::listener::Listen;
use crate::program::log::{LogFormat, LogLevel};
use crate::program::tls::{Tls, TlsError};

const MOST_THREADS: usize = 64;

/// Tracking proxy of the PostgreSQL extension marketing_automation: records opens and clicks, redirects, unsubscribes.
///
/// It needs a role that was granted 'tracking' (select marketing_automation.grant_access('role', 'tracking')), with
/// --bounce-token-file 'bounces' too, and nothing else. Stops on SIGTERM and SIGINT after the requests under way, within 5 seconds; reads the certificate again
/// on SIGHUP.
///
/// A flag overrides its environment variable, and that the file that --config names, which is TOML with the long names
/// of the flags as keys: listen = "127.0.0.1:8080".
#[derive(Debug, Default, Parser, Deserialize)]
#[command(version)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Options {
    /// File with more options
    #[arg(long, env = "MARKETING_TRACKING_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,

    /// Where to listen: ADDRESS:PORT or unix:/PATH [default: 127.0.0.1:8080]
    #[arg(long, env = "MARKETING_TRACKING_LISTEN")]
    pub listen: Option<Listen>,

    /// Database, as libpq connection string or URL; a password belongs into the environment variable or the file, where
    /// other users cannot read it
    #[arg(long, env = "MARKETING_TRACKING_DATABASE_URL", hide_env_values = true)]
    pub database: Option<String>,

    /// Connections that record opens and clicks, 1 to 16; the more, the fewer hits share a commit [default: 1]
    #[arg(long, env = "MARKETING_TRACKING_CONNECTIONS")]
    pub connections: Option<usize>,

    /// Threads that answer requests, 1 to 64; the database needs cores too where it is on the same machine
    /// [default: half of the cores]
    #[arg(long, env = "MARKETING_TRACKING_THREADS")]
    pub threads: Option<usize>,

    /// Directory in which hits are kept while the database is away, and what answering them needs, keys too; one for each
    /// proxy; without it hits get 503
    #[arg(long, env = "MARKETING_TRACKING_SPOOL", value_name = "DIRECTORY")]
    pub spool: Option<PathBuf>,

    /// Largest size of the spool in megabytes; more hits get 503 [default: 1024]
    #[arg(long, env = "MARKETING_TRACKING_SPOOL_LIMIT", value_name = "MB")]
    pub spool_limit: Option<u64>,

    /// Networks of reverse proxies whose word is taken for a reader's address, such as 10.0.0.0/8, separated by commas;
    /// who comes through a Unix socket is trusted anyway
    #[arg(
        long,
        env = "MARKETING_TRACKING_TRUSTED_PROXIES",
        value_name = "NETWORKS",
        value_delimiter = ','
    )]
    pub trusted_proxies: Option<Vec<IpNet>>,

    /// Header in which they say it [default: x-forwarded-for]
    #[arg(
        long,
        env = "MARKETING_TRACKING_FORWARDED_HEADER",
        value_name = "HEADER"
    )]
    pub forwarded_header: Option<ForwardedHeader>,

    /// Certificate chain in PEM, to speak TLS on the TCP socket; needs --tls-key
    #[arg(long, env = "MARKETING_TRACKING_TLS_CERTIFICATE", value_name = "FILE")]
    pub tls_certificate: Option<PathBuf>,

    /// Key of the certificate in PEM
    #[arg(long, env = "MARKETING_TRACKING_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,

    /// File with the token of whoever hands in returned mails by POST /bounce; without it there is no such route
    #[arg(
        long,
        env = "MARKETING_TRACKING_BOUNCE_TOKEN_FILE",
        value_name = "FILE"
    )]
    pub bounce_token_file: Option<PathBuf>,

    /// What to log: debug has a line for each request [default: info]
    #[arg(long, env = "MARKETING_TRACKING_LOG", value_name = "LEVEL")]
    pub log: Option<LogLevel>,

    /// How to log [default: text]
    #[arg(long, env = "MARKETING_TRACKING_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,

    /// Try the configuration, the connection and every SQL function without effect, say what is wrong, and exit with 0 or 1
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
        "no database is given: use --database, MARKETING_TRACKING_DATABASE_URL or database in the file of --config"
    )]
    NoDatabase,
    #[error("--connections must be 1 to 16, not {0}")]
    Connections(usize),
    #[error("--threads must be 1 to 64, not {0}")]
    Threads(usize),
    #[error("--tls-certificate and --tls-key belong together")]
    HalfTls,
    #[error("TLS is for a TCP socket, and --listen names a Unix socket")]
    TlsOnUnixSocket,
    #[error("TLS: {0}")]
    Tls(#[from] TlsError),
    #[error("--bounce-token-file: {0}")]
    BounceToken(#[from] TokenError),
}

impl Options {
    /// Adds what the file says that is not said otherwise.
    pub fn with_file(self) -> Result<Self, OptionsError> {
        match self.config.clone() {
            Some(path) => {
                let file = read(&path)?;
                Ok(self.or(file))
            }
            None => Ok(self),
        }
    }

    fn or(self, file: Self) -> Self {
        Self {
            config: self.config,
            listen: self.listen.or(file.listen),
            database: self.database.or(file.database),
            connections: self.connections.or(file.connections),
            threads: self.threads.or(file.threads),
            spool: self.spool.or(file.spool),
            spool_limit: self.spool_limit.or(file.spool_limit),
            trusted_proxies: self.trusted_proxies.or(file.trusted_proxies),
            forwarded_header: self.forwarded_header.or(file.forwarded_header),
            tls_certificate: self.tls_certificate.or(file.tls_certificate),
            tls_key: self.tls_key.or(file.tls_key),
            bounce_token_file: self.bounce_token_file.or(file.bounce_token_file),
            log: self.log.or(file.log),
            log_format: self.log_format.or(file.log_format),
            check: self.check,
        }
    }

    /// How many threads to serve with.
    pub fn threads(&self) -> Result<usize, OptionsError> {
        let threads = self.threads.unwrap_or_else(|| {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            (cores / 2).clamp(1, MOST_THREADS)
        });
        match threads {
            1..=MOST_THREADS => Ok(threads),
            _ => Err(OptionsError::Threads(threads)),
        }
    }

    /// The settings, with defaults, checked.
    pub fn settings(&self) -> Result<Settings, OptionsError> {
        let listen = self.listen.clone().unwrap_or_default();
        let connections = self.connections.unwrap_or(1);
        if !(1..=16).contains(&connections) {
            return Err(OptionsError::Connections(connections));
        }
        self.threads()?;
        let tls = match (&self.tls_certificate, &self.tls_key) {
            (Some(_), Some(_)) if matches!(listen, Listen::Unix(_)) => {
                return Err(OptionsError::TlsOnUnixSocket);
            }
            (Some(certificate), Some(key)) => {
                Some(Arc::new(Tls::load(certificate.clone(), key.clone())?))
            }
            (None, None) => None,
            _ => return Err(OptionsError::HalfTls),
        };
        // An empty variable is one that is not set.
        let database = self
            .database
            .clone()
            .filter(|database| !database.is_empty());
        Ok(Settings {
            listen,
            database: database.ok_or(OptionsError::NoDatabase)?,
            connections,
            spool: self.spool.clone().map(|directory| SpoolSettings {
                directory,
                limit: self.spool_limit.unwrap_or(1024).saturating_mul(1 << 20),
            }),
            tls,
            trust: Trust {
                proxies: self.trusted_proxies.clone().unwrap_or_default(),
                header: self.forwarded_header.unwrap_or_default(),
            },
            bounce_token: self
                .bounce_token_file
                .as_deref()
                .map(BounceToken::load)
                .transpose()?,
        })
    }
}

fn read(path: &Path) -> Result<Options, OptionsError> {
    let text = std::fs::read_to_string(path).map_err(|error| OptionsError::Read {
        path: path.display().to_string(),
        error,
    })?;
    // Without the line itself, which may hold a password.
    toml::from_str(&text).map_err(|error| OptionsError::Parse {
        path: match error.span() {
            Some(span) => {
                let line = text[..span.start].matches('\n').count() + 1;
                format!("{} (line {line})", path.display())
            }
            None => path.display().to_string(),
        },
        error: error.message().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use tempfile::NamedTempFile;

    use super::*;

    fn file(text: &str) -> NamedTempFile {
        let file = NamedTempFile::new().unwrap();
        std::fs::write(&file, text).unwrap();
        file
    }

    fn path(file: &NamedTempFile) -> &str {
        file.path().to_str().unwrap()
    }

    fn parse(arguments: &[&str]) -> Options {
        Options::try_parse_from([&["proxy"], arguments].concat()).unwrap()
    }

    #[test]
    fn a_flag_overrides_the_file_and_the_file_the_default() {
        let file = file(
            "database = \"host=file\"\nlisten = \"unix:/run/file.sock\"\nconnections = 5\n\
             trusted-proxies = [\"10.0.0.0/8\", \"::1/128\"]\nforwarded-header = \"forwarded\"\nlog-format = \"json\"\n",
        );
        let options = parse(&["--config", path(&file), "--connections", "3"]);
        let options = options.with_file().unwrap();
        let settings = options.settings().unwrap();
        assert_eq!(settings.database, "host=file");
        assert_eq!(settings.listen.to_string(), "unix:/run/file.sock");
        assert_eq!(settings.connections, 3);
        assert_eq!(settings.trust.proxies.len(), 2);
        assert_eq!(settings.trust.header, ForwardedHeader::Forwarded);
        assert_eq!(options.log_format, Some(LogFormat::Json));
        assert!(settings.spool.is_none() && settings.tls.is_none());
    }

    #[test]
    fn what_is_wrong_is_named_without_secrets() {
        for (text, expected) in [
            ("colour = 'red'", "unknown field `colour`"),
            ("\nconnections = 'password=secret'", "(line 2)"),
            ("database = 'secret", "is not valid"),
        ] {
            let file = file(text);
            let error = parse(&["--config", path(&file)]).with_file().unwrap_err();
            let said = error.to_string();
            assert!(said.contains(expected), "{said}");
            assert!(!said.contains("secret\n"), "{said}");
        }
        for (arguments, expected) in [
            (
                &["--config", "/nonexistent.toml"][..],
                "cannot read the configuration",
            ),
            (&[], "no database is given"),
            (&["--database", "host=x", "--connections", "17"], "1 to 16"),
            (&["--database", "host=x", "--threads", "0"], "1 to 64"),
            (
                &["--database", "host=x", "--tls-key", "/k"],
                "belong together",
            ),
            (
                &[
                    "--database",
                    "host=x",
                    "--bounce-token-file",
                    "/nonexistent.token",
                ],
                "--bounce-token-file: /nonexistent.token",
            ),
            (
                &[
                    "--database",
                    "host=x",
                    "--listen",
                    "unix:/s",
                    "--tls-key",
                    "/k",
                    "--tls-certificate",
                    "/c",
                ],
                "Unix socket",
            ),
            (
                &[
                    "--database",
                    "host=x",
                    "--tls-key",
                    "/k",
                    "--tls-certificate",
                    "/nonexistent.pem",
                ],
                "/nonexistent.pem",
            ),
        ] {
            let said = parse(arguments)
                .with_file()
                .and_then(|options| options.settings())
                .unwrap_err()
                .to_string();
            assert!(said.contains(expected), "{said}");
        }
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
