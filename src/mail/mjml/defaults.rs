//! `mj-attributes` for elements that inherit from the one around them: in MJML the defaults win, in mrml what is inherited.

use std::collections::HashMap;
use std::ops::Range;

use htmlparser::{ElementEnd, Token, Tokenizer};

use super::elements::elements;
use super::prepare::referenced;
use crate::mail::edits::Edit;

/// Elements that get attributes of the one around them.
const INHERITING: [&str; 6] = [
    "mj-social-element",
    "mj-navbar-link",
    "mj-accordion-element",
    "mj-accordion-title",
    "mj-accordion-text",
    "mj-carousel-image",
];

/// What says which defaults they are, and what is never one.
const NAMES: [&str; 3] = ["name", "mj-class", "alt"];

/// Names and values.
type Attributes = Vec<(String, String)>;

/// A start tag.
pub(super) struct Start<'a> {
    pub(super) name: &'a str,
    pub(super) attributes: &'a Attributes,
    /// Where each of its attributes stands.
    pub(super) places: &'a [Range<usize>],
    /// Where the tag ends, without its `>`.
    pub(super) end: usize,
    /// It stands in `mj-attributes`.
    pub(super) is_default: bool,
}

/// The defaults of a document, by element and by class.
pub(super) struct Defaults(HashMap<String, Attributes>);

/// Writes the defaults into the elements that inherit, unless they say something else themselves.
pub(super) fn written_out(document: &str) -> Vec<Edit> {
    let defaults = Defaults::read(document);
    let mut edits = Vec::new();
    if defaults.0.is_empty() {
        return edits;
    }
    each_element(document, |element| {
        if element.is_default || !INHERITING.contains(&element.name) {
            return;
        }
        let allowed = elements()
            .find(|(name, _)| *name == element.name)
            .and_then(|(_, allowed)| *allowed)
            .unwrap_or_default();
        let mut written: Attributes = element.attributes.clone();
        for (name, value) in defaults.layers(&element).flatten() {
            let is_meant = allowed.contains(&name.as_str()) && !NAMES.contains(&name.as_str());
            if is_meant && !written.iter().any(|(known, _)| known == name) {
                written.push((name.clone(), value.clone()));
                let text = format!(" {name}=\"{}\"", referenced(value));
                edits.push(Edit::replace(element.end..element.end, text));
            }
        }
    });
    edits
}

impl Defaults {
    pub(super) fn read(document: &str) -> Defaults {
        let mut defaults: HashMap<String, Attributes> = HashMap::new();
        each_element(document, |element| {
            if element.is_default {
                let whose = match value(element.attributes, "name") {
                    Some(name) if element.name == "mj-class" => class(name),
                    _ => element.name.to_owned(),
                };
                let known = defaults.entry(whose).or_default();
                let is_its_own = |name: &str| name == "name" && element.name == "mj-class";
                for (name, value) in element.attributes {
                    if is_its_own(name) {
                        continue;
                    }
                    known.retain(|(other, _)| other != name);
                    known.push((name.clone(), value.clone()));
                }
            }
        });
        Defaults(defaults)
    }

    /// What the element says of an attribute, or its defaults.
    pub(super) fn value<'a>(&'a self, element: &Start<'a>, name: &str) -> Option<&'a str> {
        let mut layers = self.layers(element);
        value(element.attributes, name).or_else(|| layers.find_map(|layer| value(layer, name)))
    }

    /// Its defaults; what is nearer to the element, and wins, comes first.
    fn layers(&self, element: &Start<'_>) -> impl Iterator<Item = &Attributes> {
        let classes = value(element.attributes, "mj-class").unwrap_or_default();
        let names: Vec<String> = classes
            .split_whitespace()
            .rev()
            .map(class)
            .chain([element.name.to_owned(), "mj-all".to_owned()])
            .collect();
        names.into_iter().filter_map(|layer| self.0.get(&layer))
    }
}

fn class(name: &str) -> String {
    format!(".{name}")
}

fn value<'a>(attributes: &'a Attributes, name: &str) -> Option<&'a str> {
    let found = attributes.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.as_str())
}

/// Calls with each element.
pub(super) fn each_element(document: &str, mut call: impl FnMut(Start<'_>)) {
    let (mut element, mut attributes, mut places) = (String::new(), Attributes::new(), Vec::new());
    let mut is_default = false;
    for token in Tokenizer::from(document).map_while(Result::ok) {
        match token {
            Token::ElementStart { local, .. } => {
                element = local.as_str().to_ascii_lowercase();
                attributes.clear();
                places.clear();
            }
            Token::Attribute {
                local, value, span, ..
            } => {
                let value = value.map(|value| value.as_str().to_owned());
                attributes.push((
                    local.as_str().to_ascii_lowercase(),
                    value.unwrap_or_default(),
                ));
                places.push(span.range());
            }
            Token::ElementEnd {
                end: ElementEnd::Close(_, local),
                ..
            } => is_default &= !local.as_str().eq_ignore_ascii_case("mj-attributes"),
            Token::ElementEnd { end, span } => {
                if element == "mj-attributes" {
                    is_default = matches!(end, ElementEnd::Open);
                } else {
                    call(Start {
                        name: &element,
                        attributes: &attributes,
                        places: &places,
                        end: span.start(),
                        is_default,
                    });
                }
            }
            _ => {}
        }
    }
}
