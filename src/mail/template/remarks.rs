//! What works, and is hardly meant: told when a template is written.

use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;

use super::css_comment::{self, Comment};
use super::dead_links::{TAG, dead_links, without_tags};
use super::torn_html::torn_html;
use super::{Part, TemplateError, advice};
use crate::mail::mjml;

/// Most remarks about one template.
const MAX_REMARKS: usize = 10;

/// Something to look at again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// Where, what, and what to write instead.
    pub error: TemplateError,
}

/// Looks through a source that compiles.
pub fn remarks(part: Part, snippet: Option<&str>, source: &str) -> Vec<Remark> {
    let mut found: Vec<(usize, String, String)> = Vec::new();
    for (offset, comment) in css_comment::comments(source) {
        let what = match comment {
            Comment::InStyle => "{# in <style> is taken as CSS, not as the beginning of a comment",
            Comment::SwallowsStyle => "a comment {# … #} takes rules of <style> with it",
            Comment::SwallowsMarkup => "a comment {# … #} takes only a part of an element with it",
        };
        let hint = "Where {# is no comment, write {% raw %} … {% endraw %} around it.";
        found.push((offset, what.to_owned(), hint.to_owned()));
    }
    for (offset, text) in texts(&css_comment::protect(source)) {
        for tag in advice::merge_tags(&text) {
            let what = format!("{} is text here, and is mailed as it is", tag.tag);
            found.push((offset + tag.offset, what, advice::for_merge_tag(&tag.tag)));
        }
    }
    if part == Part::Body {
        let dead = dead_links(&css_comment::protect(source));
        found.extend(
            dead.into_iter()
                .map(|link| (link.offset, link.message, link.hint)),
        );
    }
    if part == Part::Body && snippet.is_none() {
        found.extend(torn_html(source));
        let document = without_tags(&css_comment::protect(source));
        if mjml::is_mjml(&document.replace(TAG, " ")) {
            let idle = mjml::idle_attributes(&document, TAG);
            found.extend(idle.into_iter().map(|attribute| {
                let hint = attribute.hint.unwrap_or_default();
                (attribute.offset, attribute.message, hint)
            }));
        }
    }
    found.sort_by_key(|(offset, ..)| *offset);
    found
        .into_iter()
        .take(MAX_REMARKS)
        .map(|(offset, message, hint)| Remark {
            error: TemplateError::at(part, source, offset, message)
                .in_snippet(snippet)
                .with_hint(Some(hint)),
        })
        .collect()
}

/// The pieces between the tags of a template, but for what is raw.
fn texts(source: &str) -> Vec<(usize, String)> {
    let mut texts = Vec::new();
    for (token, span) in tokenize(source, false, SyntaxConfig::default()).map_while(Result::ok) {
        let start = usize::try_from(span.start_offset).unwrap_or(source.len());
        if let Token::TemplateData(text) = token {
            let before = source.get(..start).unwrap_or_default();
            let is_raw = before.ends_with("%}")
                && before.rfind("{%").is_some_and(|tag| {
                    before[tag + 2..]
                        .trim_start_matches(['-', '+'])
                        .trim_start()
                        .starts_with("raw")
                });
            if !is_raw {
                texts.push((start, text.to_owned()));
            }
        }
    }
    texts
}
