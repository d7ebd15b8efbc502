//! What the mailer asks of the database, each time one statement, in a transaction.

use std::time::Duration;

use pgrx::prelude::*;

use crate::delivery::message_class::MessageClass;
use crate::delivery::server::definition::{Definition, Kind};
use crate::delivery::store::{Claimed, Completed, Digest, FileRow, Grant, ServerRow, TemplateRow};
use crate::mail::addresses::Addresses;
use crate::mail::attachment::File;
use crate::mail::rendered::Consent;

/// Reads a column that the query never leaves null.
fn column<T: FromDatum + IntoDatum>(
    row: &spi::SpiHeapTupleData<'_>,
    ordinal: usize,
) -> spi::Result<T> {
    row.get::<T>(ordinal)?.ok_or(spi::Error::InvalidPosition)
}

pub(super) fn claim_messages(batch_size: i32, full_scan: bool) -> spi::Result<Vec<Claimed>> {
    Spi::connect_mut(|client| {
        client
            .update(
                "select id, attempt, record_id, record_uuid::text, activity_id, activity_version, email, recipient_name,
                        coalesce(language, ''), coalesce(time_zone, ''), context::text, party, age_seconds,
                        track_opens, track_clicks, channel, closes_in, template_id, target, addresses::text
                 from marketing_automation_internal.claim_messages($1, $2)",
                None,
                &[batch_size.into(), full_scan.into()],
            )?
            .map(|row| {
                Ok(Claimed {
                    id: column(&row, 1)?,
                    attempt: column(&row, 2)?,
                    channel: column(&row, 16)?,
                    target: row.get(19)?,
                    record: row.get(3)?,
                    record_uuid: column(&row, 4)?,
                    activity: column(&row, 5)?,
                    template: column(&row, 18)?,
                    version: column(&row, 6)?,
                    email: column(&row, 7)?,
                    recipient_name: row.get(8)?,
                    addresses: Addresses::read(row.get(20)?),
                    language: column(&row, 9)?,
                    time_zone: column(&row, 10)?,
                    context: column(&row, 11)?,
                    party: row.get(12)?,
                    age: column(&row, 13)?,
                    consent: Consent {
                        opens: column(&row, 14)?,
                        clicks: column(&row, 15)?,
                    },
                    closes_in: row.get(17)?,
                })
            })
            .collect()
    })
}

pub(in crate::extension) fn mail_templates(activities: Vec<i32>) -> spi::Result<Vec<TemplateRow>> {
    Spi::connect(|client| {
        client
            .select(
                "select activity_id, version, activity, scenario, own_language, language, sender, subject, body, message_class, bulk_headers,
                        reply_to, utm, utm_hosts, preheader, text, headers::text,
                        inline_css, url, has_attachments
                 from marketing_automation_internal.mail_templates($1)",
                None,
                &[activities.into()],
            )?
            .map(|row| {
                Ok(TemplateRow {
                    activity: column(&row, 1)?,
                    version: column(&row, 2)?,
                    name: column(&row, 3)?,
                    scenario: column(&row, 4)?,
                    class: MessageClass {
                        name: column(&row, 10)?,
                        has_bulk_headers: column(&row, 11)?,
                    },
                    own_language: column(&row, 5)?,
                    language: column(&row, 6)?,
                    sender: row.get(7)?,
                    subject: row.get(8)?,
                    body: row.get(9)?,
                    reply_to: row.get(12)?,
                    utm: row.get(13)?,
                    utm_hosts: row.get(14)?,
                    preheader: row.get(15)?,
                    text: row.get(16)?,
                    headers: row.get(17)?,
                    inline_css: row.get(18)?.unwrap_or_default(),
                    url: row.get(19)?,
                    has_attachments: row.get(20)?.unwrap_or_default(),
                })
            })
            .collect()
    })
}

pub(super) fn files(mails: Vec<i64>) -> spi::Result<Vec<FileRow>> {
    Spi::connect(|client| {
        client
            .select(
                "select message_id, name, type, cid, size, digest from marketing_automation_internal.mail_files($1)",
                None,
                &[mails.into()],
            )?
            .map(|row| {
                Ok(FileRow {
                    mail: column(&row, 1)?,
                    file: File {
                        name: row.get(2)?,
                        content_type: row.get(3)?,
                        cid: row.get(4)?,
                        size: row.get::<i64>(5)?.map(i64::unsigned_abs),
                    },
                    digest: row.get(6)?,
                })
            })
            .collect()
    })
}

pub(super) fn contents(
    mails: Vec<i64>,
    digests: Vec<Digest>,
) -> spi::Result<Vec<(Digest, Vec<u8>)>> {
    Spi::connect(|client| {
        client
            .select(
                "select digest, content from marketing_automation_internal.file_contents($1, $2)",
                None,
                &[mails.into(), digests.into()],
            )?
            .map(|row| Ok((column(&row, 1)?, column(&row, 2)?)))
            .collect()
    })
}

