//! The pages around unsubscribing: semantic HTML, no scripts, nothing loaded from elsewhere, readable on a phone.

use std::sync::LazyLock;

use axum::http::HeaderValue;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use html_escape::encode_quoted_attribute as escape;
use sha2::{Digest, Sha256};
use tracing::warn;

use super::database::Subscription;
use super::form::{ACTION, RESUBSCRIBE, SCOPE, SCOPE_EVERYTHING};
use super::pages::{PageName, Pages, Words};
use super::texts::Text;
use crate::mail::message::name_and_address;
use crate::mail::template::PageContext;

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{margin:0;padding:2rem 1.25rem;font:1.125rem/1.5 system-ui,sans-serif;overflow-wrap:anywhere}\
main{max-width:32rem;margin:0 auto}\
h1{font-size:1.5rem;line-height:1.25;margin:0 0 1rem}\
p,fieldset{margin:0 0 1.5rem}\
fieldset{border:0;padding:0;min-width:0}\
legend{padding:0;margin:0 0 .5rem}\
label{display:flex;gap:.75rem;padding:.625rem 0}\
input{width:1.125rem;height:1.125rem;margin:.28rem 0;flex:none}\
p.sender{margin:-.5rem 0 1.5rem;opacity:.8}\
form p{margin:0 0 1rem}\
form+form,form+p{margin-top:2rem}\
a{color:inherit}\
button{font:inherit;font-weight:600;max-width:100%;min-height:3rem;padding:.5rem 1.5rem;border:.125rem solid #1d4ed8;border-radius:.5rem;\
background:#1d4ed8;color:#fff;cursor:pointer}\
button.quiet{background:transparent;color:inherit;border-color:currentColor}\
:focus-visible{outline:.2rem solid #f59e0b;outline-offset:.15rem}";

/// `form-action` names all web sites because browsers apply it to the redirect that follows the form too, and that goes
/// where the mail's author says.
const POLICY: &str = "default-src 'none'; form-action 'self' https: http:; base-uri 'none'; frame-ancestors 'none'; ";

/// The Content-Security-Policy of built-in pages: their own style and nothing else.
static BUILTIN_POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = STANDARD.encode(Sha256::digest(STYLE));
    HeaderValue::try_from(format!("{POLICY}style-src 'sha256-{hash}'"))
        .expect("the policy is ASCII")
});

/// Of reports, which the database makes: their own style and nothing else.
static REPORT_POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = STANDARD.encode(Sha256::digest(crate::report::STYLE));
    HeaderValue::try_from(format!("{POLICY}style-src 'sha256-{hash}'"))
        .expect("the policy is ASCII")
});

/// Of pages made from a template: any style, images and fonts from https, never a script.
static TEMPLATE_POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    HeaderValue::try_from(format!(
        "{POLICY}style-src 'unsafe-inline' https:; img-src https: data:; font-src https: data:"
    ))
    .expect("the policy is ASCII")
});

/// Of mails, whose HTML is their author's: what a mail program shows, never a script, nor anything with the rights of this site. Links open
/// as they would from a mail program.
static MAIL_POLICY: HeaderValue = HeaderValue::from_static(
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; form-action 'none'; base-uri 'none'; \
     frame-ancestors 'none'; style-src 'unsafe-inline' https: http:; img-src https: http: data:; font-src https: http: data:; \
     media-src https: http:",
);

/// A page and what its browser may do.
pub struct Page {
    pub html: String,
    pub policy: HeaderValue,
}

/// What a link in a mail opens: a question, a choice and one button, which posts to the page's own URL; or the news that
/// nothing is left to do.
pub fn unsubscribe(pages: &Pages, subscription: &Subscription, token: &str) -> Page {
    let words = pages.words(subscription.language.as_deref());
    if subscription.unsubscribed {
        let form = way_back(words, subscription) + &choices_link(words, subscription, token);
        return page(
            pages,
            PageName::Unsubscribe,
            words,
            subscription,
            Text::Already,
            effect(subscription),
            &form,
        );
    }
    let form = way_out(words, subscription) + &choices_link(words, subscription, token);
    // With a choice, the form asks.
    let question = (!subscription.has_party).then_some(Text::Question);
    page(
        pages,
        PageName::Unsubscribe,
        words,
        subscription,
        Text::Title,
        question,
        &form,
    )
}

