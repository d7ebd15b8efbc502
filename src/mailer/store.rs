//! The database as the engine of delivery sees it from another host: each call is one function of the extension, which only a role
//! with the access `mailer` may call, and a transaction of its own.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::{Error, Row};

use super::confirmation::Confirmations;
use super::session::Session;
use super::settings::Answer;
use crate::delivery::message_class::MessageClass;
use crate::delivery::revocation::SharedRevocations;
use crate::delivery::store::{
    Claim, Claimed, Completed, Digest, FileRow, Found, Grant, NextDue, Policy, Result, Share,
    Store, TemplateRow,
};
use crate::mail::addresses::Addresses;
use crate::mail::attachment::File;
use crate::mail::rendered::Consent;
use crate::mail::template::Snippets;

pub(super) struct PostgresStore {
    session: Rc<RefCell<Session>>,
    confirmations: Arc<Confirmations>,
    policy: Policy,
    secrets: Option<PathBuf>,
}

impl PostgresStore {
    pub(super) fn new(session: &Rc<RefCell<Session>>, secrets: Option<PathBuf>) -> Self {
        PostgresStore {
            session: Rc::clone(session),
            confirmations: Arc::new(Confirmations::new()),
            // Until the settings are read, and nothing is claimed before.
            policy: Policy {
                hold: true,
                retry_window: 0.0,
                batch_size: 1,
                retention: None,
            },
            secrets,
        }
    }
}

fn claimed(row: &Row) -> std::result::Result<Claimed, Error> {
    Ok(Claimed {
        id: row.try_get(0)?,
        attempt: row.try_get(1)?,
        record: row.try_get(2)?,
        record_uuid: row.try_get(3)?,
        activity: row.try_get(4)?,
        template: row.try_get(20)?,
        version: row.try_get(5)?,
        email: row.try_get(6)?,
        recipient_name: row.try_get(7)?,
        addresses: Addresses::read(row.try_get(22)?),
        language: row.try_get(8)?,
        time_zone: row.try_get(9)?,
        context: row.try_get(10)?,
        party: row.try_get(11)?,
        age: row.try_get(12)?,
        consent: Consent {
            opens: row.try_get(13)?,
            clicks: row.try_get(14)?,
        },
        channel: row.try_get(15)?,
        target: row.try_get(21)?,
        closes_in: row.try_get(19)?,
    })
}

/// Its share of the connections, from two columns.
fn share(row: &Row, first: usize) -> std::result::Result<Share, Error> {
    let number = |value: i32| usize::try_from(value).unwrap_or_default();
    Ok(Share {
        senders: number(row.try_get(first)?),
        place: row.try_get::<_, Option<i32>>(first + 1)?.map(number),
    })
}

fn column<'a, T>(completed: &'a [Completed], value: impl Fn(&'a Completed) -> T) -> Vec<T> {
    completed.iter().map(value).collect()
}

impl Store for PostgresStore {
    fn policy(&self) -> Policy {
        self.policy
    }

    fn settings(&mut self, _afresh: bool) -> Result<Found> {
        let mut session = self.session.borrow_mut();
        let text: String = session.ask(async |live| {
            let question = "select marketing_automation.mailer_settings()::text";
            live.client.query_one(question, &[]).await?.try_get(0)
        })?;
        let answer = Answer::parse(&text)?;
        self.policy = answer.policy();
        session.is_configured = true;
        Ok(answer.found(self.secrets.as_deref()))
    }

    fn claim(&mut self, size: usize, full_scan: bool) -> Result<Claim> {
        let size = i32::try_from(size).unwrap_or(i32::MAX);
        let mut session = self.session.borrow_mut();
        session
            .connect()
            .map_err(super::session::Absent::into_text)?;
        if !session.is_configured {
            // It was lost since this turn of the loop began. The new one may be of a copy that must not send: settings first.
            return Ok(Claim::default());
        }
        let rows = session.ask(async |live| {
            let rows = live.client.query(&live.claim, &[&size, &full_scan]).await?;
            let mails: std::result::Result<Vec<_>, _> = rows.iter().map(claimed).collect();
            let (version, share) = match rows.first() {
                Some(row) => (row.try_get(16)?, Some(share(row, 17)?)),
                None => (None, None),
            };
            Ok((mails?, version, share))
        })?;
        let (mails, snippets_version, share) = rows;
        let ids: Vec<i64> = mails.iter().map(|mail| mail.id).collect();
        self.confirmations.claimed(&ids);
        session
            .in_hand
            .extend(mails.iter().map(|mail| (mail.id, mail.attempt)));
        Ok(Claim {
            mails,
            snippets_version,
            share,
        })
    }

