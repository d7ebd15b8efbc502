//! What the engine asks of the store.

use std::sync::Arc;
use std::time::Duration;

use super::Database;
use crate::delivery::clock::Time;
use crate::delivery::message_class::MessageClass;
use crate::delivery::revocation::SharedRevocations;
use crate::delivery::store::{
    Claim, Claimed, Completed, Digest, FileRow, Found, Grant, NextDue, Policy, Result, Store,
    TemplateRow,
};
use crate::mail::addresses::Addresses;
use crate::mail::rendered::Consent;
use crate::mail::template::Snippets;

impl Store for Database {
    fn policy(&self) -> Policy {
        self.tables().policy
    }

    fn settings(&mut self, _afresh: bool) -> Result<Found> {
        self.fails("settings")?;
        let tables = self.tables();
        Ok(Found {
            session_settings: tables.session_settings.clone(),
            settings: tables.settings.clone(),
        })
    }

    fn claim(&mut self, size: usize, _full_scan: bool) -> Result<Claim> {
        self.fails("claim")?;
        let now = self.clock.now();
        let mut tables = self.tables();
        tables.claims.push(size);
        let mut mails = Vec::new();
        for (id, row) in tables.rows.iter_mut().enumerate() {
            if mails.len() == size || row.state != "queued" || row.due_at > now {
                continue;
            }
            if row.closes_at.is_some_and(|closes_at| closes_at <= now) {
                continue;
            }
            if row.is_blocked {
                row.state = "suppressed";
                continue;
            }
            row.state = "sending";
            row.attempts += 1;
            let first = *row.first_attempt_at.get_or_insert(now);
            mails.push(Claimed {
                id: id as i64,
                attempt: row.attempts,
                channel: row.channel.to_owned(),
                target: row.target.map(str::to_owned),
                record: Some(id as i64 + 1),
                record_uuid: format!("uuid-{id}"),
                activity: row.activity,
                template: row.activity,
                version: 1,
                email: row.email.clone(),
                recipient_name: None,
                addresses: Addresses::default(),
                language: String::new(),
                time_zone: String::new(),
                context: "{}".to_owned(),
                party: None,
                age: now.duration_since(first).as_secs_f64(),
                consent: Consent {
                    opens: true,
                    clicks: true,
                },
                closes_in: row
                    .closes_at
                    .map(|closes_at| closes_at.duration_since(now).as_secs_f64()),
            });
        }
        tables.claimed.extend(mails.iter().map(|mail| mail.id));
        Ok(Claim {
            mails,
            snippets_version: Some("0".to_owned()),
            share: Some(tables.share),
        })
    }

    fn next_due(&mut self) -> Result<NextDue> {
        let now = self.clock.now();
        let tables = self.tables();
        let queued = tables.rows.iter().filter(|row| row.state == "queued");
        let next = queued
            .map(|row| row.due_at.saturating_duration_since(now))
            .min();
        Ok(NextDue {
            seconds: next.map(|next| next.as_secs_f64()),
            pause: None,
            share: Some(tables.share),
        })
    }

    fn templates(&mut self, activities: Vec<i32>) -> Result<Vec<TemplateRow>> {
        self.fails("templates")?;
        let has_attachments = !self.tables().files.is_empty();
        let row = |activity| TemplateRow {
            activity,
            version: 1,
            name: "newsletter".to_owned(),
            scenario: "spring".to_owned(),
            class: MessageClass {
                name: "marketing".to_owned(),
                has_bulk_headers: true,
            },
            own_language: "en".to_owned(),
            language: String::new(),
            sender: Some(format!("Shop <news{activity}@shop.example>")),
            subject: Some("News".to_owned()),
            body: Some("<p><a href=\"https://shop.example/\">Shop</a></p>".to_owned()),
            reply_to: None,
            preheader: None,
            text: None,
            headers: None,
            inline_css: false,
            utm: None,
            utm_hosts: None,
            url: None,
            has_attachments,
        };
        Ok(activities.into_iter().map(row).collect())
    }

