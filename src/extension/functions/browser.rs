//! A mail that was sent, as a page for a browser.

use std::collections::HashMap;
use std::sync::Arc;

use pgrx::prelude::*;

use crate::delivery::templates::translations_of;
use crate::extension::keyring::keyring;
use crate::extension::settings;
use crate::extension::snippets::snippets;
use crate::extension::worker::statements;
use crate::mail::attachment::with_pictures;
use crate::mail::browser_page::document;
use crate::mail::placeholder::Target;
use crate::mail::rendered::Consent;
use crate::mail::template::{Recipient, context};
use crate::tracking::token::{Purpose, Token};
use crate::tracking::url::BaseUrl;

fn refuse(activity: &str, reason: &str) -> ! {
    ereport!(
        ERROR,
        PgSqlErrorCode::ERRCODE_DATA_EXCEPTION,
        format!("mail of activity \"{activity}\" cannot be shown in a browser"),
        reason.to_owned()
    );
}

/// Whether templates, and the snippets in them, ask for the address of their mail in a browser.
#[pg_extern(sql = false)]
fn use_browser_url(texts: Vec<Option<String>>) -> Result<bool, spi::Error> {
    Ok(snippets()?.use_browser_url(texts.iter().flatten().map(String::as_str)))
}

/// The ids of links, of those that have one.
fn link_ids(urls: &[String]) -> spi::Result<HashMap<String, i64>> {
    Spi::connect(|client| {
        let found = client.select(
            "select l.url, l.id from unnest($1) as u (url)
             join marketing_automation.link l on l.digest = sha256(convert_to(u.url, 'UTF8'))",
            None,
            &[urls.to_vec().into()],
        )?;
        let mut ids = HashMap::new();
        for row in found {
            if let (Some(url), Some(id)) = (row.get(1)?, row.get(2)?) {
                ids.insert(url, id);
            }
        }
        Ok(ids)
    })
}

/// Renders the HTML of a mail once more, as the mailer has, but without what tells of opens; null: nothing can be signed. Pictures are
/// those whose data URLs are given, by their cids.
#[pg_extern(sql = false)]
#[allow(clippy::too_many_arguments)] // What a mail is made of.
fn render_for_browser(
    message_id: i64,
    record_id: i64,
    activity_id: i32,
    template_id: i32,
    record: pgrx::JsonB,
    party: Option<String>,
    email: Option<String>,
    recipient_name: Option<String>,
    language: Option<String>,
    time_zone: Option<String>,
    track_clicks: bool,
    is_shared: bool,
    cids: Vec<String>,
    pictures: Vec<String>,
) -> Result<Option<String>, spi::Error> {
    let snippets = Arc::new(snippets()?);
    let found = translations_of(statements::mail_templates(vec![template_id])?, &snippets);
    let base = settings::automation_base().and_then(|base| BaseUrl::parse(&base).ok());
    let (Some((_, activity)), Some(base), Some(keyring)) =
        (found.into_iter().next(), base, keyring()?)
    else {
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
    let translations = &activity.translations;
    let rendered = translations
        .compile(&translations.choose(&recipient.language))
        .and_then(|template| template.render(&context, &recipient));
    let rendered = rendered.unwrap_or_else(|error| refuse(&activity.name, &error.to_string()));
    // Of templates that have changed since.
    if is_shared && let Some(link) = rendered.personal_link() {
        refuse(
            &activity.name,
            &format!("it went to others than its party, and has {link}"),
        );
    }
    let links = rendered.links();
    let ids = link_ids(links)?;
    let id = |index: usize| ids.get(&links[index]).copied();
    let sign = |purpose, link| {
        let token = Token {
            record: record_id,
            activity: activity_id,
            link,
        };
        keyring.sign(purpose, &token)
    };
    let consent = Consent {
        opens: false,
        clicks: track_clicks,
    };
    let mut mail = rendered.assemble(consent, false, |target| match target {
        // A link that no mail had when this one was sent is of a template that has changed since.
        Target::Link(index) => match id(index) {
            Some(id) => base.click(&sign(Purpose::Click, Some(id))),
            None => links[index].clone(),
        },
        Target::Unsubscribe(page) => {
            base.unsubscribe(&sign(Purpose::Unsubscribe, page.and_then(id)))
        }
        Target::Preferences => base.preferences(&sign(Purpose::Unsubscribe, None)),
        Target::Confirm => base.confirm(&sign(Purpose::Confirm, None)),
        Target::Browser => base.browser(&sign(Purpose::Browser, Some(message_id))),
        // Neither is there without consent to opens, and where no robots are looked for.
        Target::OpenImage | Target::HiddenLink => String::new(),
    });
    let pictures: HashMap<&str, &str> = cids
        .iter()
        .map(String::as_str)
        .zip(pictures.iter().map(String::as_str))
        .collect();
    mail.html = with_pictures(&mail.html, |cid| pictures.get(cid).copied());
    Ok(Some(document(mail.html, &mail.subject)))
}
