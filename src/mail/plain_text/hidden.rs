//! What does not show, and the preheader, which shows in the list of mails only.

use super::fold::{Folder, is_invisible};
use crate::mail::html_tokens::{Tag, Token, Tokens};

/// Longest preheader, in characters; what is longer is another version of the mail.
const MAX_PREHEADER: usize = 300;

/// How an element is hidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hidden {
    /// It takes no room at all, as preheaders do.
    ByDisplay,
    /// It is squeezed to nothing, or cannot be seen.
    BySize,
}

/// Tells how an element is hidden, if it is.
pub(super) fn how(tag: &Tag<'_>) -> Option<Hidden> {
    if tag.attribute("hidden").is_some() {
        return Some(Hidden::ByDisplay);
    }
    let style = tag.attribute("style")?;
    let is_cut = has(&style, "overflow", |value| value == "hidden");
    let is_none = |value: &str| {
        value
            .trim_start_matches(['0', '.'])
            .trim_end_matches(char::is_alphabetic)
            .is_empty()
            && value.starts_with('0')
    };
    match () {
        () if has(&style, "display", |value| value == "none") => Some(Hidden::ByDisplay),
        () if has(&style, "visibility", |value| value == "hidden")
            || has(&style, "opacity", is_none)
            || has(&style, "max-height", is_none)
            || (is_cut
                && (has(&style, "height", is_none) || has(&style, "max-width", is_none))) =>
        {
            Some(Hidden::BySize)
        }
        () => None,
    }
}

/// Whether a style has a property of such a value.
fn has(style: &str, property: &str, is_meant: impl Fn(&str) -> bool) -> bool {
    style.split(';').any(|declaration| {
        declaration.split_once(':').is_some_and(|(name, value)| {
            let value = value.split('!').next().unwrap_or_default().trim();
            name.trim().eq_ignore_ascii_case(property) && is_meant(&value.to_ascii_lowercase())
        })
    })
}

/// The text of a hidden element before anything that shows, if it is no more than words.
pub(super) fn preheader(tokens: Tokens<'_>, after: &Tokens<'_>) -> Option<String> {
    let mut words = String::new();
    for (at, token) in tokens {
        if at >= after.at() {
            break;
        }
        match token {
            Token::Text(text) => words.push_str(&html_escape::decode_html_entities(text)),
            Token::Start(tag) => match tag.name.to_ascii_lowercase().as_str() {
                "span" | "b" | "i" | "strong" | "em" | "font" | "div" | "p" | "br" => {
                    words.push(' ')
                }
                _ => return None,
            },
            Token::End(_) => {}
        }
    }
    let words = normalized(&words);
    (!words.is_empty() && words.chars().count() <= MAX_PREHEADER).then_some(words)
}

/// Puts the preheader before the text, unless that says it too.
pub(super) fn with_preheader(preheader: &str, text: String) -> String {
    if text.is_empty() || normalized(&text).contains(preheader) {
        return text;
    }
    let mut folder = Folder::default();
    folder.text(preheader);
    format!("{}\n{text}", folder.finish())
}

/// Words with a space between them, without what only fills up a preview.
fn normalized(text: &str) -> String {
    let words = text
        .split_whitespace()
        .filter(|word| !word.chars().all(is_invisible));
    words.collect::<Vec<_>>().join(" ")
}