    fn next_due(&mut self) -> Result<NextDue> {
        self.session.borrow_mut().ask(async |live| {
            let question =
                "select seconds, pause, senders, place from marketing_automation.mailer_next_due()";
            let row = live.client.query_one(question, &[]).await?;
            Ok(NextDue {
                seconds: row.try_get(0)?,
                pause: row.try_get(1)?,
                share: Some(share(&row, 2)?),
            })
        })
    }

    fn templates(&mut self, activities: Vec<i32>) -> Result<Vec<TemplateRow>> {
        self.session.borrow_mut().ask(async |live| {
            let question = "select activity_id, version, activity, scenario, own_language, language, sender, subject, body, \
                 message_class, bulk_headers, reply_to, utm, utm_hosts, preheader, text, headers::text, inline_css, url, has_attachments \
                 from marketing_automation.mailer_templates($1)";
            let rows = live.client.query(question, &[&activities]).await?;
            let rows = rows.iter().map(|row| {
                Ok(TemplateRow {
                    activity: row.try_get(0)?,
                    version: row.try_get(1)?,
                    name: row.try_get(2)?,
                    scenario: row.try_get(3)?,
                    class: MessageClass {
                        name: row.try_get(9)?,
                        has_bulk_headers: row.try_get(10)?,
                    },
                    own_language: row.try_get(4)?,
                    language: row.try_get(5)?,
                    sender: row.try_get(6)?,
                    subject: row.try_get(7)?,
                    body: row.try_get(8)?,
                    reply_to: row.try_get(11)?,
                    utm: row.try_get(12)?,
                    utm_hosts: row.try_get(13)?,
                    preheader: row.try_get(14)?,
                    text: row.try_get(15)?,
                    headers: row.try_get(16)?,
                    inline_css: row.try_get(17)?,
                    url: row.try_get(18)?,
                    has_attachments: row.try_get(19)?,
                })
            });
            rows.collect()
        })
    }