/// What follows unsubscribing: what has been done, and the undo.
pub fn unsubscribed(pages: &Pages, subscription: &Subscription, token: &str) -> Page {
    let words = pages.words(subscription.language.as_deref());
    let form = way_back(words, subscription) + &choices_link(words, subscription, token);
    page(
        pages,
        PageName::Unsubscribed,
        words,
        subscription,
        Text::Done,
        effect(subscription),
        &form,
    )
}

/// What follows the undo.
pub fn resubscribed(pages: &Pages, subscription: &Subscription) -> Page {
    let words = pages.words(subscription.language.as_deref());
    let text = Some(Text::ResubscribedEffect);
    page(
        pages,
        PageName::Resubscribed,
        words,
        subscription,
        Text::Resubscribed,
        text,
        "",
    )
}

/// The report of a scenario.
pub fn report(html: String) -> Page {
    Page {
        html,
        policy: REPORT_POLICY.clone(),
    }
}

/// A mail that was sent.
pub fn mail(html: String) -> Page {
    Page {
        html,
        policy: MAIL_POLICY.clone(),
    }
}

/// The page for a mail that is shown no more. It does not say why.
pub fn gone(pages: &Pages, language: Option<&str>) -> Page {
    message(pages.words(language), Text::Gone, Text::LookInMailbox)
}

/// The page for a link that leads nowhere. It does not say which part of the link is wrong.
pub fn not_found(pages: &Pages, language: Option<&str>) -> Page {
    message(pages.words(language), Text::NotFound, Text::CheckLink)
}

/// The page while the database is away.
pub fn unavailable(pages: &Pages, language: Option<&str>) -> Page {
    message(pages.words(language), Text::Unavailable, Text::TryLater)
}

/// The answer to a mail client that unsubscribed by itself (RFC 8058): one line of text.
pub fn one_click(pages: &Pages, language: Option<&str>) -> String {
    format!("{}\n", pages.words(language).get(Text::Done))
}

fn effect(subscription: &Subscription) -> Option<Text> {
    Some(match subscription.everything {
        true => Text::EffectEverything,
        false => Text::Effect,
    })
}

/// The form that unsubscribes; a choice of what from, where that can be kept.
fn way_out(words: Words, subscription: &Subscription) -> String {
    let choice = if subscription.has_party {
        format!(
            "<fieldset>\n<legend>{}</legend>\n\
             <label><input type=\"radio\" name=\"{SCOPE}\" value=\"this\" checked><span>{}</span></label>\n\
             <label><input type=\"radio\" name=\"{SCOPE}\" value=\"{SCOPE_EVERYTHING}\"><span>{}</span></label>\n</fieldset>\n",
            escape(words.get(Text::Which)),
            about(
                said(words, subscription, Text::ThisKind),
                &subscription.scenario
            ),
            escape(words.get(Text::Everything)),
        )
    } else {
        String::new()
    };
    format!(
        "<form method=\"post\">\n{choice}<button type=\"submit\">{}</button>\n</form>\n",
        escape(words.get(Text::Button))
    )
}

/// The undo, and the next step for a reader who has left one kind of mail only.
fn way_back(words: Words, subscription: &Subscription) -> String {
    let mut forms = format!(
        "<form method=\"post\">\n<p>{}</p>\n<button class=\"quiet\" type=\"submit\" name=\"{ACTION}\" value=\"{RESUBSCRIBE}\">{}</button>\n</form>\n",
        escape(words.get(Text::Mistake)),
        escape(words.get(Text::Again))
    );
    if subscription.has_party && !subscription.everything {
        forms += &format!(
            "<form method=\"post\">\n<button class=\"quiet\" type=\"submit\" name=\"{SCOPE}\" value=\"{SCOPE_EVERYTHING}\">{}</button>\n</form>\n",
            escape(words.get(Text::LeaveEverything))
        );
    }
    forms
}

