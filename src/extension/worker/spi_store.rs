//! The database as the engine of delivery sees it from inside the server: each call is a transaction of statements over SPI.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pgrx::prelude::*;

use super::registry;
use super::revocation::SharedMemory;
use super::statements;
use super::transaction::run_in_extension;
use crate::delivery::revocation::SharedRevocations;
use crate::delivery::store::{
    Claim, Claimed, Completed, Digest, FileRow, Found, Grant, NextDue, Policy, Result, Settings,
    Share, Store, TemplateRow,
};
use crate::extension::bounce_rules;
use crate::extension::keyring::keyring;
use crate::extension::settings::{self, InDoubt};
use crate::extension::snippets::snippets;
use crate::mail::bounce::Rules;
use crate::mail::template::Snippets;

/// A worker that begins, or can begin at last, while mailers send waits so long, until they have given up the connections that are its share.
const ARRIVAL: Duration = Duration::from_secs(2);

pub(super) struct SpiStore {
    began: Instant,
}

impl SpiStore {
    pub(super) fn new() -> Self {
        SpiStore {
            began: Instant::now(),
        }
    }

    /// Its share of the connections: the worker is the first of all that send.
    fn share(&self, senders: i64) -> Share {
        let is_awaited = senders > 1 && self.began.elapsed() < ARRIVAL;
        Share {
            senders: usize::try_from(senders).unwrap_or(1),
            place: (!is_awaited).then_some(0),
        }
    }
}

/// The rows of bounce_rule. One that is none, which its trigger refuses, must not stop sending.
fn bounce_rules() -> spi::Result<Option<Arc<Rules>>> {
    Ok(match bounce_rules::read()? {
        Ok(rules) => Some(Arc::new(rules)),
        Err(error) => {
            warning!("{error}; refusals are judged by the rules as they are shipped");
            None
        }
    })
}

impl Store for SpiStore {
    fn policy(&self) -> Policy {
        Policy {
            hold: settings::in_doubt() == InDoubt::hold,
            retry_window: settings::retry_window(),
            batch_size: usize::try_from(settings::batch_size()).unwrap_or(1),
            retention: settings::message_retention(),
        }
    }

    fn settings(&mut self, afresh: bool) -> Result<Found> {
        if registry::is_unconfigured() {
            // Mailers have its share of the connections.
            self.began = Instant::now();
        }
        run_in_extension(|| {
            let session_settings = statements::session_settings()?;
            if let Some(reason) = statements::check_armed()? {
                return Ok(Found {
                    session_settings,
                    settings: Err(reason),
                });
            }
            // In the order in which the tables were created, as DROP EXTENSION locks them.
            let targets = statements::webhook_targets()?;
            let servers = statements::smtp_servers()?;
            if afresh {
                statements::forget_server_states()?;
            }
            let keys = statements::tracking_keys()?;
            Ok(Found {
                session_settings,
                settings: Ok(Settings {
                    smtp_url: settings::smtp_url(),
                    smtp_password_file: settings::smtp_password_file(),
                    smtp_connections: settings::smtp_connections(),
                    smtp_timeout: Duration::from_secs(settings::smtp_timeout()),
                    automation_base: settings::automation_base(),
                    email_from: settings::email_from(),
                    bounce_address: settings::bounce_address(),
                    unsubscribe_address: settings::unsubscribe_address(),
                    feedback_sender: settings::feedback_sender(),
                    staging_mailbox: settings::staging_mailbox(),
                    provider_headers: settings::provider_headers(),
                    dkim_domain: settings::dkim_domain(),
                    dkim_selector: settings::dkim_selector(),
                    dkim_key_file: settings::dkim_key_file(),
                    dkim_keys: settings::dkim_keys(),
                    hidden_link: settings::hidden_link(),
                    servers,
                    targets,
                    bounce_rules: bounce_rules()?,
                    keys,
                    keyring: keyring()?,
                }),
            })
        })
    }

    fn claim(&mut self, size: usize, full_scan: bool) -> Result<Claim> {
        let size = i32::try_from(size).unwrap_or(i32::MAX);
        run_in_extension(|| {
            let mails: Vec<Claimed> = statements::claim_messages(size, full_scan)?;
            let (snippets_version, senders) = match mails.is_empty() {
                true => (None, None),
                false => statements::snippets_version_and_senders()?,
            };
            Ok(Claim {
                mails,
                snippets_version,
                share: senders.map(|senders| self.share(senders)),
            })
        })
    }

    fn next_due(&mut self) -> Result<NextDue> {
        run_in_extension(|| {
            let (seconds, pause, senders) = statements::next_due()?;
            Ok(NextDue {
                seconds,
                pause,
                share: senders.map(|senders| self.share(senders)),
            })
        })
    }

    fn templates(&mut self, activities: Vec<i32>) -> Result<Vec<TemplateRow>> {
        run_in_extension(|| statements::mail_templates(activities))
    }

    fn snippets(&mut self) -> Result<Snippets> {
        run_in_extension(snippets)
    }

    fn files(&mut self, mails: Vec<i64>) -> Result<Vec<FileRow>> {
        run_in_extension(|| statements::files(mails))
    }

    fn contents(
        &mut self,
        mails: Vec<i64>,
        digests: Vec<Digest>,
    ) -> Result<Vec<(Digest, Vec<u8>)>> {
        run_in_extension(|| statements::contents(mails, digests))
    }

    fn link_ids(&mut self, urls: Vec<String>) -> Result<Vec<(String, i64)>> {
        run_in_extension(|| statements::link_ids(urls))
    }

    fn permits(
        &mut self,
        servers: Vec<String>,
        in_hand: Vec<i32>,
        wanted: i32,
    ) -> Result<Vec<Grant>> {
        run_in_extension(|| statements::grant_tokens(servers, in_hand, wanted))
    }

    fn complete(&mut self, completed: &[Completed]) -> Result<()> {
        run_in_extension(|| statements::complete_messages(completed))
    }

    fn record_dead_mailboxes(&mut self, ids: Vec<i64>) -> Result<()> {
        run_in_extension(|| statements::record_dead_mailboxes(ids))
    }

    fn rescue(&mut self, hold: bool) -> Result<()> {
        run_in_extension(|| statements::rescue_messages(hold))
    }

    fn purge(&mut self, older_than: f64) -> Result<()> {
        run_in_extension(|| statements::purge_messages(older_than))
    }

    fn report_server(&mut self, name: &str, away: Option<(f64, &str)>) -> Result<()> {
        run_in_extension(|| statements::report_server(name, away))
    }

    fn revoked(&self) -> SharedRevocations {
        Arc::new(SharedMemory)
    }
}