    fn snippets(&mut self) -> Result<Snippets> {
        self.session.borrow_mut().ask(async |live| {
            let question =
                "select name, language, body from marketing_automation.mailer_snippets()";
            let mut snippets = Snippets::default();
            for row in live.client.query(question, &[]).await? {
                snippets.add(row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            }
            Ok(snippets)
        })
    }

    fn files(&mut self, mails: Vec<i64>) -> Result<Vec<FileRow>> {
        self.session.borrow_mut().ask(async |live| {
            let question = "select message_id, name, type, cid, size, digest from marketing_automation.mailer_files($1)";
            let rows = live.client.query(question, &[&mails]).await?;
            let rows = rows.iter().map(|row| {
                Ok(FileRow {
                    mail: row.try_get(0)?,
                    file: File {
                        name: row.try_get(1)?,
                        content_type: row.try_get(2)?,
                        cid: row.try_get(3)?,
                        size: row.try_get::<_, Option<i64>>(4)?.map(i64::unsigned_abs),
                    },
                    digest: row.try_get(5)?,
                })
            });
            rows.collect()
        })
    }

    fn contents(
        &mut self,
        mails: Vec<i64>,
        digests: Vec<Digest>,
    ) -> Result<Vec<(Digest, Vec<u8>)>> {
        self.session.borrow_mut().ask(async |live| {
            let question =
                "select digest, content from marketing_automation.mailer_file_contents($1, $2)";
            let rows = live.client.query(question, &[&mails, &digests]).await?;
            rows.iter()
                .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
                .collect()
        })
    }

    fn link_ids(&mut self, urls: Vec<String>) -> Result<Vec<(String, i64)>> {
        self.session.borrow_mut().ask(async |live| {
            let question = "select url, id from marketing_automation.mailer_link_ids($1)";
            let rows = live.client.query(question, &[&urls]).await?;
            rows.iter()
                .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
                .collect()
        })
    }

    fn permits(
        &mut self,
        servers: Vec<String>,
        in_hand: Vec<i32>,
        wanted: i32,
    ) -> Result<Vec<Grant>> {
        self.session.borrow_mut().ask(async |live| {
            let question = "select server, tokens, is_exhausted, wait_seconds from marketing_automation.mailer_tokens($1, $2, $3)";
            let rows = live
                .client
                .query(question, &[&servers, &in_hand, &wanted])
                .await?;
            let grants = rows.iter().map(|row| {
                Ok(Grant {
                    server: row.try_get(0)?,
                    tokens: row.try_get::<_, i32>(1)?.unsigned_abs() as usize,
                    is_exhausted: row.try_get(2)?,
                    wait: Duration::from_secs_f64(row.try_get::<_, f64>(3)?.clamp(0.0, 86_400.0)),
                })
            });
            grants.collect()
        })
    }

    fn complete(&mut self, completed: &[Completed]) -> Result<()> {
        let mut session = self.session.borrow_mut();
        session.ask(async |live| {
            live.client
                .execute(
                    &live.complete,
                    &[
                        &column(completed, |mail| mail.id),
                        &column(completed, |mail| mail.attempt),
                        &column(completed, |mail| mail.state),
                        &column(completed, |mail| mail.reply.as_deref()),
                        &column(completed, |mail| mail.retry_seconds),
                        &column(completed, |mail| mail.result),
                        &column(completed, |mail| mail.code),
                        &column(completed, |mail| mail.status.as_deref()),
                        &column(completed, |mail| &*mail.server),
                        &column(completed, |mail| &*mail.server_name),
                    ],
                )
                .await
        })?;
        for mail in completed {
            session.in_hand.remove(&mail.id);
        }
        Ok(())
    }

    fn record_dead_mailboxes(&mut self, ids: Vec<i64>) -> Result<()> {
        self.session.borrow_mut().ask(async |live| {
            let statement = "select marketing_automation.mailer_dead_mailboxes($1)";
            live.client.execute(statement, &[&ids]).await.map(drop)
        })
    }

    fn rescue(&mut self, _hold: bool) -> Result<()> {
        self.session.borrow_mut().ask(async |live| {
            let statement = "select marketing_automation.mailer_rescue()";
            live.client.execute(statement, &[]).await.map(drop)
        })
    }

    fn purge(&mut self, older_than: f64) -> Result<()> {
        self.session.borrow_mut().ask(async |live| {
            let statement = "select marketing_automation.mailer_purge($1)";
            live.client
                .execute(statement, &[&older_than])
                .await
                .map(drop)
        })
    }

    fn report_server(&mut self, name: &str, away: Option<(f64, &str)>) -> Result<()> {
        let (seconds, error) = away.unzip();
        self.session.borrow_mut().ask(async |live| {
            let statement = "select marketing_automation.mailer_report_server($1, $2, $3)";
            live.client
                .execute(statement, &[&name, &seconds, &error])
                .await
                .map(drop)
        })
    }

    fn confirm(&mut self) -> Result<()> {
        let mut session = self.session.borrow_mut();
        if session.in_hand.is_empty() || !self.confirmations.is_due() {
            return Ok(());
        }
        let asked_at = self.confirmations.now();
        let (ids, attempts): (Vec<i64>, Vec<i32>) = session
            .in_hand
            .iter()
            .map(|(id, attempt)| (*id, *attempt))
            .unzip();
        let forbidden: Vec<i64> = session.ask(async |live| {
            let question = "select marketing_automation.mailer_revoked($1, $2)";
            let rows = live.client.query(question, &[&ids, &attempts]).await?;
            rows.iter().map(|row| row.try_get(0)).collect()
        })?;
        self.confirmations.confirm(asked_at, forbidden);
        Ok(())
    }

    fn revoked(&self) -> SharedRevocations {
        Arc::clone(&self.confirmations) as SharedRevocations
    }
}
