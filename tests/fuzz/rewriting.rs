//! What the way of a mail does to the HTML of its author: values of `href` get other URLs, `data-no-track` goes away, and every other byte
//! stays. Compared by rules of HTML that are written here once more, not by the parser that rewrites.

use marketing_automation::mail::rendered::Consent;
use marketing_automation::mail::template::{MailTemplate, Recipient, Snippets, context};
use serde_json::json;

use crate::source;

const URL: &str = "https://t.example/x";
const NO_TRACK: &[u8] = b"data-no-track";
/// As each of them may be the one that has gone.
const MOST_NO_TRACK: usize = 6;

/// Sends the HTML on its way, as a body without expressions.
pub fn bytes_stay(html: &str) {
    // A template's tags and MJML are there to be replaced; the last is how `{#` in a style sheet travels.
    let replaced = ["{{", "{%", "{#", "<mjml", "\u{91}"];
    if replaced
        .iter()
        .any(|piece| html.to_ascii_lowercase().contains(piece))
        || html.to_ascii_lowercase().matches("data-no-track").count() > MOST_NO_TRACK
    {
        return;
    }
    let sources = [
        None,
        None,
        Some(source("Hello")),
        Some(source(html)),
        None,
        // Links of a plain text are found by other rules, which any text must pass.
        Some(source(html)),
        None,
        None,
    ];
    let Ok(template) = MailTemplate::compile(sources, None, &Snippets::default()) else {
        return;
    };
    let recipient = Recipient::default();
    let variables = context(json!({}), None, None, None, &recipient, "welcome", "hello");
    let Ok(rendered) = template.render(&variables, &recipient) else {
        return;
    };
    let consent = Consent {
        opens: false,
        clicks: true,
    };
    let mail = rendered.assemble(consent, false, |_| URL.to_owned());
    let (input, output) = (html.as_bytes(), mail.html.as_bytes());
    if let Err((at, out)) = compare(input, output, 0, 0) {
        let show = |bytes: &[u8], from: usize| {
            let piece = &bytes[from.saturating_sub(40)..bytes.len().min(from + 60)];
            String::from_utf8_lossy(piece).into_owned()
        };
        panic!(
            "byte {at}: {:?} became {:?}",
            show(input, at),
            show(output, out)
        );
    }
}

/// Walks along both from these places on; the places at which they part.
fn compare(
    input: &[u8],
    output: &[u8],
    mut at: usize,
    mut out: usize,
) -> Result<(), (usize, usize)> {
    loop {
        // Which of two that are alike has gone cannot be told from what stands there.
        if let Some(length) = no_track(&input[at..])
            && compare(input, output, at + length, out).is_ok()
        {
            return Ok(());
        }
        if let Some(quote) = replaced_value(&output[out..])
            && replaced_value(&input[at..]).is_none()
            && let Some(length) = value(input, at, quote)
        {
            at += length;
            out += URL.len() + 2;
        } else if at < input.len() && input.get(at) == output.get(out) {
            at += 1;
            out += 1;
        } else {
            // Jinja drops the line feed at the end of a template.
            let ended =
                out == output.len() && matches!(&input[at..], b"" | b"\n" | b"\r\n" | b"\r");
            return if ended { Ok(()) } else { Err((at, out)) };
        }
    }
}

/// The quote of our URL, if it stands here.
fn replaced_value(output: &[u8]) -> Option<u8> {
    let (quote, rest) = output.split_first()?;
    let rest = rest.strip_prefix(URL.as_bytes())?;
    (matches!(quote, b'"' | b'\'') && rest.first() == Some(quote)).then_some(*quote)
}

/// The length of the attribute's value that begins at a place, with its quotes; None: none does, or one of `href` could not be replaced by one
/// with this quote.
fn value(input: &[u8], at: usize, quote: u8) -> Option<usize> {
    let before = input[..at].trim_ascii_end().strip_suffix(b"=")?;
    let name = before.trim_ascii_end();
    if !name
        .get(name.len().checked_sub(4)?..)?
        .eq_ignore_ascii_case(b"href")
    {
        return None;
    }
    value_length(&input[at..]).filter(|_| match input.get(at) {
        Some(first @ (b'"' | b'\'')) => *first == quote,
        _ => quote == b'"',
    })
}

/// HTML, section 13.2.5.36 and what follows there.
fn value_length(input: &[u8]) -> Option<usize> {
    match input.first()? {
        quote @ (b'"' | b'\'') => input[1..]
            .iter()
            .position(|byte| byte == quote)
            .map(|end| end + 2),
        _ => input
            .iter()
            .position(|byte| byte.is_ascii_whitespace() || *byte == b'>'),
    }
}

/// The length of `data-no-track` with its value and the space before it, if it begins here.
fn no_track(input: &[u8]) -> Option<usize> {
    let rest = input.trim_ascii_start();
    let name = rest.get(..NO_TRACK.len())?;
    if !name.eq_ignore_ascii_case(NO_TRACK) {
        return None;
    }
    let rest = &rest[NO_TRACK.len()..];
    let end = match rest.trim_ascii_start().strip_prefix(b"=") {
        Some(value) => {
            let value = value.trim_ascii_start();
            &value[value_length(value).unwrap_or(0)..]
        }
        None => rest,
    };
    Some(input.len() - end.len())
}
