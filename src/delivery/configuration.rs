//! What sending needs to know, made of the settings in one place.

use std::sync::Arc;

use super::clock::Clock;
use super::dkim::{self, Keys};
use super::host::{Host, State};
use super::identifiers::default_feedback_sender;
use super::mail_settings::MailSettings;
use super::routing;
use super::secret::Secret;
use super::server::Server;
use super::server::definition::{Definition, Kind};
use super::store::{ServerRow, Settings};
use crate::mail::bounce::Rules;
use crate::mail::dkim::is_aligned;
use crate::mail::message::{self, TokenMailbox};
use crate::mail::provider::Echo;
use crate::smtp::TransportConfig;
use crate::tracking::url::BaseUrl;
use crate::webhook::signature::Key;

/// The settings as text, to see whether they have changed: connections are kept while they have not.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Source {
    servers: Vec<Definition>,
    /// Why some servers cannot be used.
    faults: Vec<String>,
    automation_base: String,
    email_from: Option<String>,
    bounce_address: Option<String>,
    unsubscribe_address: Option<String>,
    feedback_sender: Option<String>,
    staging_mailbox: Option<String>,
    provider_headers: Option<String>,
    dkim: Keys,
    hidden_link: bool,
    keys: Vec<i16>,
    bounce_rules: Option<Arc<Rules>>,
}

#[derive(Debug)]
pub struct Configuration {
    source: Source,
    /// In the order of routing::choose(); at least one.
    pub(super) servers: Vec<Arc<Server>>,
    /// Why others cannot be used.
    faults: Vec<String>,
    pub(super) mail: Arc<MailSettings>,
}

/// Why nothing can be sent.
pub(super) struct Missing {
    pub(super) state: State,
    pub(super) reason: String,
}

impl Missing {
    pub(super) fn disarmed(reason: &str) -> Self {
        Missing {
            state: State::Disarmed,
            reason: format!(
                "not armed to send, as {reason}: run select marketing_automation.arm() if it shall send"
            ),
        }
    }
}

fn unconfigured(reason: impl Into<String>) -> Missing {
    Missing {
        state: State::Unconfigured,
        reason: reason.into(),
    }
}

/// Gives a server its secret: the first line of the password file, or the file itself where the URL's user has an access token.
fn with_secret(definition: Definition, file: Option<&str>) -> Result<Definition, String> {
    let Some(path) = file else {
        return Ok(definition);
    };
    // What is wrong with the URL is said where it is used.
    if TransportConfig::parse(&definition.url).is_ok_and(|url| url.wants_token()) {
        return Ok(Definition {
            token_file: Some(path.into()),
            ..definition
        });
    }
    let text =
        Secret::read(path).map_err(|error| format!("cannot read the password file: {error}"))?;
    Ok(Definition {
        password: Some(text.first_line()),
        ..definition
    })
}

/// The server that the settings describe.
fn server_of_settings(settings: &Settings) -> Result<Definition, Missing> {
    let url = settings
        .smtp_url
        .clone()
        .ok_or_else(|| unconfigured("marketing_automation.smtp_url is not set"))?;
    let definition = Definition {
        kind: Kind::Mail,
        name: "smtp_url".to_owned(),
        url,
        password: None,
        token_file: None,
        sender_domain: None,
        priority: 0,
        weight: 1,
        connections: settings.smtp_connections,
        timeout: settings.smtp_timeout,
        limited: false,
    };
    with_secret(definition, settings.smtp_password_file.as_deref())
        .map_err(|error| unconfigured(format!("marketing_automation.smtp_password_file: {error}")))
}

/// The enabled servers of smtp_server that can be used, and why others cannot.
fn servers_of_table(rows: &[ServerRow], settings: &Settings) -> (Vec<Definition>, Vec<String>) {
    let mut faults = Vec::new();
    let mut definitions = Vec::new();
    for row in rows {
        let mut definition = row.definition.clone();
        definition.timeout = settings.smtp_timeout;
        match with_secret(definition, row.password_file.as_deref()) {
            Ok(definition) => definitions.push(definition),
            Err(error) => faults.push(format!("server \"{}\": {error}", row.definition.name)),
        }
    }
    (definitions, faults)
}

/// The targets of webhooks that can be used, and why others cannot.
fn targets_of_table(rows: &[ServerRow]) -> (Vec<Definition>, Vec<String>) {
    let mut faults = Vec::new();
    let mut definitions = Vec::new();
    for row in rows {
        let mut definition = row.definition.clone();
        let secret = row.password_file.as_deref().map(|path| {
            let text = Secret::read(path).map(|text| text.first_line());
            let text = text.map_err(|error| format!("cannot read the secret file: {error}"))?;
            Key::parse(&text.0).map(|_| text)
        });
        match secret.transpose() {
            Ok(secret) => {
                definition.password = secret;
                definitions.push(definition);
            }
            Err(error) => faults.push(format!("webhook target {}: {error}", definition.name)),
        }
    }
    (definitions, faults)
}

