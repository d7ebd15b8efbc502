//! From a claimed mail to the message that goes over the wire.

use std::borrow::Cow;
use std::time::SystemTime;

use super::identifiers::{feedback_id, list_id};
use super::job::{Job, Prepared, ReadyMail};
use super::mail_settings::MailSettings;
use super::outcome::Outcome;
use crate::mail::addresses;
use crate::mail::attachment;
use crate::mail::message::{self, Draft, Mail};
use crate::mail::placeholder::Target;
use crate::mail::rendered::Rendered;
use crate::mail::template::{MailTemplate, Recipient, TemplateError, context};
use crate::tracking::address_token;
use crate::tracking::token::{Purpose, TEST_RECORD, Token};

/// No row of the table link: a click on it leads nowhere.
const HIDDEN_LINK: i64 = 0;

/// With it a Message-ID is of no mail that a bounce may be about.
const STAGED: &str = "staged.";

/// Renders the parts of the mail; a mistake in a template or its data is final.
pub(super) fn render(job: &Job) -> Result<Rendered, Outcome> {
    let email = match &job.mail.addresses.party {
        Some(party) => party.email.as_deref(),
        None => Some(job.mail.email.as_str()),
    };
    render_by(job, email, MailTemplate::render)
}

/// Has the templates of a claimed row rendered by `render`, which gets their variables and whom it is for; `email`: the address that
/// they see.
pub(super) fn render_by<T>(
    job: &Job,
    email: Option<&str>,
    render: impl FnOnce(&MailTemplate, &serde_json::Value, &Recipient) -> Result<T, TemplateError>,
) -> Result<T, Outcome> {
    let mail = &job.mail;
    let compiled = job
        .compiled
        .as_ref()
        .ok_or_else(|| Outcome::Failed("the activity no longer exists".into()))?;
    let template = compiled
        .template()
        .map_err(|error| Outcome::Failed(format!("template: {error}").into()))?;
    let record: serde_json::Value = serde_json::from_str(&mail.context)
        .map_err(|error| Outcome::Failed(format!("context is no JSON: {error}").into()))?;
    let recipient = Recipient {
        language: mail.language.clone(),
        time_zone: mail.time_zone.clone(),
    };
    let party_name = match &mail.addresses.party {
        Some(party) => party.name.as_deref(),
        None => mail.recipient_name.as_deref(),
    };
    let context = context(
        record,
        mail.party.as_deref(),
        party_name,
        email,
        &recipient,
        &compiled.scenario,
        &compiled.activity,
    );
    render(template, &context, &recipient)
        .map_err(|error| Outcome::Failed(format!("template: {error}").into()))
}

