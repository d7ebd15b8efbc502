//! Names that MJML does not have: elements vanish, attributes do nothing, and neither is told by mrml.

use htmlparser::{ElementEnd, Token, Tokenizer};

use super::elements::{COMMON, ELEMENTS};

/// A name that does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnknownName {
    /// Byte offset in the document.
    pub(crate) offset: usize,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

/// Finds the first element or attribute that MJML does not have. What cannot be parsed is left to mrml.
pub(crate) fn unknown_name(document: &str) -> Option<UnknownName> {
    let mut element = String::new();
    let mut allowed = None;
    // In mj-attributes every element may have the attributes of those that inherit them.
    let mut defaults = 0usize;
    for token in Tokenizer::from(document).map_while(Result::ok) {
        match token {
            Token::ElementStart { local, .. } => {
                element = local.as_str().to_ascii_lowercase();
                defaults += usize::from(element == "mj-attributes");
                allowed = ELEMENTS
                    .iter()
                    .find(|(name, _)| *name == element)
                    .map(|(_, attributes)| *attributes);
                if allowed.is_none() && element.starts_with("mj-") {
                    let names = ELEMENTS.iter().map(|(name, _)| *name);
                    return Some(UnknownName {
                        offset: local.start(),
                        message: format!("mjml: element <{element}> does not exist"),
                        hint: nearest(&element, names)
                            .map(|name| format!("Did you mean <{name}>?")),
                    });
                }
            }
            Token::ElementEnd {
                end: ElementEnd::Close(_, local),
                ..
            } if local.as_str().eq_ignore_ascii_case("mj-attributes") => {
                defaults = defaults.saturating_sub(1);
            }
            Token::Attribute { local, prefix, .. } => {
                let name = local.as_str().to_ascii_lowercase();
                let Some(Some(attributes)) = allowed else {
                    continue;
                };
                let is_known = attributes.contains(&name.as_str())
                    || COMMON.contains(&name.as_str())
                    || !prefix.as_str().is_empty()
                    || name.starts_with("data-")
                    || name.starts_with("xmlns");
                if !is_known && (defaults == 0 || !is_attribute(&name)) {
                    let hint = nearest(&name, attributes.iter().copied().chain(COMMON));
                    return Some(UnknownName {
                        offset: local.start(),
                        message: format!("mjml: <{element}> has no attribute {name:?}"),
                        hint: hint.map(|name| format!("Did you mean {name}?")),
                    });
                }
            }
            _ => {}
        }
    }
    None
}

/// Whether any element has such an attribute.
fn is_attribute(name: &str) -> bool {
    ELEMENTS
        .iter()
        .any(|(_, attributes)| attributes.is_some_and(|attributes| attributes.contains(&name)))
}

fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    names
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .filter(|(distance, _)| *distance <= name.chars().count().div_ceil(3))
        .min()
        .map(|(_, known)| known)
}
