//! `{#` in a style sheet: to Jinja the beginning of a comment, to CSS a rule and a selector.
//!
//! `@media screen{#box{…}}` swallowed everything up to the next `#}`. Inside of `<style>` it is text, unless `#}` follows
//! before the style ends. It travels through the compiler as one character of the same length in bytes, so that all
//! places stay.

use std::borrow::Cow;
use std::ops::Range;

use crate::mail::html_tokens::{Token, Tokens};

/// Stands for `{#` that is text (PRIVATE USE ONE, two bytes of UTF-8 as well).
pub(super) const MARK: char = '\u{91}';

/// What `{#` does in a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comment {
    /// It is taken as CSS.
    InStyle,
    /// It is a comment that takes CSS with it.
    SwallowsStyle,
    /// It is a comment that takes the end of an element with it, or only its beginning.
    SwallowsMarkup,
}

/// Puts the mark in the place of each `{#` that is CSS.
pub(super) fn protect(source: &str) -> Cow<'_, str> {
    if !source.contains("{#") {
        return Cow::Borrowed(source);
    }
    let mut protected = source.to_owned();
    for (at, comment) in comments(source) {
        if comment == Comment::InStyle {
            protected.replace_range(at..at + 2, MARK.encode_utf8(&mut [0; 2]));
        }
    }
    Cow::Owned(protected)
}

/// Puts `{#` back into what a template has made.
pub(super) fn restore(text: String) -> String {
    match text.contains(MARK) {
        true => text.replace(MARK, "{#"),
        false => text,
    }
}

/// Finds each `{#` that may not be what its author means.
pub(super) fn comments(source: &str) -> Vec<(usize, Comment)> {
    let lower = source.to_ascii_lowercase();
    let styles = styles(&lower);
    let ends: Vec<usize> = lower.match_indices("#}").map(|(at, _)| at).collect();
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(next) = lower[at..].find('{').map(|next| at + next) {
        at = next + 1;
        match lower.as_bytes().get(at) {
            Some(b'{') => at = behind(&lower, at + 1, "}}"),
            Some(b'%') => {
                let end = behind(&lower, at + 1, "%}");
                let statement = lower[at + 1..end]
                    .trim_start_matches(['-', '+'])
                    .trim_start();
                at = match statement.starts_with("raw") {
                    true => lower[end..]
                        .find("endraw")
                        .map_or(lower.len(), |after| end + after),
                    false => end,
                };
            }
            Some(b'#') => {
                let end = ends.get(ends.partition_point(|end| *end <= at)).copied();
                let style = styles.get(styles.partition_point(|style| style.end <= next));
                let style_end = style
                    .filter(|style| style.start <= next)
                    .map(|style| style.end);
                match (style_end, end) {
                    (Some(style), end) if end.is_none_or(|end| end > style) => {
                        found.push((next, Comment::InStyle));
                        at += 1;
                        continue;
                    }
                    (Some(_), Some(end)) if lower[at..end].contains(['{', '}']) => {
                        found.push((next, Comment::SwallowsStyle));
                    }
                    (None, Some(end)) if !is_balanced(&source[at + 1..end]) => {
                        found.push((next, Comment::SwallowsMarkup));
                    }
                    _ => {}
                }
                at = end.map_or(lower.len(), |end| end + 2);
            }
            _ => {}
        }
    }
    found
}

/// The end of a tag; what it holds in quotes may look like one.
fn behind(source: &str, from: usize, close: &str) -> usize {
    let mut quote = None;
    for (at, c) in source[from..].char_indices() {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            (None, _) if source[from + at..].starts_with(close) => return from + at + close.len(),
            _ => {}
        }
    }
    // A quote that does not end: the first that looks like the end.
    source[from..]
        .find(close)
        .map_or(source.len(), |at| from + at + close.len())
}

/// Where style sheets stand.
fn styles(lower: &str) -> Vec<Range<usize>> {
    let mut styles = Vec::new();
    let mut at = 0;
    while let Some(open) = lower[at..].find("<style").map(|open| at + open) {
        let Some(start) = lower[open..].find('>').map(|end| open + end + 1) else {
            break;
        };
        let end = lower[start..]
            .find("</style")
            .map_or(lower.len(), |end| start + end);
        styles.push(start..end);
        at = end;
    }
    styles
}

/// Whether each element that begins in a piece of markup ends in it.
fn is_balanced(markup: &str) -> bool {
    const VOID: [&str; 8] = ["area", "br", "col", "hr", "img", "input", "link", "meta"];
    // A comment about markup in words is none.
    let mut open: Vec<String> = Vec::new();
    for (_, token) in Tokens::new(markup) {
        match token {
            Token::Start(tag) => open.push(tag.name.to_ascii_lowercase()),
            Token::End(name) => {
                let name = name.to_ascii_lowercase();
                match open.iter().rposition(|start| *start == name) {
                    Some(at) => open.truncate(at),
                    None => return false,
                }
            }
            Token::Text(_) => {}
        }
    }
    open.iter().all(|name| {
        VOID.contains(&name.as_str()) || matches!(name.as_str(), "p" | "li" | "td" | "tr")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_that_take_more_than_words_are_told() {
        for (source, expected) in [
            (
                "<style>@media screen{#box a{padding:0}}</style>",
                Some(Comment::InStyle),
            ),
            (
                "<STYLE type='text/css'>@media x{#a{b:c}}.d{e:f}</STYLE><p>{# note #}</p>",
                Some(Comment::InStyle),
            ),
            (
                "<style>@media x{#a{b:c}}</style><a href='#}'>x</a>",
                Some(Comment::InStyle),
            ),
            ("<style>{# .a{b:c} #}</style>", Some(Comment::SwallowsStyle)),
            ("<style>{# the brand's colours #}a{b:c}</style>", None),
            ("<p>{# note #}</p>{# <p>old</p> <br> #}", None),
            ("<p>{# </p> #}", Some(Comment::SwallowsMarkup)),
            ("{# <div> #}", Some(Comment::SwallowsMarkup)),
            (
                "{{ '{#' }}{% if '{#' %}{% endif %}{% raw %}{#</b>#}{% endraw %}",
                None,
            ),
            ("<style></style>{#", None),
        ] {
            let found: Vec<Comment> = comments(source)
                .into_iter()
                .map(|(_, comment)| comment)
                .collect();
            assert_eq!(found, Vec::from_iter(expected), "{source}");
        }
        let css = "é<style>a{#b{}}{#c{}</style>";
        let protected = protect(css);
        assert_eq!(protected.len(), css.len());
        assert_eq!(restore(protected.into_owned()), css);
    }
}