/// What differs after every change of snippets, as each gives one of them a higher version than any had; and how many send.
pub(super) fn snippets_version_and_senders() -> spi::Result<(Option<String>, Option<i64>)> {
    Spi::get_two(
        "select pg_catalog.concat_ws(' ', pg_catalog.count(*), pg_catalog.sum(s.version)),
                1 + (select pg_catalog.count(*) from marketing_automation_internal.mailer m where m.pid is not null and m.state <> 'unconfigured')
         from marketing_automation.snippet s",
    )
}

pub(super) fn link_ids(urls: Vec<String>) -> spi::Result<Vec<(String, i64)>> {
    Spi::connect_mut(|client| {
        client
            .update(
                "select url, id from marketing_automation_internal.link_ids($1)",
                None,
                &[urls.into()],
            )?
            .map(|row| Ok((column(&row, 1)?, column(&row, 2)?)))
            .collect()
    })
}

pub(super) fn complete_messages(completed: &[Completed]) -> spi::Result<()> {
    fn column<'a, T>(completed: &'a [Completed], value: impl Fn(&'a Completed) -> T) -> Vec<T> {
        completed.iter().map(value).collect()
    }
    Spi::run_with_args(
        "select marketing_automation_internal.complete_messages($1, $2, $3, $4, $5, $6, $7, $8, $9,
            server_names => $10)",
        &[
            column(completed, |mail| mail.id).into(),
            column(completed, |mail| mail.attempt).into(),
            column(completed, |mail| mail.state).into(),
            column(completed, |mail| mail.reply.as_deref()).into(),
            column(completed, |mail| mail.retry_seconds).into(),
            column(completed, |mail| mail.result).into(),
            column(completed, |mail| mail.code).into(),
            column(completed, |mail| mail.status.as_deref()).into(),
            column(completed, |mail| &*mail.server).into(),
            column(completed, |mail| &*mail.server_name).into(),
        ],
    )
}

/// Suppresses the recipients of these mails, which the server refused because their mailboxes do not exist.
pub(super) fn record_dead_mailboxes(ids: Vec<i64>) -> spi::Result<()> {
    Spi::run_with_args(
        "select marketing_automation_internal.record_dead_mailboxes($1)",
        &[ids.into()],
    )
}

/// Removes the mails that ended longer ago than so many seconds.
pub(super) fn purge_messages(older_than: f64) -> spi::Result<()> {
    Spi::run_with_args(
        "select marketing_automation.purge_messages(pg_catalog.make_interval(secs => $1))",
        &[older_than.into()],
    )
}

pub(super) fn smtp_servers() -> spi::Result<Vec<ServerRow>> {
    Spi::connect(|client| {
        client
            .select(
                "select s.name, s.url, s.password_file, s.sender_domain, s.priority, s.weight, s.connections,
                        s.per_second is not null or s.warmup_started is not null
                 from marketing_automation.smtp_server s where s.enabled order by s.name",
                None,
                &[],
            )?
            .map(|row| {
                Ok(ServerRow {
                    password_file: row.get(3)?,
                    definition: Definition {
                        kind: Kind::Mail,
                        name: column(&row, 1)?,
                        url: column(&row, 2)?,
                        password: None,
                        token_file: None,
                        sender_domain: row.get(4)?,
                        priority: column(&row, 5)?,
                        weight: column(&row, 6)?,
                        connections: column::<i32>(&row, 7)?.unsigned_abs() as usize,
                        timeout: Duration::ZERO,
                        limited: column(&row, 8)?,
                    },
                })
            })
            .collect()
    })
}

pub(super) fn webhook_targets() -> spi::Result<Vec<ServerRow>> {
    Spi::connect(|client| {
        client
            .select(
                "select t.origin, t.secret_file, t.is_private, t.connections, extract(epoch from t.timeout)::double precision
                 from marketing_automation.webhook_target t where t.enabled order by t.origin",
                None,
                &[],
            )?
            .map(|row| {
                let origin: String = column(&row, 1)?;
                let connections = column::<i32>(&row, 4)?.unsigned_abs() as usize;
                let timeout = Duration::from_secs_f64(column::<f64>(&row, 5)?.max(0.0));
                Ok(ServerRow {
                    password_file: row.get(2)?,
                    definition: Definition::of_target(origin, column(&row, 3)?, connections, timeout),
                })
            })
            .collect()
    })
}

/// Asks for tokens: so many that each of these servers has `wanted` in hand, as far as its limits allow.
pub(super) fn grant_tokens(
    servers: Vec<String>,
    in_hand: Vec<i32>,
    wanted: i32,
) -> spi::Result<Vec<Grant>> {
    Spi::connect_mut(|client| {
        client
            .update(
                "select server, permits, is_spent, wait_seconds from marketing_automation_internal.grant_send_tokens($1, $2, $3)",
                None,
                &[servers.into(), in_hand.into(), wanted.into()],
            )?
            .map(|row| {
                Ok(Grant {
                    server: column(&row, 1)?,
                    tokens: column::<i32>(&row, 2)?.unsigned_abs() as usize,
                    is_exhausted: column(&row, 3)?,
                    wait: Duration::from_secs_f64(column::<f64>(&row, 4)?.clamp(0.0, 86_400.0)),
                })
            })
            .collect()
    })
}

