//! Finds the links of a body once, in its templates, instead of once in every mail.
//!
//! The parser of HTML sees the template with letters in the place of each tag of the template. It is trusted with that
//! only where no mail can come out with other tags of HTML: `{% … %}` stands between elements only, and what `{{ … }}`
//! prints is escaped text, in a text, a quoted attribute or a comment, or finished markup of the template's own between
//! elements. Any other body is parsed mail by mail; the result is the same.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::LazyLock;

use lol_html::html_content::{Comment, Element, TextChunk, TextType};
use lol_html::{DocumentContentHandlers, ElementContentHandlers, Selector, Settings};
use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;

use super::scan::{Scan, scan};
use crate::mail::edits::{Edit, Edited};
use crate::mail::placeholder::{self, Mark};
use crate::mail::rewrite::Replaced;
use crate::mail::rewrite::href::{Href, href, quoted_value, visit};

static ANY: LazyLock<Selector> =
    LazyLock::new(|| "*".parse().expect("the constant is a valid CSS selector"));

/// Marks the links in a body and its snippets; None: they must be looked for in every mail.
pub(super) fn mark(sources: &[&str]) -> Option<(Vec<Edited>, Vec<Replaced>)> {
    let scans: Vec<Scan> = sources.iter().map(|source| scan(source)).collect();
    let markup: BTreeSet<&str> = scans
        .iter()
        .flat_map(|scan| scan.markup.iter().map(String::as_str))
        .collect();
    let mut known = Vec::new();
    let mut marked = Vec::new();
    for (source, scan) in sources.iter().zip(&scans) {
        let is_markup = |name: &str| markup.contains(name);
        if scan.alters_markup
            || scan
                .uses
                .iter()
                .any(|found| is_markup(&found.path[0]) && !found.printed)
            || source.to_ascii_lowercase().contains("<mjml")
        {
            return None;
        }
        let prints: BTreeSet<usize> = scan
            .uses
            .iter()
            .filter(|found| is_markup(&found.path[0]))
            .map(|found| found.offset)
            .collect();
        marked.push(mark_one(source, &prints, &mut known)?);
    }
    Some((marked, known))
}

/// A tag of the template.
struct Gap {
    /// In the source.
    range: Range<usize>,
    /// Where its letters stand in the document that the parser sees.
    at: Range<usize>,
    is_print: bool,
}

/// The template as the parser sees it.
struct Document {
    html: String,
    /// Where pieces of the source begin in the document and in the source.
    pieces: Vec<(usize, usize)>,
    gaps: Vec<Gap>,
}

impl Document {
    fn new(source: &str) -> Option<Document> {
        let mut document = Document {
            html: String::with_capacity(source.len()),
            pieces: Vec::new(),
            gaps: Vec::new(),
        };
        let mut done = 0;
        let mut tag = None;
        for token in tokenize(source, false, SyntaxConfig::default()) {
            match token.ok()?.0 {
                Token::TemplateData(text) => {
                    // It is a piece of the source.
                    let start = text.as_ptr().addr().checked_sub(source.as_ptr().addr())?;
                    (source.get(start..start + text.len())? == text).then_some(())?;
                    document.tag(done..start, tag.take());
                    document.pieces.push((document.html.len(), start));
                    document.html.push_str(text);
                    done = start + text.len();
                }
                // Two tags in a row are one gap; a statement among them makes it one.
                Token::VariableStart => tag = tag.or(Some(true)),
                Token::BlockStart => tag = Some(false),
                _ => {}
            }
        }
        document.tag(done..source.len(), tag.take());
        Some(document)
    }

    fn tag(&mut self, range: Range<usize>, is_print: Option<bool>) {
        if let Some(is_print) = is_print {
            let start = self.html.len();
            self.html.push_str(&placeholder::tag(self.gaps.len()));
            let at = start..self.html.len();
            self.gaps.push(Gap {
                range,
                at,
                is_print,
            });
        }
    }

    /// The place in the source of one in a piece of it; `end`: of the end of one.
    fn source(&self, offset: usize, end: bool) -> Option<usize> {
        let following = self
            .pieces
            .partition_point(|(start, _)| *start < offset || (!end && *start == offset));
        let (start, source) = self.pieces.get(following.checked_sub(1)?)?;
        Some(offset - start + source)
    }

    fn has_gap(&self, range: &Range<usize>) -> bool {
        let first = self.gaps.partition_point(|gap| gap.at.end <= range.start);
        self.gaps
            .get(first)
            .is_some_and(|gap| gap.at.start < range.end)
    }
}