    fn snippets(&mut self) -> Result<Snippets> {
        Ok(Snippets::default())
    }

    fn files(&mut self, mails: Vec<i64>) -> Result<Vec<FileRow>> {
        let tables = self.tables();
        let rows = mails.iter().flat_map(|&mail| {
            let files = tables.files.get(&mail).into_iter().flatten();
            files.map(move |(file, digest)| FileRow {
                mail,
                file: file.clone(),
                digest: digest.map(|digest| vec![digest]),
            })
        });
        Ok(rows.collect())
    }

    fn contents(
        &mut self,
        _mails: Vec<i64>,
        digests: Vec<Digest>,
    ) -> Result<Vec<(Digest, Vec<u8>)>> {
        self.fails("contents")?;
        self.tables()
            .fetched
            .extend(digests.iter().map(|digest| digest[0]));
        Ok(digests
            .into_iter()
            .map(|digest| (digest.clone(), digest))
            .collect())
    }

    fn link_ids(&mut self, urls: Vec<String>) -> Result<Vec<(String, i64)>> {
        self.fails("link_ids")?;
        let mut tables = self.tables();
        let mut ids = Vec::new();
        for url in urls {
            let next = tables.links.len() as i64 + 1;
            let id = *tables.links.entry(url.clone()).or_insert(next);
            ids.push((url, id));
        }
        Ok(ids)
    }

    fn permits(
        &mut self,
        servers: Vec<String>,
        in_hand: Vec<i32>,
        wanted: i32,
    ) -> Result<Vec<Grant>> {
        let mut tables = self.tables();
        let mut grants = Vec::new();
        for (server, in_hand) in servers.into_iter().zip(in_hand) {
            let lacking = usize::try_from(wanted - in_hand).unwrap_or(0);
            let tokens = lacking.min(tables.tokens);
            tables.tokens -= tokens;
            grants.push(Grant {
                server,
                tokens,
                is_exhausted: false,
                wait: Duration::from_secs(1),
            });
        }
        Ok(grants)
    }

    fn complete(&mut self, completed: &[Completed]) -> Result<()> {
        self.fails("complete")?;
        let now = self.clock.now();
        let mut tables = self.tables();
        tables.completions += 1;
        for result in completed {
            let row = &mut tables.rows[result.id as usize];
            if row.state != "sending" || row.attempts != result.attempt {
                continue;
            }
            row.doubts += usize::from(result.result == Some("in_doubt"));
            row.state = match result.state {
                "released" => "queued",
                "queued" if result.result == Some("in_doubt") && row.doubts > 2 => "in_doubt",
                state => state,
            };
            if result.state == "released" {
                row.attempts -= 1;
            }
            row.due_at = now + Duration::from_secs_f64(result.retry_seconds);
            row.reply = result.reply.clone().or(row.reply.take());
            row.server = Some(result.server.to_string());
        }
        Ok(())
    }

    fn record_dead_mailboxes(&mut self, ids: Vec<i64>) -> Result<()> {
        self.tables().dead_mailboxes.extend(ids);
        Ok(())
    }

    fn rescue(&mut self, hold: bool) -> Result<()> {
        for row in &mut self.tables().rows {
            if row.state == "sending" {
                row.state = if hold { "in_doubt" } else { "queued" };
            }
        }
        Ok(())
    }

    fn purge(&mut self, _older_than: f64) -> Result<()> {
        Ok(())
    }

    fn report_server(&mut self, name: &str, away: Option<(f64, &str)>) -> Result<()> {
        let state = match away {
            Some((seconds, _)) => format!("{name} away for {seconds} s"),
            None => format!("{name} back"),
        };
        self.tables().reports.push(state);
        Ok(())
    }

    fn confirm(&mut self) -> Result<()> {
        self.tables().confirmations += 1;
        Ok(())
    }

    fn revoked(&self) -> SharedRevocations {
        Arc::clone(&self.revoked) as SharedRevocations
    }
}
