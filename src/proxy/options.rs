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
use super::providers::{ProviderError, ProviderFiles, Providers};
use super::spool::SpoolSettings;
use crate::program::listener::Listen;
use crate::program::log::{LogFormat, LogLevel};
use crate::program::tls::{Tls, TlsError};

const MOST_THREADS: usize = 64;

/// Tracking proxy of the PostgreSQL extension marketing_automation: records opens and clicks, redirects, unsubscribes.
///
/// It needs a role that was granted 'tracking' (select marketing_automation.grant_access('role', 'tracking')), where returned
/// mails or events of providers are posted 'bounces' too, and nothing else. Stops on SIGTERM and SIGINT after the requests under way, within 5 seconds; reads the certificate again
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

    /// Topics of Amazon SNS, by their ARNs with commas between them, through which Amazon SES tells of bounces and complaints by
    /// POST /bounce/ses
    #[arg(
        long,
        env = "MARKETING_TRACKING_SES_TOPICS",
        value_name = "ARNS",
        value_delimiter = ','
    )]
    pub ses_topics: Option<Vec<String>>,

    /// Certificates in PEM with whose keys SNS signs; without it nothing is believed, and the log says where the one is that a message
    /// names
    #[arg(long, env = "MARKETING_TRACKING_SES_CERTIFICATE", value_name = "FILE")]
    pub ses_certificate: Option<PathBuf>,

    /// File with the verification key of SendGrid's signed event webhook, for POST /bounce/sendgrid
    #[arg(
        long,
        env = "MARKETING_TRACKING_SENDGRID_KEY_FILE",
        value_name = "FILE"
    )]
    pub sendgrid_key_file: Option<PathBuf>,

    /// File with Mailgun's HTTP webhook signing key, for POST /bounce/mailgun
    #[arg(long, env = "MARKETING_TRACKING_MAILGUN_KEY_FILE", value_name = "FILE")]
    pub mailgun_key_file: Option<PathBuf>,

    /// File with NAME:PASSWORD, or a bearer token, by which Postmark is known, for POST /bounce/postmark
    #[arg(
        long,
        env = "MARKETING_TRACKING_POSTMARK_CREDENTIAL_FILE",
        value_name = "FILE"
    )]
    pub postmark_credential_file: Option<PathBuf>,

    /// File with a bearer token, or NAME:PASSWORD, by which Brevo is known, for POST /bounce/brevo
    #[arg(
        long,
        env = "MARKETING_TRACKING_BREVO_CREDENTIAL_FILE",
        value_name = "FILE"
    )]
    pub brevo_credential_file: Option<PathBuf>,

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
    #[error(transparent)]
    Provider(#[from] ProviderError),
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
            ses_topics: self.ses_topics.or(file.ses_topics),
            ses_certificate: self.ses_certificate.or(file.ses_certificate),
            sendgrid_key_file: self.sendgrid_key_file.or(file.sendgrid_key_file),
            mailgun_key_file: self.mailgun_key_file.or(file.mailgun_key_file),
            postmark_credential_file: self
                .postmark_credential_file
                .or(file.postmark_credential_file),
            brevo_credential_file: self.brevo_credential_file.or(file.brevo_credential_file),
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
            providers: Providers::load(&self.provider_files())?,
        })
    }

    fn provider_files(&self) -> ProviderFiles {
        ProviderFiles {
            ses_topics: self.ses_topics.clone().unwrap_or_default(),
            ses_certificate: self.ses_certificate.clone(),
            sendgrid_key: self.sendgrid_key_file.clone(),
            mailgun_key: self.mailgun_key_file.clone(),
            postmark_credential: self.postmark_credential_file.clone(),
            brevo_credential: self.brevo_credential_file.clone(),
        }
    }

    /// The files that others should not be able to read.
    pub fn secret_files(&self) -> impl Iterator<Item = &Path> {
        [
            &self.bounce_token_file,
            &self.mailgun_key_file,
            &self.postmark_credential_file,
            &self.brevo_credential_file,
        ]
        .into_iter()
        .flatten()
        .map(PathBuf::as_path)
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
mod tests;
