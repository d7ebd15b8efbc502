//! The mail that an activity would send, without sending or storing anything.

use std::sync::Arc;
use std::time::SystemTime;

use pgrx::prelude::*;

use crate::delivery::channels::webhook::message_id;
use crate::delivery::identifiers::{default_feedback_sender, feedback_id, list_id};
use crate::delivery::templates::translations_of;
use crate::extension::settings;
use crate::extension::snippets::snippets;
use crate::extension::worker::statements;
use crate::mail::addresses::Addresses;
use crate::mail::message::{self, Draft, TokenMailbox};
use crate::mail::placeholder::Target;
use crate::mail::rendered::Consent;
use crate::mail::template::{Call, Recipient, context};
use crate::tracking::url::BaseUrl;
use crate::webhook::client::{Message, Target as Receiver, headers};
use crate::webhook::origin::Origin;

/// Stands for what is not set yet while the message is built; the domain never exists (RFC 6761, section 6.4). Header lines with it
/// are not shown.
const NOT_SET: &str = "not-set.invalid";

fn refuse(what: &str, reason: &str) -> ! {
    ereport!(
        ERROR,
        PgSqlErrorCode::ERRCODE_DATA_EXCEPTION,
        format!("{what} cannot be sent"),
        reason.to_owned()
    );
}

/// The header lines of a message that do not depend on what is not set, with the line ends of psql.
fn head(message: &[u8]) -> String {
    let text = String::from_utf8_lossy(message);
    let head = text.split("\r\n\r\n").next().unwrap_or_default();
    let mut fields: Vec<String> = Vec::new();
    for line in head.split("\r\n") {
        match fields.last_mut() {
            // Folded (RFC 5322, section 2.2.3).
            Some(field) if line.starts_with([' ', '\t']) => {
                field.push('\n');
                field.push_str(line);
            }
            _ => fields.push(line.to_owned()),
        }
    }
    fields.retain(|field| !field.contains(NOT_SET));
    fields.join("\n")
}

/// Sender, subject, HTML, text and headers, as far as a mail has them.
type PreviewRow = (Option<String>, String, String, String, String);

/// A webhook in the columns of a mail: method and URL, its body, its header lines. What signs it is read by who sends it.
fn webhook_row(activity_id: i32, call: Call) -> Result<PreviewRow, spi::Error> {
    // Not by `Spi::get_one_with_args`, which assigns a transaction id: a standby has none to give.
    let is_signed = Spi::connect(|client| {
        client
            .select(
                "select t.secret_file is not null from marketing_automation.webhook_target t where t.origin = $1",
                Some(1),
                &[call.target.as_str().into()],
            )?
            .first()
            .get_one()
    });
    let is_signed = match is_signed {
        Ok(is_signed) => is_signed.unwrap_or(false),
        Err(spi::Error::InvalidPosition) => false,
        Err(error) => return Err(error),
    };
    let origin = Origin::parse(&call.target).unwrap_or_else(|reason| refuse("it", &reason));
    let receiver = Receiver {
        origin,
        may_be_private: false,
        key: None,
    };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let message = Message {
        path: call.path.clone(),
        id: message_id("preview", activity_id),
        timestamp: now.unwrap_or_default().as_secs(),
        body: call.body.clone(),
    };
    let mut lines: Vec<String> = headers(&receiver, &message)
        .into_iter()
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    if is_signed {
        lines.push("webhook-signature: v1,…".to_owned());
    }
    let subject = format!("POST {}{}", call.target, call.path);
    Ok((None, subject, String::new(), call.body, lines.join("\n")))
}

/// Renders a mail; its links lead where their author wrote, as no link is stored.
/// `addresses`: what `mail_addresses()` has made; None: it goes to its party.
#[pg_extern(sql = false)]
#[allow(clippy::type_complexity, clippy::too_many_arguments)] // The macro wants the row written out, both ways.
fn preview_mail(
    activity_id: i32,
    record: pgrx::JsonB,
    party: Option<String>,
    email: Option<String>,
    recipient_name: Option<String>,
    language: Option<String>,
    time_zone: Option<String>,
    track_opens: bool,
    addresses: Option<pgrx::JsonB>,
) -> Result<
    TableIterator<
        'static,
        (
            name!(sender, Option<String>),
            name!(subject, String),
            name!(html, String),
            name!(text, String),
            name!(headers, String),
        ),
    >,
    spi::Error,
> {
    let row = Row {
        activity_id,
        record,
        party,
        email,
        recipient_name,
        language,
        time_zone,
        track_opens,
        addresses,
    };
    Ok(TableIterator::new(rendered(row)?))
}

/// What 0.1.0 calls, which knows of no other recipients.
#[pg_extern(sql = false)]
#[allow(clippy::type_complexity, clippy::too_many_arguments)] // The macro wants the row written out, both ways.
fn render_preview(
    activity_id: i32,
    record: pgrx::JsonB,
    party: Option<String>,
    email: Option<String>,
    recipient_name: Option<String>,
    language: Option<String>,
    time_zone: Option<String>,
    track_opens: bool,
) -> Result<
    TableIterator<
        'static,
        (
            name!(sender, Option<String>),
            name!(subject, String),
            name!(html, String),
            name!(text, String),
            name!(headers, String),
        ),
    >,
    spi::Error,
> {
    let row = Row {
        activity_id,
        record,
        party,
        email,
        recipient_name,
        language,
        time_zone,
        track_opens,
        addresses: None,
    };
    Ok(TableIterator::new(rendered(row)?))
}

/// The row that a mail is about.
struct Row {
    activity_id: i32,
    record: pgrx::JsonB,
    party: Option<String>,
    email: Option<String>,
    recipient_name: Option<String>,
    language: Option<String>,
    time_zone: Option<String>,
    track_opens: bool,
    addresses: Option<pgrx::JsonB>,
}

