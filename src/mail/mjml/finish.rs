//! Writes into the finished HTML what the head says about its elements.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::HashMap;
use std::ops::Range;

use lol_html::html_content::Element;
use lol_html::{ElementContentHandlers, Selector, Settings};

use super::css::{self, Declaration, Rule, Specificity};
use super::head::HtmlAttribute;
use crate::mail::rewrite::href::{quoted_value, visit};
use crate::mail::rewrite::splice;

/// Most values that are written: a selector such as `*` multiplies a style sheet by the elements of a mail.
const MAX_VALUES: usize = 50_000;

/// Sets the attributes of `mj-html-attributes`.
///
/// # Errors
/// Too many values, or markup that needs more memory than allowed.
pub(super) fn set_attributes(html: String, attributes: &[HtmlAttribute]) -> Result<String, String> {
    if attributes.is_empty() {
        return Ok(html);
    }
    let selectors = attributes.iter().map(|attribute| &attribute.selector);
    let tags = tags(&html, selectors, |index| &attributes[index].name, |_| 1)?;
    let mut edits = Vec::new();
    for tag in tags.into_values() {
        // Of several values for one name the last counts.
        let mut values: BTreeMap<&str, (&str, Option<Range<usize>>)> = BTreeMap::new();
        for (index, written) in tag.matches {
            let HtmlAttribute { name, value, .. } = &attributes[index];
            values.insert(name, (value, written));
        }
        for (name, (value, written)) in values {
            edits.push(tag.name_end.edit(name, value, written));
        }
    }
    Ok(splice(&html, edits))
}

/// Writes the rules of style sheets into the elements that they match, as if they stood in a browser's style sheet.
///
/// # Errors
/// As [`set_attributes`].
pub(crate) fn inline_styles(html: String, rules: &[Rule]) -> Result<String, String> {
    if rules.is_empty() {
        return Ok(html);
    }
    let selectors = rules.iter().map(|rule| &rule.selector);
    let tags = tags(
        &html,
        selectors,
        |_| "style",
        |index| rules[index].declarations.len(),
    )?;
    let mut edits = Vec::new();
    for tag in tags.into_values() {
        let mut written = None;
        let mut cascade = Cascade::default();
        for (index, style) in tag.matches {
            let rule = &rules[index];
            cascade.add(&rule.declarations, Origin::Rule(rule.specificity));
            written = written.or(style);
        }
        let own = written
            .clone()
            .map(|range| value(&html[range]))
            .unwrap_or_default();
        let own = css::declarations(&own);
        cascade.add(&own, Origin::Element);
        edits.push(tag.name_end.edit("style", &cascade.into_style(), written));
    }
    Ok(splice(&html, edits))
}

/// A start tag that selectors match.
struct Tag {
    name_end: NameEnd,
    /// Which ones, in their order, and where the attribute that each is about stands already.
    matches: Vec<(usize, Option<Range<usize>>)>,
}

/// The end of a tag's name, where attributes are put in.
#[derive(Clone, Copy)]
struct NameEnd(usize);

impl NameEnd {
    fn edit(
        self,
        name: &str,
        value: &str,
        written: Option<Range<usize>>,
    ) -> (Range<usize>, String) {
        let value = value.replace('&', "&amp;").replace('"', "&quot;");
        match written {
            Some(range) => (range, format!("\"{value}\"")),
            None => (self.0..self.0, format!(" {name}=\"{value}\"")),
        }
    }
}

/// Finds the start tags that selectors match, by their places.
fn tags<'a>(
    html: &str,
    selectors: impl Iterator<Item = &'a Selector>,
    attribute: impl Fn(usize) -> &'a str,
    values: impl Fn(usize) -> usize,
) -> Result<BTreeMap<usize, Tag>, String> {
    let found = RefCell::new((BTreeMap::new(), 0));
    let mut settings = Settings::new().with_strict(false);
    for (index, selector) in selectors.enumerate() {
        let (found, name, count) = (&found, attribute(index), values(index));
        let handler = ElementContentHandlers::default().element(move |element: &mut Element| {
            let (tags, total) = &mut *found.borrow_mut();
            *total += count;
            if *total > MAX_VALUES {
                return Err(
                    format!("more than {MAX_VALUES} values by selectors of the head").into(),
                );
            }
            let start = element.source_location().bytes().start;
            let written = element
                .attributes()
                .iter()
                .find(|attribute| attribute.name() == name)
                .and_then(|attribute| quoted_value(html, attribute));
            let tag: &mut Tag = tags.entry(start).or_insert_with(|| Tag {
                name_end: NameEnd(start + 1 + element.tag_name().len()),
                matches: Vec::new(),
            });
            tag.matches.push((index, written));
            Ok(())
        });
        settings = settings.append_element_content_handler((Cow::Borrowed(selector), handler));
    }
    visit(html, settings).map_err(|error| error.to_string())?;
    let (mut tags, _) = found.into_inner();
    for tag in tags.values_mut() {
        tag.matches.sort_by_key(|(index, _)| *index);
    }
    Ok(tags)
}

/// The text of a value as it is written.
fn value(written: &str) -> Cow<'_, str> {
    html_escape::decode_html_entities(written.trim_matches(['"', '\'']))
}

/// Where a declaration stands: what the element says itself is stronger than any selector.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Origin {
    Rule(Specificity),
    Element,
}

/// The declarations for one element.
#[derive(Default)]
struct Cascade<'a> {
    declarations: Vec<(bool, Origin, &'a Declaration)>,
}

impl<'a> Cascade<'a> {
    fn add(&mut self, declarations: &'a [Declaration], origin: Origin) {
        let weighed = declarations
            .iter()
            .map(|found| (found.is_important, origin, found));
        self.declarations.extend(weighed);
    }

    /// The strongest of each property, weak ones first: a short form must not undo a longer name that is stronger.
    fn into_style(mut self) -> String {
        self.declarations
            .sort_by_key(|(is_important, origin, _)| (*is_important, *origin));
        let last: HashMap<&str, usize> = self
            .declarations
            .iter()
            .enumerate()
            .map(|(at, (_, _, declaration))| (declaration.name.as_str(), at))
            .collect();
        let mut style = String::new();
        for (at, (_, origin, declaration)) in self.declarations.iter().enumerate() {
            if last[declaration.name.as_str()] != at {
                continue;
            }
            style.push_str(&declaration.name);
            style.push(':');
            style.push_str(&declaration.value);
            // In a rule it has done its work; in the element it may stand against a style sheet of the head.
            if declaration.is_important && *origin == Origin::Element {
                style.push_str(" !important");
            }
            style.push(';');
        }
        style
    }
}
