//! `mj-attributes` for elements that inherit from the one around them: in MJML the defaults win, in mrml what is inherited.

use std::collections::HashMap;

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

/// Writes the defaults into the elements that inherit, unless they say something else themselves.
pub(super) fn written_out(document: &str) -> Vec<Edit> {
    let defaults = read(document);
    let mut edits = Vec::new();
    if defaults.is_empty() {
        return edits;
    }
    each_element(document, |element, own, end, is_default| {
        if is_default || !INHERITING.contains(&element) {
            return;
        }
        let allowed = elements()
            .find(|(name, _)| *name == element)
            .and_then(|(_, allowed)| *allowed)
            .unwrap_or_default();
        let classes = value(own, "mj-class").unwrap_or_default();
        // What is nearer to the element wins.
        let classes = classes.split_whitespace().rev().map(class);
        let layers = classes.chain([element.to_owned(), "mj-all".to_owned()]);
        let mut written: Attributes = own.clone();
        for (name, value) in layers.filter_map(|layer| defaults.get(&layer)).flatten() {
            let is_meant = allowed.contains(&name.as_str()) && !NAMES.contains(&name.as_str());
            if is_meant && !written.iter().any(|(known, _)| known == name) {
                written.push((name.clone(), value.clone()));
                let text = format!(" {name}=\"{}\"", referenced(value));
                edits.push(Edit::replace(end..end, text));
            }
        }
    });
    edits
}

/// The defaults by element, and by class.
fn read(document: &str) -> HashMap<String, Attributes> {
    let mut defaults: HashMap<String, Attributes> = HashMap::new();
    each_element(document, |element, attributes, _, is_default| {
        if is_default {
            let whose = match value(attributes, "name") {
                Some(name) if element == "mj-class" => class(name),
                _ => element.to_owned(),
            };
            let known = defaults.entry(whose).or_default();
            for (name, value) in attributes {
                known.retain(|(other, _)| other != name);
                known.push((name.clone(), value.clone()));
            }
        }
    });
    defaults
}

fn class(name: &str) -> String {
    format!(".{name}")
}

fn value<'a>(attributes: &'a Attributes, name: &str) -> Option<&'a str> {
    let found = attributes.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.as_str())
}

/// Calls with each element, its attributes, where its start tag ends, and whether it stands in `mj-attributes`.
fn each_element(document: &str, mut call: impl FnMut(&str, &Attributes, usize, bool)) {
    let (mut element, mut attributes) = (String::new(), Attributes::new());
    let mut is_default = false;
    for token in Tokenizer::from(document).map_while(Result::ok) {
        match token {
            Token::ElementStart { local, .. } => {
                element = local.as_str().to_ascii_lowercase();
                attributes.clear();
            }
            Token::Attribute { local, value, .. } => {
                let value = value.map(|value| value.as_str().to_owned());
                attributes.push((
                    local.as_str().to_ascii_lowercase(),
                    value.unwrap_or_default(),
                ));
            }
            Token::ElementEnd {
                end: ElementEnd::Close(_, local),
                ..
            } => is_default &= !local.as_str().eq_ignore_ascii_case("mj-attributes"),
            Token::ElementEnd { end, span } => {
                if element == "mj-attributes" {
                    is_default = matches!(end, ElementEnd::Open);
                } else {
                    call(&element, &attributes, span.start(), is_default);
                }
            }
            _ => {}
        }
    }
}
