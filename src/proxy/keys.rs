//! The keys that tokens are verified with, kept up to date from the database; and whether its SQL is of the proxy's version.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::{info, warn};

use super::database::DatabaseError;
use super::pools::Pools;
use crate::tracking::token::{Keyring, Purpose, Token};
use crate::version::{self, Mismatch, VERSION};

/// How long a withdrawn key may go on working.
const REFRESH: Duration = Duration::from_secs(60);
/// Made-up key ids must not become queries: between two fetches for their sake lies at least this.
const UNPLANNED_REFRESH: Duration = Duration::from_secs(5);

/// Why a token is not accepted.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    /// Malformed, forged, or signed for something else.
    Bad,
    /// The key that it names is not here, and the database could not be asked for it just now.
    NoKeys,
}

/// The current keys. Verifying needs no database.
pub struct Keys {
    pools: Arc<Pools>,
    keyring: RwLock<Option<Arc<Keyring>>>,
    /// What to do about SQL of another version.
    mismatch: RwLock<Option<String>>,
    last_fetch: Mutex<LastFetch>,
}

#[derive(Default)]
struct LastFetch {
    at: Option<Instant>,
    failed: bool,
}

impl Keys {
    /// Starts without keys.
    pub fn new(pools: Arc<Pools>) -> Self {
        Self {
            pools,
            keyring: RwLock::new(None),
            mismatch: RwLock::new(None),
            last_fetch: Mutex::new(LastFetch::default()),
        }
    }

    /// Finds a token in what mail programs have made of it, and gives what it says and its one spelling. If it names a key that is not
    /// here, the keys are fetched again before it is refused.
    pub async fn find(&self, purpose: Purpose, text: &str) -> Result<(Token, String), Refused> {
        let find = |keyring: &Keyring| {
            let (token, spelling) = keyring.find(purpose, text)?;
            Some((token, spelling.to_owned()))
        };
        if let Some(keyring) = self.current() {
            if let Some(found) = find(&keyring) {
                return Ok(found);
            }
            if keyring.knows_key_of(text) {
                return Err(Refused::Bad);
            }
        }
        let fetched = self.fetch(UNPLANNED_REFRESH).await;
        let keyring = self.current().ok_or(Refused::NoKeys)?;
        if fetched || keyring.knows_key_of(text) {
            find(&keyring).ok_or(Refused::Bad)
        } else {
            Err(Refused::NoKeys)
        }
    }

    /// Fetches the keys at regular times, for ever; sooner again when the database did not give them.
    pub async fn refresh(&self) {
        loop {
            let fetched = self.fetch(Duration::ZERO).await;
            tokio::time::sleep(if fetched { REFRESH } else { UNPLANNED_REFRESH }).await;
        }
    }

    /// Fetches the keys unless that was tried less than `pause` ago; tells whether it did. Old keys stay when it fails.
    async fn fetch(&self, pause: Duration) -> bool {
        let mut last = self.last_fetch.lock().await;
        if last.at.is_some_and(|at| at.elapsed() < pause) {
            return false;
        }
        let outcome = self
            .pools
            .lookups
            .call(|session| async move {
                Ok((session.keyring().await?, session.extension_version().await?))
            })
            .await;
        last.at = Some(Instant::now());
        self.keep(outcome, &mut last);
        !last.failed
    }

    fn keep(
        &self,
        outcome: Result<(Keyring, Option<String>), DatabaseError>,
        last: &mut LastFetch,
    ) {
        match outcome {
            Ok((keyring, installed)) => {
                if last.failed || self.current().is_none() {
                    info!(?keyring, "fetched the keys");
                }
                last.failed = false;
                self.set(keyring);
                self.compare(installed.as_deref());
            }
            Err(error) => {
                if !last.failed {
                    warn!(%error, "keys could not be fetched");
                }
                last.failed = true;
            }
        }
    }

    /// Notes whether the SQL is of this program's version, and logs a change.
    fn compare(&self, installed: Option<&str>) {
        let found = installed.and_then(mismatch);
        let mut known = self
            .mismatch
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if *known != found {
            match &found {
                Some(mismatch) => warn!("{mismatch}; clicks are recorded meanwhile"),
                None => info!("the extension is of this version now"),
            }
            *known = found;
        }
    }

    /// What to do about SQL of another version than this program; None: it is of this one, or not known.
    pub fn mismatch(&self) -> Option<String> {
        self.mismatch
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The keys; None before the first are known.
    pub fn current(&self) -> Option<Arc<Keyring>> {
        self.keyring
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Whether tokens can be verified.
    pub fn are_known(&self) -> bool {
        self.current().is_some()
    }

    /// Puts keys in, until the database gives others.
    pub fn set(&self, keyring: Keyring) {
        *self.keyring.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(keyring));
    }
}

/// Says which of the two is older, and what to do about it; None: they are of one version.
fn mismatch(installed: &str) -> Option<String> {
    let advice = match version::mismatch(installed)? {
        Mismatch::SqlIsOlder => "run ALTER EXTENSION marketing_automation UPDATE",
        Mismatch::SqlIsNewer => "install and start the proxy of that version",
    };
    Some(format!(
        "the extension is {installed}, this proxy {VERSION}: {advice}"
    ))
}
