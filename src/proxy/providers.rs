//! Which providers may post what became of mails, and by which keys they are known: files are read at the start.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::HeaderMap;
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::warn;

use super::credential::{Credential, Malformed};
use crate::mail::provider::mailgun::UsedSignatures;
use crate::mail::provider::ses::{Message, Topics};
use crate::mail::provider::{Distrust, Provider, Refused, brevo, mailgun, postmark, sendgrid};

/// Between two messages in the log about requests that are not believed: a flood of these must not become one of those.
const WARN_SECONDS: u64 = 60;

/// Requests under way, each with a body of a megabyte at most, which is read before its signature can be looked at.
const UNDER_WAY: usize = 64;

/// What is wrong with a file. The text has nothing of what is in it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProviderError {
    #[error("{path}: {error}")]
    File { path: String, error: std::io::Error },
    #[error("{path} {problem}")]
    Key { path: String, problem: &'static str },
    #[error(transparent)]
    Credential(#[from] Malformed),
    #[error("--ses-certificate needs --ses-topics")]
    HalfSes,
    #[error("--ses-topics, --ses-certificate: {0}")]
    Ses(&'static str),
}

/// The files that an administrator names.
#[derive(Debug, Default, Clone)]
pub struct ProviderFiles {
    pub ses_topics: Vec<String>,
    pub ses_certificate: Option<PathBuf>,
    pub sendgrid_key: Option<PathBuf>,
    pub mailgun_key: Option<PathBuf>,
    pub postmark_credential: Option<PathBuf>,
    pub brevo_credential: Option<PathBuf>,
}

/// Who may post; nobody by default.
#[derive(Debug, Clone)]
pub struct Providers {
    ses: Option<Topics>,
    sendgrid: Option<sendgrid::Key>,
    mailgun: Option<mailgun::Key>,
    postmark: Option<Credential>,
    brevo: Option<Credential>,
    used: Arc<Mutex<UsedSignatures>>,
    /// Seconds since 1970 at which the log was told last.
    warned: Arc<AtomicU64>,
    under_way: Arc<Semaphore>,
}

impl Default for Providers {
    fn default() -> Self {
        Self {
            ses: None,
            sendgrid: None,
            mailgun: None,
            postmark: None,
            brevo: None,
            used: Arc::default(),
            warned: Arc::default(),
            under_way: Arc::new(Semaphore::new(UNDER_WAY)),
        }
    }
}

impl Providers {
    /// Reads the files.
    ///
    /// # Errors
    /// The first that cannot be read or used.
    pub fn load(files: &ProviderFiles) -> Result<Self, ProviderError> {
        let credential = |path: &Option<PathBuf>| -> Result<Option<Credential>, ProviderError> {
            let path = path.as_deref();
            path.map(|path| Ok(Credential::parse(&read(path)?, path)?))
                .transpose()
        };
        let pem = files.ses_certificate.as_deref().map(read).transpose()?;
        let ses = match (files.ses_topics.as_slice(), &pem) {
            ([], None) => None,
            ([], Some(_)) => return Err(ProviderError::HalfSes),
            (topics, pem) => {
                let topics = Topics::new(topics, pem.as_ref().map(String::as_bytes));
                Some(topics.map_err(ProviderError::Ses)?)
            }
        };
        Ok(Self {
            ses,
            sendgrid: key(files.sendgrid_key.as_deref(), sendgrid::Key::parse)?,
            mailgun: key(files.mailgun_key.as_deref(), mailgun::Key::parse)?,
            postmark: credential(&files.postmark_credential)?,
            brevo: credential(&files.brevo_credential)?,
            ..Self::default()
        })
    }

    /// Whether this one may post.
    #[must_use]
    pub fn has(&self, provider: Provider) -> bool {
        match provider {
            Provider::Ses => self.ses.is_some(),
            Provider::SendGrid => self.sendgrid.is_some(),
            Provider::Mailgun => self.mailgun.is_some(),
            Provider::Postmark => self.postmark.is_some(),
            Provider::Brevo => self.brevo.is_some(),
        }
    }

    /// Whether topics are given without the certificate by which they are believed.
    #[must_use]
    pub fn lacks_certificate(&self) -> bool {
        self.ses.as_ref().is_some_and(|topics| !topics.can_verify())
    }

    /// Whether any may.
    #[must_use]
    pub fn any(&self) -> bool {
        Provider::ALL.into_iter().any(|provider| self.has(provider))
    }

    /// A place among the requests under way, if there is one.
    #[must_use]
    pub fn begin(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.under_way).try_acquire_owned().ok()
    }

    /// What whoever posts has to say before the body is read, of those that sign nothing.
    #[must_use]
    pub fn credential(&self, provider: Provider) -> Option<&Credential> {
        match provider {
            Provider::Postmark => self.postmark.as_ref(),
            Provider::Brevo => self.brevo.as_ref(),
            _ => None,
        }
    }

    /// Reads a request, and believes it if it is signed as it has to be.
    ///
    /// # Errors
    /// It is not believed, or not understood.
    pub fn read(
        &self,
        provider: Provider,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Message, Refused> {
        let now = now();
        let header = |name| {
            let value = headers.get(name);
            value
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
        };
        let message = match provider {
            Provider::Ses => {
                let topics = self.ses.as_ref().ok_or(Distrust::Unsigned)?;
                topics.read(body)
            }
            Provider::SendGrid => {
                let key = self.sendgrid.as_ref().ok_or(Distrust::Unsigned)?;
                let (signature, timestamp) =
                    (header(sendgrid::SIGNATURE), header(sendgrid::TIMESTAMP));
                key.read(signature, timestamp, body, now)
                    .map(Message::Events)
            }
            Provider::Mailgun => {
                let key = self.mailgun.as_ref().ok_or(Distrust::Unsigned)?;
                let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
                key.read(body, now, &mut used).map(Message::Events)
            }
            Provider::Postmark => postmark::read(body)
                .map(Message::Events)
                .map_err(Refused::from),
            Provider::Brevo => brevo::read(body)
                .map(Message::Events)
                .map_err(Refused::from),
        };
        if let Err(refused) = &message {
            self.warn(provider, refused, now);
        }
        message
    }

    /// Says why, now and then: who has set up a wrong key has to learn it.
    fn warn(&self, provider: Provider, refused: &Refused, now: u64) {
        let last = self.warned.load(Ordering::Relaxed);
        let is_due = now.saturating_sub(last) >= WARN_SECONDS
            && self
                .warned
                .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if is_due {
            warn!(provider = provider.name(), reason = %refused, "a request is not taken");
        }
    }
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs())
}

fn key<K>(
    path: Option<&Path>,
    parse: impl Fn(&str) -> Result<K, &'static str>,
) -> Result<Option<K>, ProviderError> {
    path.map(|path| {
        parse(&read(path)?).map_err(|problem| ProviderError::Key {
            path: path.display().to_string(),
            problem,
        })
    })
    .transpose()
}

fn read(path: &Path) -> Result<String, ProviderError> {
    std::fs::read_to_string(path).map_err(|error| ProviderError::File {
        path: path.display().to_string(),
        error,
    })
}
