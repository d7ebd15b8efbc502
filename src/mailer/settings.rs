//! The answer of `mailer_settings()`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::delivery::dkim::parse_keys;
use crate::delivery::server::definition::{Definition, Kind};
use crate::delivery::store::{Found, Policy, ServerRow, Settings};
use crate::mail::bounce::{Rule, Rules};
use crate::tracking::token::Keyring;

#[derive(Deserialize)]
pub(super) struct Answer {
    disarmed: Option<String>,
    session_settings: Option<String>,
    settings: Texts,
    numbers: Numbers,
    hidden_link: bool,
    servers: Vec<ServerAnswer>,
    targets: Vec<TargetAnswer>,
    bounce_rules: Vec<[String; 3]>,
    /// Ids, and secrets in hexadecimal digits; the signing one first.
    keys: Vec<(i16, String)>,
}

#[derive(Deserialize)]
struct Texts {
    smtp_url: Option<String>,
    smtp_password_file: Option<String>,
    automation_base: Option<String>,
    email_from: Option<String>,
    bounce_address: Option<String>,
    unsubscribe_address: Option<String>,
    feedback_sender: Option<String>,
    staging_mailbox: Option<String>,
    provider_headers: Option<String>,
    dkim_domain: Option<String>,
    dkim_selector: Option<String>,
    dkim_key_file: Option<String>,
    dkim_keys: Option<String>,
    in_doubt: Option<String>,
}

/// Times in seconds.
#[derive(Deserialize)]
struct Numbers {
    smtp_timeout: f64,
    retry_window: f64,
    message_retention: f64,
    batch_size: usize,
    smtp_connections: usize,
}

#[derive(Deserialize)]
struct ServerAnswer {
    name: String,
    url: String,
    password_file: Option<String>,
    sender_domain: Option<String>,
    priority: i32,
    weight: i32,
    connections: usize,
    limited: bool,
}

#[derive(Deserialize)]
struct TargetAnswer {
    origin: String,
    secret_file: Option<String>,
    is_private: bool,
    connections: usize,
    /// Seconds.
    timeout: f64,
}

/// The keys of DKIM with the places of their files here; what cannot be read is left for who checks it.
fn keys_here(keys: &str, here: impl Fn(Option<String>) -> Option<String>) -> String {
    let Ok(names) = parse_keys(keys) else {
        return keys.to_owned();
    };
    let entries = names.into_iter().map(|key| {
        let path = here(Some(key.path)).unwrap_or_default();
        format!("{} {} {path}", key.domain, key.selector)
    });
    entries.collect::<Vec<_>>().join(", ")
}

fn keyring(keys: &[(i16, String)]) -> Option<Keyring> {
    let keys = keys.iter().filter_map(|(id, secret)| {
        let secret = data_encoding::HEXLOWER.decode(secret.as_bytes()).ok()?;
        Some((u8::try_from(*id).ok()?, <[u8; 32]>::try_from(secret).ok()?))
    });
    Keyring::new(keys.collect())
}

fn rules(rows: &[[String; 3]]) -> Option<Arc<Rules>> {
    let rules = rows
        .iter()
        .map(|[kind, pattern, meaning]| Rule::parse(kind, pattern, meaning));
    let rules = rules
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| error.to_string())
        .and_then(|rules| Rules::new(rules).map_err(|error| error.to_string()));
    match rules {
        Ok(rules) => Some(Arc::new(rules)),
        Err(error) => {
            tracing::warn!(%error, "refusals are judged by the rules as they are shipped");
            None
        }
    }
}

impl Answer {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| format!("mailer_settings(): {error}"))
    }

    pub(super) fn policy(&self) -> Policy {
        Policy {
            hold: self.settings.in_doubt.as_deref() == Some("hold"),
            retry_window: self.numbers.retry_window,
            batch_size: self.numbers.batch_size,
            retention: Some(self.numbers.message_retention).filter(|seconds| *seconds > 0.0),
        }
    }

    /// What the engine needs to know. `secrets`: the directory where this host has the files that the settings name by their
    /// place on the database's; None: at the same place.
    pub(super) fn found(self, secrets: Option<&Path>) -> Found {
        let here = |file: Option<String>| match (file, secrets) {
            (Some(file), Some(secrets)) => {
                let name = Path::new(&file).file_name().unwrap_or_default();
                Some(secrets.join(name).to_string_lossy().into_owned())
            }
            (file, _) => file,
        };
        let texts = self.settings;
        let servers = self.servers.into_iter().map(|server| ServerRow {
            password_file: here(server.password_file),
            definition: Definition {
                kind: Kind::Mail,
                name: server.name,
                url: server.url,
                password: None,
                token_file: None,
                sender_domain: server.sender_domain,
                priority: server.priority,
                weight: server.weight,
                connections: server.connections,
                timeout: Duration::ZERO,
                limited: server.limited,
            },
        });
        let targets = self.targets.into_iter().map(|target| {
            let timeout = Duration::from_secs_f64(target.timeout.max(0.0));
            ServerRow {
                password_file: here(target.secret_file),
                definition: Definition::of_target(
                    target.origin,
                    target.is_private,
                    target.connections,
                    timeout,
                ),
            }
        });
        let targets = targets.collect();
        let settings = Settings {
            smtp_url: texts.smtp_url,
            smtp_password_file: here(texts.smtp_password_file),
            smtp_connections: self.numbers.smtp_connections,
            smtp_timeout: Duration::from_secs_f64(self.numbers.smtp_timeout.max(0.0)),
            automation_base: texts.automation_base,
            email_from: texts.email_from,
            bounce_address: texts.bounce_address,
            unsubscribe_address: texts.unsubscribe_address,
            feedback_sender: texts.feedback_sender,
            staging_mailbox: texts.staging_mailbox,
            provider_headers: texts.provider_headers,
            dkim_domain: texts.dkim_domain,
            dkim_selector: texts.dkim_selector,
            dkim_key_file: here(texts.dkim_key_file),
            dkim_keys: texts.dkim_keys.map(|keys| keys_here(&keys, here)),
            hidden_link: self.hidden_link,
            servers: servers.collect(),
            targets,
            bounce_rules: rules(&self.bounce_rules),
            keys: self.keys.iter().map(|(id, _)| *id).collect(),
            keyring: keyring(&self.keys),
        };
        Found {
            session_settings: self.session_settings,
            settings: match self.disarmed {
                Some(reason) => Err(reason),
                None => Ok(settings),
            },
        }
    }
}