impl Configuration {
    /// Gives the previous configuration when nothing has changed.
    pub(super) fn build(
        previous: Option<&Arc<Configuration>>,
        settings: &Settings,
        clock: &Clock,
        host: &mut impl Host,
    ) -> Result<Arc<Configuration>, Missing> {
        let keyring = settings
            .keyring
            .clone()
            .ok_or_else(|| unconfigured("there is no tracking key"))?;
        let (servers, faults) = match settings.servers.is_empty() {
            true => (vec![server_of_settings(settings)?], Vec::new()),
            false => servers_of_table(&settings.servers, settings),
        };
        let targets = targets_of_table(&settings.targets);
        let (servers, faults) = ([servers, targets.0].concat(), [faults, targets.1].concat());
        let source = Source {
            servers,
            faults,
            automation_base: settings
                .automation_base
                .clone()
                .ok_or_else(|| unconfigured("marketing_automation.automation_base is not set"))?,
            email_from: settings.email_from.clone(),
            bounce_address: settings.bounce_address.clone(),
            unsubscribe_address: settings.unsubscribe_address.clone(),
            feedback_sender: settings.feedback_sender.clone(),
            staging_mailbox: settings.staging_mailbox.clone(),
            provider_headers: settings.provider_headers.clone(),
            dkim: dkim::read(settings).map_err(unconfigured)?,
            hidden_link: settings.hidden_link,
            keys: settings.keys.clone(),
            bounce_rules: settings.bounce_rules.clone(),
        };
        if let Some(previous) = previous.filter(|previous| previous.source == source) {
            return Ok(Arc::clone(previous));
        }
        let (servers, faults) = build_servers(previous, &source, clock)?;
        let base = BaseUrl::parse(&source.automation_base).map_err(|error| {
            unconfigured(format!("marketing_automation.automation_base: {error}"))
        })?;
        if base.is_in_clear() {
            host.warn(&format!(
                "marketing_automation.automation_base is {}: everybody on the way can read and use the links of mails; \
                 give it an https URL",
                source.automation_base
            ));
        }
        let host_name = url::Url::parse(&source.automation_base)
            .ok()
            .and_then(|url| url.host_str().map(str::to_owned))
            .ok_or_else(|| unconfigured("marketing_automation.automation_base has no host"))?;
        let mailbox = |name, setting: &Option<String>| {
            let parsed = setting
                .as_deref()
                .map(|text| TokenMailbox::parse("mailbox", text));
            parsed
                .transpose()
                .map_err(|error| unconfigured(format!("marketing_automation.{name}: {error}")))
        };
        let bounce_address = mailbox("bounce_address", &source.bounce_address)?;
        let unsubscribe_address = mailbox("unsubscribe_address", &source.unsubscribe_address)?;
        if let Some(address) = &source.staging_mailbox {
            message::check_address(address).map_err(|error| {
                unconfigured(format!("marketing_automation.staging_mailbox: {error}"))
            })?;
            host.warn(&format!(
                "all mails go to {address}, and not to those whom they are for: marketing_automation.staging_mailbox"
            ));
        }
        let echo = Echo::parse(source.provider_headers.as_deref().unwrap_or_default()).map_err(
            |error| unconfigured(format!("marketing_automation.provider_headers: {error}")),
        )?;
        let dkim = source.dkim.signers().map_err(unconfigured)?;
        if let Some(domain) = source
            .email_from
            .as_deref()
            .and_then(message::sender_domain)
            && let Some(signer) = dkim.for_sender(&domain)
            && !is_aligned(signer.domain(), &domain)
        {
            host.warn(&format!(
                "mails of marketing_automation.email_from, which is at {domain}, are signed for {}: DMARC wants a signature of \
                 the sender's domain; add a key for it to marketing_automation.dkim_keys",
                signer.domain()
            ));
        }
        let feedback_sender = source
            .feedback_sender
            .clone()
            .unwrap_or_else(|| default_feedback_sender(&host_name));
        Ok(Arc::new(Configuration {
            servers,
            faults,
            mail: Arc::new(MailSettings {
                base,
                host: host_name,
                email_from: source.email_from.clone(),
                bounce_address,
                unsubscribe_address,
                feedback_sender,
                staging_mailbox: source.staging_mailbox.clone(),
                echo,
                dkim,
                hidden_link: source.hidden_link,
                keyring,
            }),
            source,
        }))
    }

    /// Whether a target of webhooks is known.
    pub(super) fn knows(&self, target: &str) -> bool {
        self.servers.iter().any(|server| server.takes(Some(target)))
    }

    /// By which refusals are judged.
    pub(super) fn bounce_rules(&self) -> &Rules {
        match &self.source.bounce_rules {
            Some(rules) => rules,
            None => Rules::shipped(),
        }
    }

    /// Why some servers cannot be used.
    pub(super) fn faults(&self) -> Option<String> {
        (!self.faults.is_empty()).then(|| self.faults.join("; "))
    }
}

/// The servers of a configuration, and why some cannot be used. One that is defined as before stays as it is, with its
/// connections and what it knows.
fn build_servers(
    previous: Option<&Arc<Configuration>>,
    source: &Source,
    clock: &Clock,
) -> Result<(Vec<Arc<Server>>, Vec<String>), Missing> {
    let known = previous.map_or(&[][..], |previous| &previous.servers);
    let mut servers = Vec::with_capacity(source.servers.len());
    let mut faults = source.faults.clone();
    for definition in &source.servers {
        if let Some(same) = known.iter().find(|server| server.definition == *definition) {
            servers.push(Arc::clone(same));
            continue;
        }
        match Server::new(definition.clone(), clock) {
            Ok(server) => servers.push(Arc::new(server)),
            Err(error) => faults.push(format!("server \"{}\": {error}", definition.name)),
        }
    }
    if servers.is_empty() {
        return Err(unconfigured(faults.join("; ")));
    }
    routing::sort(&mut servers);
    Ok((servers, faults))
}