/// The way to the page on which topics are chosen, from the mails of one.
fn choices_link(words: Words, subscription: &Subscription, token: &str) -> String {
    if subscription.everything || !subscription.choices.iter().any(|choice| choice.is_own) {
        return String::new();
    }
    format!(
        "<p><a href=\"/p/{}\">{}</a></p>\n",
        escape(token),
        escape(words.get(Text::Preferences))
    )
}

/// A page by its template, if there is one and it renders, else the built-in one.
fn page(
    pages: &Pages,
    name: PageName,
    words: Words,
    subscription: &Subscription,
    heading: Text,
    text: Option<Text>,
    form: &str,
) -> Page {
    if let Some(template) = pages.template(name, subscription.language.as_deref()) {
        let rendered = template.render(&PageContext {
            form: form.to_owned(),
            scenario: &subscription.scenario,
            sender: subscription.sender.as_deref().unwrap_or_default(),
            language: words.language,
            direction: words.direction(),
            unsubscribed: subscription.unsubscribed,
            everything: subscription.everything,
            text: Text::ALL
                .iter()
                .map(|text| {
                    (
                        text.name(),
                        said(words, subscription, *text).replace("{}", &subscription.scenario),
                    )
                })
                .collect(),
        });
        match rendered {
            Ok(html) => {
                return Page {
                    html,
                    policy: TEMPLATE_POLICY.clone(),
                };
            }
            // A reader who wants to unsubscribe must be able to, whatever is wrong with the template.
            Err(error) => {
                warn!(page = ?name, %error, "page does not render, the built-in one is shown")
            }
        }
    }
    let text = text.map_or(String::new(), |text| {
        format!(
            "<p>{}</p>\n",
            about(said(words, subscription, text), &subscription.scenario)
        )
    });
    let content = format!(
        "<h1>{}</h1>\n{}{text}{form}",
        escape(words.get(heading)),
        from(subscription)
    );
    document(words, words.get(heading), &content)
}

fn message(words: Words, heading: Text, text: Text) -> Page {
    let heading = words.get(heading);
    let content = format!(
        "<h1>{}</h1>\n<p>{}</p>\n",
        escape(heading),
        escape(words.get(text))
    );
    document(words, heading, &content)
}

fn document(words: Words, title: &str, content: &str) -> Page {
    let html = format!(
        "<!doctype html>\n<html lang=\"{}\" dir=\"{}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"robots\" content=\"noindex\">\n<title>{}</title>\n<style>{STYLE}</style>\n</head>\n\
         <body>\n<main>\n{content}</main>\n</body>\n</html>\n",
        escape(words.language),
        words.direction(),
        escape(title),
    );
    Page {
        html,
        policy: BUILTIN_POLICY.clone(),
    }
}

/// A text; where it would name the scenario, whose name is nobody's business but ours, it does so by the title only.
fn said<'a>(words: Words<'a>, subscription: &Subscription, text: Text) -> &'a str {
    match subscription.is_titled {
        true => words.get(text),
        false => words.untitled(text),
    }
}

/// Who the mail was from: the name on one line, the address on the next.
fn from(subscription: &Subscription) -> String {
    let Some(sender) = subscription.sender.as_deref() else {
        return String::new();
    };
    let (name, address) = match name_and_address(sender) {
        Some((Some(name), address)) => (format!("<bdi>{}</bdi><br>", escape(&name)), address),
        Some((None, address)) => (String::new(), address),
        None => return String::new(),
    };
    format!(
        "<p class=\"sender\">{name}<bdi>{}</bdi></p>\n",
        escape(&address)
    )
}

/// A text with the scenario's title in its place.
fn about(text: &str, scenario: &str) -> String {
    // The title is in whatever script its author writes; <bdi> keeps it from turning the sentence around.
    let title = format!("<bdi>{}</bdi>", escape(scenario));
    escape(text).replacen("{}", &title, 1)
}

mod topics;

pub use topics::{confirmation, preferences};

#[cfg(test)]
mod tests;