fn rendered(row: Row) -> Result<Option<PreviewRow>, spi::Error> {
    let Row {
        activity_id,
        record,
        party,
        email,
        recipient_name,
        language,
        time_zone,
        track_opens,
        addresses,
    } = row;
    let snippets = Arc::new(snippets()?);
    let found = translations_of(statements::mail_templates(vec![activity_id])?, &snippets);
    let Some((_, activity)) = found.into_iter().next() else {
        return Ok(None);
    };
    let recipient = Recipient {
        language: language.unwrap_or_default(),
        time_zone: time_zone.unwrap_or_default(),
    };
    let context = context(
        record.0,
        party.as_deref(),
        recipient_name.as_deref(),
        email.as_deref(),
        &recipient,
        &activity.scenario,
        &activity.name,
    );
    let what = format!("activity \"{}\"", activity.name);
    let translations = &activity.translations;
    let template = translations
        .compile(&translations.choose(&recipient.language))
        .unwrap_or_else(|error| refuse(&what, &error.to_string()));
    if template.is_webhook() {
        let call = template
            .render_webhook(&context, &recipient, "preview")
            .unwrap_or_else(|error| refuse(&what, &error.to_string()));
        return Ok(Some(webhook_row(activity_id, call)?));
    }
    let rendered = template
        .render(&context, &recipient)
        .unwrap_or_else(|error| refuse(&what, &error.to_string()));

    let addresses = addresses.map(|addresses| addresses.0);
    let text = |name| Some(addresses.as_ref()?["to"].get(name)?.as_str()?.to_owned());
    let (to_name, to_email) = match &addresses {
        Some(addresses) if addresses.get("party").is_some() => (text("name"), text("email")),
        _ => (recipient_name, email),
    };
    let addresses = addresses.map_or_else(Addresses::default, |kept| Addresses::of(&kept));
    if addresses.are_shared()
        && let Some(link) = rendered.personal_link()
    {
        refuse(
            &what,
            &format!("it goes to others than its party, and has {link}"),
        );
    }

    // While it is not set, links stay as they were written, and there is no image.
    let base = settings::automation_base().and_then(|base| BaseUrl::parse(&base).ok());
    let host = settings::automation_base()
        .and_then(|base| url::Url::parse(&base).ok())
        .and_then(|url| url.host_str().map(str::to_owned))
        .unwrap_or_else(|| NOT_SET.to_owned());
    let unsubscribe_url = base.as_ref().map(|base| base.unsubscribe("preview"));
    let unsubscribe_address = settings::unsubscribe_address()
        .and_then(|mailbox| TokenMailbox::parse("unsubscribe address", &mailbox).ok())
        .map(|mailbox| mailbox.with("preview"));
    let feedback_id = settings::feedback_sender()
        .or_else(|| base.is_some().then(|| default_feedback_sender(&host)))
        .map(|sender| {
            feedback_id(
                activity_id,
                &activity.scenario,
                &activity.class.name,
                &sender,
            )
        });
    let is_bulk = activity.class.has_bulk_headers;
    let consent = Consent {
        opens: track_opens && base.is_some() && !addresses.are_shared(),
        clicks: true,
    };
    let url = |of: fn(&BaseUrl, &str) -> String| {
        base.as_ref()
            .map(|base| of(base, "preview"))
            .unwrap_or_default()
    };
    let links = rendered.links();
    let mail = rendered.assemble(consent, false, |target| match target {
        Target::Link(index) => links[index].clone(),
        Target::Unsubscribe(_) => unsubscribe_url
            .clone()
            .unwrap_or_else(|| "unsubscribe".to_owned()),
        Target::Preferences => url(BaseUrl::preferences),
        Target::Confirm => url(BaseUrl::confirm),
        Target::Browser => url(BaseUrl::browser),
        Target::OpenImage => url(BaseUrl::open),
        Target::HiddenLink => url(BaseUrl::click),
    });
    let sender = mail.sender.clone().or_else(settings::email_from);
    let nobody = format!("nobody@{NOT_SET}");
    let message = message::build(&Draft {
        from: sender.as_deref().unwrap_or(&nobody),
        reply_to: mail.reply_to.as_deref(),
        to_address: to_email.as_deref().unwrap_or(&nobody),
        instead_of: None,
        to_name: to_name.as_deref(),
        cc: &addresses.cc,
        bcc: &[],
        return_path: None,
        subject: &mail.subject,
        html: &mail.html,
        text: &mail.text,
        message_id: &format!("preview.{activity_id}@{host}"),
        date: SystemTime::now(),
        is_bulk,
        unsubscribe_url: unsubscribe_url.as_deref().filter(|_| is_bulk),
        unsubscribe_address: unsubscribe_address.as_deref(),
        list_id: Some(list_id(&activity.scenario, &host).as_str()).filter(|_| is_bulk),
        feedback_id: feedback_id.as_deref(),
        headers: &mail.headers,
        attachments: &[],
    })
    .unwrap_or_else(|error| refuse(&what, &error.to_string()));
    let row = (
        sender,
        mail.subject,
        mail.html,
        mail.text,
        head(message.bytes()),
    );
    Ok(Some(row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_lines_about_what_is_not_set_are_left_out() {
        let message = "From: a@b.example\r\nMessage-ID: <preview.1@not-set.invalid>\r\nSubject: a\r\n b\r\n\
                       Feedback-ID: 1:\r\n not-set.invalid\r\nDate: x\r\n\r\nbody of not-set.invalid";
        assert_eq!(
            head(message.as_bytes()),
            "From: a@b.example\nSubject: a\n b\nDate: x"
        );
    }
}