/// Puts the tracked URLs in and builds the message.
pub(super) fn compose(ready: &ReadyMail, date: SystemTime) -> Result<Mail, Outcome> {
    let Job {
        mail,
        files,
        compiled,
        settings,
        ..
    } = &ready.job;
    let record = mail.record.unwrap_or(TEST_RECORD);
    let sign = |purpose, link| {
        settings.keyring.sign(
            purpose,
            &Token {
                record,
                activity: mail.activity,
                link,
            },
        )
    };
    let link = |index: usize| ready.links.get(index).copied();
    let base = &settings.base;
    let Prepared::Mail(rendered) = &ready.prepared else {
        return Err(Outcome::Failed("it is no mail".into()));
    };
    // Who gets it cannot leave, or choose, for somebody else.
    if mail.addresses.are_shared()
        && let Some(link) = rendered.personal_link()
    {
        return Err(Outcome::Failed(
            format!("message goes to others than its party, and has {link}").into(),
        ));
    }
    let assembled = rendered.assemble(mail.consent, settings.hidden_link, |target| match target {
        Target::Link(index) => base.click(&sign(Purpose::Click, link(index))),
        Target::Unsubscribe(page) => {
            base.unsubscribe(&sign(Purpose::Unsubscribe, page.and_then(link)))
        }
        Target::Preferences => base.preferences(&sign(Purpose::Unsubscribe, None)),
        Target::Confirm => base.confirm(&sign(Purpose::Confirm, None)),
        Target::Browser => base.browser(&sign(Purpose::Browser, Some(mail.id))),
        Target::OpenImage => base.open(&sign(Purpose::Open, None)),
        Target::HiddenLink => base.click(&sign(Purpose::Click, Some(HIDDEN_LINK))),
    });
    if compiled
        .as_ref()
        .is_some_and(|compiled| compiled.has_attachments)
    {
        let has = |cid: &str| files.iter().any(|file| file.label.is(cid));
        attachment::check_references(&assembled.html, has)
            .map_err(|reason| Outcome::Failed(reason.into()))?;
    }
    let from = assembled.sender.as_ref().or(settings.email_from.as_ref());
    let Some(from) = from else {
        return Err(Outcome::Retry(
            "no sender: the activity has none and marketing_automation.email_from is not set"
                .into(),
        ));
    };
    // What is wrong for all mails is a setting, which somebody mends; what a row has given is that mail's own.
    let is_setting = assembled.sender.is_none()
        || compiled
            .as_ref()
            .and_then(|compiled| compiled.template().ok())
            .is_some_and(|template| template.has_constant_sender());
    if is_setting && let Err(error) = message::check_sender(from) {
        return Err(Outcome::Retry(error.to_string().into()));
    }
    let Some(compiled) = compiled else {
        return Err(Outcome::Failed("the activity no longer exists".into()));
    };
    let scenario = compiled.scenario.as_str();
    let is_bulk = compiled.class.has_bulk_headers;
    let staging = settings.staging_mailbox.as_deref();
    // What comes back from there says nothing about the recipient.
    let bounce_address = settings.bounce_address.as_ref();
    let return_path = bounce_address.filter(|_| staging.is_none()).map(|address| {
        address.with(&address_token::sign(
            &settings.keyring,
            Purpose::Bounce,
            record,
            mail.activity,
        ))
    });
    let unsubscribe_url = base.unsubscribe(&sign(Purpose::Unsubscribe, None));
    let unsubscribe_address = settings.unsubscribe_address.as_ref().map(|address| {
        address.with(&address_token::sign(
            &settings.keyring,
            Purpose::Unsubscribe,
            record,
            mail.activity,
        ))
    });
    let mut subject = match mail.record {
        Some(_) => assembled.subject,
        None => format!("[Test] {}", assembled.subject),
    };
    if staging.is_some() {
        subject = format!("[For {}] {subject}", mail.email.trim());
    }
    let staged = if staging.is_some() { STAGED } else { "" };
    // The same for each attempt: the record's public id and the activity.
    let public_id = format!("{staged}{}.{}", mail.record_uuid, mail.activity);
    let mut headers = with_echo(settings, &public_id, &assembled.headers);
    let (mut cc, mut bcc) = (mail.addresses.cc.as_slice(), mail.addresses.bcc.as_slice());
    if staging.is_some() {
        // Nobody but the mailbox gets anything.
        for (name, copies) in [("X-Original-Cc", &mut cc), ("X-Original-Bcc", &mut bcc)] {
            if !copies.is_empty() {
                let value = copies.iter().map(|mailbox| addresses::address(mailbox));
                let value = value.collect::<Vec<_>>().join(", ");
                headers.to_mut().push((name.to_owned(), value));
            }
            *copies = &[];
        }
    }
    let mut message = message::build(&Draft {
        from,
        reply_to: assembled.reply_to.as_deref(),
        to_address: staging.unwrap_or(&mail.email),
        instead_of: staging.map(|_| mail.email.as_str()),
        to_name: mail.recipient_name.as_deref(),
        cc,
        bcc,
        return_path: return_path.as_deref(),
        subject: &subject,
        html: &assembled.html,
        text: &assembled.text,
        message_id: &format!("{public_id}@{}", settings.host),
        date,
        is_bulk,
        unsubscribe_url: Some(unsubscribe_url.as_str()).filter(|_| is_bulk),
        unsubscribe_address: unsubscribe_address.as_deref(),
        list_id: Some(list_id(scenario, &settings.host).as_str()).filter(|_| is_bulk),
        feedback_id: Some(&feedback_id(
            mail.activity,
            scenario,
            &compiled.class.name,
            &settings.feedback_sender,
        )),
        headers: &headers,
        attachments: files,
    })
    .map_err(|error| Outcome::Failed(error.to_string().into()))?;
    if staging.is_none() {
        message.left_out.clone_from(&mail.addresses.left_out);
    }
    if let Some(signer) = settings.dkim.for_sender(&message.from_domain) {
        signer
            .sign(&mut message, date)
            .map_err(|error| Outcome::Retry(format!("DKIM: {error}").into()))?;
    }
    Ok(message)
}

/// The author's headers, and those that providers echo, but for what the author has written otherwise.
fn with_echo<'a>(
    settings: &MailSettings,
    id: &str,
    own: &'a [(String, String)],
) -> Cow<'a, [(String, String)]> {
    let is_own = |name: &str| own.iter().any(|(own, _)| own.eq_ignore_ascii_case(name));
    let mut headers = settings.echo.headers(id);
    headers.retain(|(name, _)| !is_own(name));
    match headers.is_empty() {
        true => Cow::Borrowed(own),
        false => Cow::Owned([headers.as_slice(), own].concat()),
    }
}