/// A mailer that begins knows of no server that is out of reach.
pub(super) fn forget_server_states() -> spi::Result<()> {
    Spi::run(
        "update marketing_automation_internal.smtp_usage set paused_until = null where paused_until is not null",
    )
}

/// Notes for smtp_server_status that a server is left alone for some seconds, or that it answers again.
pub(super) fn report_server(name: &str, away: Option<(f64, &str)>) -> spi::Result<()> {
    Spi::run_with_args(
        "select marketing_automation_internal.report_server($1, $2, $3)",
        &[
            name.into(),
            away.map(|(seconds, _)| seconds).into(),
            away.map(|(_, reason)| reason).into(),
        ],
    )
}

/// Applies events of the inbox; None: somebody else does.
pub(super) fn apply_batch(batch_size: i32, full_scan: bool) -> spi::Result<Option<i32>> {
    Spi::get_one_with_args(
        "select marketing_automation_internal.apply_batch($1, $2)",
        &[batch_size.into(), full_scan.into()],
    )
}

/// What became of a scenario that has not seen all captured keys.
pub(super) enum Enrolled {
    /// So many rows have entered.
    Rows(i64),
    /// Somebody else has it.
    Held,
    /// It is for a run of enrolling that reads all rows.
    Left,
}

/// Notes for scenarios into which no captured row enters, and which are not among `tried`, that they have seen these.
pub(super) fn pass_over_written(tried: Vec<i32>) -> spi::Result<()> {
    Spi::run_with_args(
        "select from marketing_automation_internal.pass_over(null, only_written => true, but => $1)",
        &[tried.into()],
    )
}

/// Enters captured rows into one scenario that is not among `tried`; None: there is none.
pub(super) fn enroll_captured(tried: Vec<i32>) -> spi::Result<Option<(i32, Enrolled)>> {
    let (scenario, outcome, entered): (Option<i32>, Option<String>, Option<i64>) =
        Spi::get_three_with_args(
            "select scenario_id, outcome, entered from marketing_automation_internal.enroll_captured($1)",
            &[tried.into()],
        )?;
    Ok(scenario.map(|scenario| {
        let enrolled = match outcome.as_deref() {
            Some("entered") => Enrolled::Rows(entered.unwrap_or_default()),
            Some("held") => Enrolled::Held,
            _ => Enrolled::Left,
        };
        (scenario, enrolled)
    }))
}

/// Runs a batch of what is due of a scenario; how many records.
pub(super) fn process_entered(scenario: i32, batch_size: i32) -> spi::Result<i32> {
    Spi::get_one_with_args(
        "select marketing_automation_internal.process_entered($1, $2)",
        &[scenario.into(), batch_size.into()],
    )
    .map(Option::unwrap_or_default)
}

/// In how many seconds the first click that waits for the rules about robots is to be judged; None: none waits.
pub(super) fn next_click() -> spi::Result<Option<f64>> {
    Spi::get_one("select marketing_automation_internal.next_click()")
}

pub(super) fn rescue_messages(hold: bool) -> spi::Result<()> {
    Spi::run_with_args(
        "select marketing_automation_internal.rescue_messages($1)",
        &[hold.into()],
    )
}

/// What ALTER DATABASE … SET and ALTER ROLE … SET say about this session.
pub(super) fn session_settings() -> spi::Result<Option<String>> {
    Spi::get_one(
        "select pg_catalog.string_agg(s.setconfig::text, ' ' order by s.setdatabase, s.setrole)
         from pg_catalog.pg_db_role_setting s
         where s.setdatabase in (0, (select d.oid from pg_catalog.pg_database d where d.datname = pg_catalog.current_database()))
           and s.setrole in (0, (select a.oid from pg_catalog.pg_authid a where a.rolname = session_user))",
    )
}

/// Why this database may not send; None: it may.
pub(super) fn check_armed() -> spi::Result<Option<String>> {
    Spi::get_one("select marketing_automation_internal.check_armed()")
}

/// The ids of the tracking keys, one of which is made where there is none.
pub(super) fn tracking_keys() -> spi::Result<Vec<i16>> {
    Spi::connect_mut(|client| {
        client
            .update(
                "select id from marketing_automation.tracking_keys()",
                None,
                &[],
            )?
            .map(|row| column(&row, 1))
            .collect()
    })
}

/// Seconds until something may be claimed, who has paused sending, and how many send.
pub(super) fn next_due() -> spi::Result<(Option<f64>, Option<String>, Option<i64>)> {
    Spi::get_three(
        "select extract(epoch from marketing_automation_internal.next_due() - statement_timestamp())::double precision,
                marketing_automation_internal.pause_note(),
                1 + (select pg_catalog.count(*) from marketing_automation_internal.mailer m where m.pid is not null and m.state <> 'unconfigured')",
    )
}
