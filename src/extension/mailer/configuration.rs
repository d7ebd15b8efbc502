//! What sending needs to know, read from the settings and the key ring in one place.

use std::sync::Arc;
use std::time::Duration;

use pgrx::prelude::*;

use super::dkim::{self, Dkim};
use crate::email::dkim::Signer;
use crate::email::message::BounceAddress;
use crate::email::transport::TransportConfig;
use crate::extension::workers::State;
use crate::extension::{settings, token};
use crate::tracking::token::Keyring;
use crate::tracking::url::BaseUrl;

/// The settings as text, to see whether they have changed: connections are kept while they have not.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Source {
    smtp_url: String,
    password: Option<Secret>,
    automation_base: String,
    email_from: Option<String>,
    bounce_address: Option<String>,
    dkim: Option<Dkim>,
    connections: usize,
    timeout: u64,
    keys: Vec<i16>,
}

/// A password or a key; never printed.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret(pub(super) String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("…")
    }
}

#[derive(Debug)]
pub(super) struct Configuration {
    source: Source,
    pub(super) transport: TransportConfig,
    /// What the transport is called in the log of attempts.
    pub(super) server: Arc<str>,
    pub(super) base: BaseUrl,
    /// Host of the base URL: the right side of Message-IDs.
    pub(super) host: String,
    pub(super) email_from: Option<String>,
    /// None: bounces go to the From address.
    pub(super) bounce_address: Option<BounceAddress>,
    /// None: mails are not signed here.
    pub(super) dkim: Option<Signer>,
    pub(super) connections: usize,
    pub(super) timeout: Duration,
    pub(super) keyring: Keyring,
}

/// Why nothing can be sent.
pub(super) struct Missing {
    pub(super) state: State,
    pub(super) reason: String,
}

pub(super) fn unconfigured(reason: impl Into<String>) -> Missing {
    Missing {
        state: State::Unconfigured,
        reason: reason.into(),
    }
}

/// Reads the first line of the password file.
fn read_password(path: &str) -> Result<Secret, Missing> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        unconfigured(format!(
            "cannot read marketing_automation.smtp_password_file: {error}"
        ))
    })?;
    Ok(Secret(text.lines().next().unwrap_or_default().to_owned()))
}

/// What ALTER DATABASE … SET and ALTER ROLE … SET say about this session. PostgreSQL reads it when a session starts only,
/// so a change means that another session must begin. In a transaction.
pub(super) fn session_settings() -> spi::Result<Option<String>> {
    Spi::get_one(
        "select pg_catalog.string_agg(s.setconfig::text, ' ' order by s.setdatabase, s.setrole)
         from pg_catalog.pg_db_role_setting s
         where s.setdatabase in (0, (select d.oid from pg_catalog.pg_database d where d.datname = pg_catalog.current_database()))
           and s.setrole in (0, (select a.oid from pg_catalog.pg_authid a where a.rolname = session_user))",
    )
}

impl Configuration {
    /// Reads settings and keys; gives the previous configuration when nothing has changed. In a transaction.
    pub(super) fn read(
        previous: Option<&Arc<Configuration>>,
    ) -> spi::Result<Result<Arc<Configuration>, Missing>> {
        if let Some(reason) = Spi::get_one::<String>("select marketing_automation.check_armed()")? {
            return Ok(Err(Missing {
                state: State::Disarmed,
                reason: format!(
                    "not armed to send, as {reason}: run select marketing_automation.arm() if it shall send"
                ),
            }));
        }
        let keys = Spi::connect_mut(|client| {
            client
                .update(
                    "select id from marketing_automation.tracking_keys()",
                    None,
                    &[],
                )?
                .map(|row| row.get::<i16>(1))
                .collect::<spi::Result<Vec<_>>>()
        })?;
        let Some(keyring) = token::keyring()? else {
            return Ok(Err(unconfigured("there is no tracking key")));
        };
        let keys = keys.into_iter().flatten().collect();
        Ok(Self::build(previous, keys, keyring))
    }

    fn build(
        previous: Option<&Arc<Configuration>>,
        keys: Vec<i16>,
        keyring: Keyring,
    ) -> Result<Arc<Configuration>, Missing> {
        let source = Source {
            smtp_url: settings::smtp_url()
                .ok_or_else(|| unconfigured("marketing_automation.smtp_url is not set"))?,
            password: settings::smtp_password_file()
                .map(|path| read_password(&path))
                .transpose()?,
            automation_base: settings::automation_base()
                .ok_or_else(|| unconfigured("marketing_automation.automation_base is not set"))?,
            email_from: settings::email_from(),
            bounce_address: settings::bounce_address(),
            dkim: dkim::read()?,
            connections: settings::smtp_connections(),
            timeout: settings::smtp_timeout(),
            keys,
        };
        if let Some(previous) = previous.filter(|previous| previous.source == source) {
            return Ok(Arc::clone(previous));
        }
        let mut transport = TransportConfig::parse(&source.smtp_url)
            .map_err(|error| unconfigured(format!("marketing_automation.smtp_url: {error}")))?;
        if let Some(password) = &source.password {
            transport = transport.with_password(password.0.clone());
        }
        let base = BaseUrl::parse(&source.automation_base).map_err(|error| {
            unconfigured(format!("marketing_automation.automation_base: {error}"))
        })?;
        if base.is_in_clear() {
            pgrx::warning!(
                "marketing_automation.automation_base is {}: everybody on the way can read and use the links of mails; \
                 give it an https URL",
                source.automation_base
            );
        }
        let host = url::Url::parse(&source.automation_base)
            .ok()
            .and_then(|url| url.host_str().map(str::to_owned))
            .ok_or_else(|| unconfigured("marketing_automation.automation_base has no host"))?;
        let bounce_address = source
            .bounce_address
            .as_deref()
            .map(BounceAddress::parse)
            .transpose()
            .map_err(|error| {
                unconfigured(format!("marketing_automation.bounce_address: {error}"))
            })?;
        Ok(Arc::new(Configuration {
            server: transport.to_string().into(),
            transport,
            base,
            host,
            email_from: source.email_from.clone(),
            bounce_address,
            dkim: source.dkim.as_ref().map(Dkim::signer).transpose()?,
            connections: source.connections,
            timeout: Duration::from_secs(source.timeout),
            keyring,
            source,
        }))
    }
}
