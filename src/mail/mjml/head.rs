//! What the head says about the finished HTML, and mrml does not do: inlined style sheets, and attributes by selectors.

use std::ops::Range;

use htmlparser::{ElementEnd, Token, Tokenizer};
use lol_html::Selector;

use super::css::{self, Rule, Sheet};
use crate::mail::edits::Edit;

/// Most values that `mj-html-attributes` sets: each selector is compared with each element.
const MAX_ATTRIBUTES: usize = 200;

/// Most selectors of all inlined style sheets, for the same reason.
const MAX_RULES: usize = 1_000;

/// An attribute for all elements that a selector matches.
#[derive(Debug)]
pub(super) struct HtmlAttribute {
    pub(super) selector: Selector,
    pub(super) name: String,
    pub(super) value: String,
}

/// What is done when mrml has made the HTML.
#[derive(Debug, Default)]
pub(super) struct Head {
    pub(super) attributes: Vec<HtmlAttribute>,
    pub(super) rules: Vec<Rule>,
    /// What takes it out of the document.
    pub(super) edits: Vec<Edit>,
}

/// Reads `mj-html-attributes` and `mj-style inline="inline"`.
///
/// # Errors
/// Where something is wrong, and what: more selectors than one mail may have, a selector that is none.
pub(super) fn read(document: &str) -> Result<Head, (usize, String)> {
    let mut head = Head::default();
    let (mut name, mut start, mut content) = (String::new(), 0, 0);
    let mut is_inline = false;
    let mut attributes_start = 0;
    let mut path = None;
    let mut attribute = None;
    for token in Tokenizer::from(document).map_while(Result::ok) {
        match token {
            Token::ElementStart { local, span, .. } => {
                name = local.as_str().to_ascii_lowercase();
                start = span.start();
                match name.as_str() {
                    "mj-style" => is_inline = false,
                    "mj-html-attributes" => attributes_start = start,
                    "mj-selector" => path = None,
                    "mj-html-attribute" => attribute = None,
                    _ => {}
                }
            }
            Token::Attribute {
                local,
                value: Some(value),
                ..
            } => match (name.as_str(), local.as_str()) {
                ("mj-style", "inline") => is_inline = value.as_str() == "inline",
                ("mj-selector", "path") => path = Some((value.start(), decoded(value.as_str()))),
                ("mj-html-attribute", "name") => {
                    attribute = Some((value.start(), decoded(value.as_str())));
                }
                _ => {}
            },
            Token::ElementEnd {
                end: ElementEnd::Open,
                span,
            } => content = span.end(),
            Token::ElementEnd {
                end: ElementEnd::Close(_, local),
                span,
            } => {
                let whole = start..span.end();
                let content = document.get(content..span.start()).unwrap_or_default();
                match local.as_str().to_ascii_lowercase().as_str() {
                    "mj-style" if is_inline => head.add_style(content, whole)?,
                    "mj-html-attribute" => {
                        if let (Some(path), Some(attribute)) = (&path, &attribute) {
                            head.add_attribute(path, attribute, content)?;
                        }
                    }
                    "mj-html-attributes" => {
                        let whole = attributes_start..span.end();
                        head.edits.push(Edit::replace(whole, String::new()));
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }
    Ok(head)
}

impl Head {
    fn add_style(&mut self, css: &str, whole: Range<usize>) -> Result<(), (usize, String)> {
        let sheet = Sheet::read(css);
        self.rules.extend(sheet.rules);
        if self.rules.len() > MAX_RULES {
            let message = format!("more than {MAX_RULES} selectors in inlined style sheets");
            return Err((whole.start, message));
        }
        // What no attribute can say stays in a style sheet of its own.
        let text = match sheet.rest.is_empty() {
            true => String::new(),
            false => format!("<mj-style>{}</mj-style>", sheet.rest),
        };
        self.edits.push(Edit::replace(whole, text));
        Ok(())
    }

    fn add_attribute(
        &mut self,
        (path_at, path): &(usize, String),
        (name_at, name): &(usize, String),
        content: &str,
    ) -> Result<(), (usize, String)> {
        let selector = css::selector(path).ok_or_else(|| {
            let message = format!("{path:?} is no selector that mj-selector can have");
            (*path_at, message)
        })?;
        let is_name = |c: char| !c.is_whitespace() && !c.is_control() && !"\"'<>/=".contains(c);
        if name.is_empty() || !name.chars().all(is_name) {
            return Err((*name_at, format!("{name:?} is no name of an attribute")));
        }
        if self.attributes.len() >= MAX_ATTRIBUTES {
            let message = format!("more than {MAX_ATTRIBUTES} elements mj-html-attribute");
            return Err((*name_at, message));
        }
        self.attributes.push(HtmlAttribute {
            selector,
            name: name.clone(),
            value: decoded(content.trim()),
        });
        Ok(())
    }
}

fn decoded(text: &str) -> String {
    html_escape::decode_html_entities(text).into_owned()
}