/// What the parser finds.
#[derive(Default)]
struct Found {
    hrefs: Vec<Href>,
    texts: Vec<Range<usize>>,
    /// Texts that hold no elements: of a style, a title.
    raw: Vec<Range<usize>>,
    values: Vec<Range<usize>>,
    comments: Vec<Range<usize>>,
    is_foreign: bool,
}

fn parse(html: &str) -> Option<Found> {
    let found = RefCell::new(Found::default());
    let elements = ElementContentHandlers::default().element(|element: &mut Element| {
        let mut found = found.borrow_mut();
        found.is_foreign |= !element.namespace_uri().ends_with("xhtml");
        let attributes = element.attributes();
        for attribute in attributes {
            let value = quoted_value(html, attribute);
            // Only where it has quotes can a value hold anything.
            found
                .values
                .extend(value.filter(|value| matches!(html.as_bytes()[value.start], b'"' | b'\'')));
        }
        if matches!(element.tag_name().as_str(), "a" | "area") {
            found.hrefs.extend(href(html, attributes));
        }
        Ok(())
    });
    let document = DocumentContentHandlers::default()
        .text(|text: &mut TextChunk| {
            let range = text.source_location().bytes();
            let mut found = found.borrow_mut();
            match text.text_type() {
                TextType::Data => extend(&mut found.texts, range),
                TextType::RawText | TextType::RCData => extend(&mut found.raw, range),
                _ => {}
            }
            Ok(())
        })
        .comments(|comment: &mut Comment| {
            let range = comment.source_location().bytes();
            found.borrow_mut().comments.push(range);
            Ok(())
        });
    let settings = Settings::new()
        .append_element_content_handler((Cow::Borrowed(&*ANY), elements))
        .append_document_content_handler(document)
        .with_strict(true);
    visit(html, settings).ok()?;
    Some(found.into_inner())
}

/// Adds a range, to the last one where they touch: a text comes in pieces.
fn extend(ranges: &mut Vec<Range<usize>>, range: Range<usize>) {
    match ranges.last_mut() {
        Some(last) if last.end == range.start => last.end = range.end,
        _ => ranges.push(range),
    }
}

/// Whether a tag stands in one of the ranges, which are in order.
fn within(ranges: &[Range<usize>], gap: &Gap) -> bool {
    let first = ranges.partition_point(|range| range.end < gap.at.end);
    ranges
        .get(first)
        .is_some_and(|range| range.start <= gap.at.start)
}

/// Whether what is printed into a comment could end it: `--` before a `>` of the author.
fn may_end_comment(html: &str, comments: &[Range<usize>], gap: &Gap) -> bool {
    let after = html[gap.at.end..].trim_start_matches(['-', '!']);
    let next = html.len() - after.len();
    after.starts_with('>')
        && comments
            .binary_search_by_key(&(next + 1), |comment| comment.end)
            .is_err()
}

fn mark_one(source: &str, prints: &BTreeSet<usize>, known: &mut Vec<Replaced>) -> Option<Edited> {
    let mut document = Document::new(source)?;
    // What follows a snippet must not be inside of one of its elements' tags.
    document.tag(source.len()..source.len(), Some(false));
    let html = document.html.as_str();
    let found = parse(html)?;
    if found.is_foreign {
        return None;
    }
    for gap in &document.gaps {
        let is_markup = prints.range(gap.range.clone()).next().is_some();
        let is_safe = within(&found.texts, gap)
            || (gap.is_print
                && !is_markup
                && (within(&found.values, gap)
                    || within(&found.raw, gap)
                    || (within(&found.comments, gap)
                        && !may_end_comment(html, &found.comments, gap))));
        if !is_safe {
            return None;
        }
    }
    let mut edits = Vec::new();
    for href in found.hrefs {
        let start = document.source(href.value.start, false)?;
        let end = document.source(href.value.end, true)?;
        if let Some(no_track) = href.no_track {
            if document.has_gap(&no_track) {
                return None;
            }
            let range =
                document.source(no_track.start, false)?..document.source(no_track.end, true)?;
            edits.push(Edit::replace(range, String::new()));
        }
        if document.has_gap(&href.value) {
            let is_tracked = href.is_tracked;
            edits.push(Edit::replace(
                start..start,
                Mark::Begin { is_tracked }.text(),
            ));
            edits.push(Edit::replace(end..end, placeholder::end_mark()));
        } else {
            // A wrong one is an error of every mail, not of the template: an `if` may keep it from all.
            let written = &html[href.value.clone()];
            if let Some(replaced) = Replaced::read(written, href.is_tracked).ok()? {
                edits.push(Edit::replace(start..end, Mark::Known(known.len()).text()));
                known.push(replaced);
            }
        }
    }
    Some(Edited::new(source, edits))
}
