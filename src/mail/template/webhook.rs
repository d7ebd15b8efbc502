//! What a webhook makes of a row: where it goes, and the JSON that it takes there.

use std::sync::{Arc, Mutex};

use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;
use serde_json::json;

use super::environment::{self, BROWSER_URL, Scope};
use super::limits::check_context;
use super::names::{Names, Undefined};
use super::translations::{self, Texts};
use super::{MailTemplate, Part, Recipient, Snippets, TemplateError, null, render_part};
use crate::mail::locale::{self, Locale};
use crate::mail::placeholder::Links;
use crate::webhook::origin::Fixed;

/// What only a mail has: links that are tracked, and ways out.
const OF_MAILS: [&str; 5] = [
    "unsubscribe_url",
    "preferences_url",
    "confirm_url",
    BROWSER_URL,
    "short",
];

/// A webhook for one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Scheme, host and port.
    pub target: String,
    /// Path and query.
    pub path: String,
    /// JSON.
    pub body: String,
}

fn fixed(url: &str) -> Result<Fixed, TemplateError> {
    let error = |reason| {
        TemplateError::new(Part::Url, reason).with_hint(Some(
            "Write it as https://crm.example/path/{{ record.id }}: what is an expression stands behind the host.".to_owned(),
        ))
    };
    Fixed::of(url).map_err(error)
}

/// Checks the templates of a webhook as they are written, and gives its target: scheme, host and port.
///
/// # Errors
/// As [`translations::check`]; a URL whose server depends on the row, a body that is no JSON whatever the row is.
pub fn check_webhook(
    url: &str,
    body: Option<&str>,
    language: &str,
    snippets: &Snippets,
    names: Option<Names>,
) -> Result<(String, Vec<Undefined>), TemplateError> {
    let target = fixed(url)?.origin.to_string();
    let texts = Texts {
        url: Some(url.trim().to_owned()),
        payload: body.map(str::to_owned),
        ..Texts::default()
    };
    let names = names.map(|names| names.without(&OF_MAILS));
    let undefined = translations::check(&texts, language, snippets, names.as_ref())?;
    if let Some(body) = body {
        check_json(body)?;
    }
    Ok((target, undefined))
}

/// Refuses a body that is no JSON with a text in the place of each expression. One with statements is looked at when it is rendered.
fn check_json(body: &str) -> Result<(), TemplateError> {
    let mut text = String::with_capacity(body.len());
    for (token, _) in tokenize(body, false, SyntaxConfig::default()).map_while(Result::ok) {
        match token {
            Token::TemplateData(data) => text.push_str(data),
            Token::VariableStart => text.push_str("\"x\""),
            Token::BlockStart => return Ok(()),
            _ => {}
        }
    }
    serde_json::from_str::<serde_json::Value>(&text)
        .map(drop)
        .map_err(|error| {
            TemplateError::new(Part::Payload, format!("it makes no JSON: {error}")).with_hint(Some(
                "An expression writes a JSON value, a text with its quotes: {\"name\": {{ record.name }}, \"whole\": {{ record.first ~ ' ' ~ record.last }}}."
                    .to_owned(),
            ))
        })
}

impl MailTemplate {
    /// Renders a webhook; `record`: the public id of its record.
    ///
    /// # Errors
    /// As [`MailTemplate::render`]; a URL that leads elsewhere than its template says, a body that is no JSON.
    pub fn render_webhook(
        &self,
        context: &serde_json::Value,
        recipient: &Recipient,
        record: &str,
    ) -> Result<Call, TemplateError> {
        check_context(context)?;
        let values = null::from_json(context);
        let render = |part: Part| {
            let Some(language) = &self.languages[part as usize] else {
                return Ok(None);
            };
            let language = locale::for_text(&recipient.language, language);
            let scope = Scope {
                locale: Locale::new(language, &recipient.time_zone),
                links: Arc::new(Mutex::new(Links::default())),
            };
            let mut environment = environment::for_mail(&self.environment, scope);
            for global in OF_MAILS {
                environment.remove_global(global);
            }
            render_part(
                &environment,
                part,
                part.name(),
                &values,
                |snippet, offset| self.position(part.name(), snippet, offset),
            )
            .map(Some)
        };
        let url = render(Part::Url)?.unwrap_or_default();
        let source = self.sources.get(Part::Url.name());
        let fixed = fixed(source.map_or("", |source| source.written()))?;
        let path = fixed
            .path_of(&url)
            .map_err(|reason| TemplateError::new(Part::Url, reason))?;
        let body = match render(Part::Payload)? {
            Some(body) => body,
            None => row(context, record),
        };
        serde_json::from_str::<serde::de::IgnoredAny>(&body).map_err(|error| {
            TemplateError::new(
                Part::Payload,
                format!("it makes no JSON of this row: {error}"),
            )
        })?;
        Ok(Call {
            target: fixed.origin.to_string(),
            path,
            body,
        })
    }
}

/// The body of a webhook that has no template for it.
fn row(context: &serde_json::Value, record: &str) -> String {
    let mut body = json!({
        "scenario": context["scenario"]["name"],
        "activity": context["activity"]["name"],
        "record": record,
        "party": context["party"]["id"],
        "row": context["record"],
    });
    if let Some(results) = context.get("results") {
        body["results"] = results.clone();
    }
    body.to_string()
}
