//! What can be told of a document before a mail is made of it: names that MJML does not have, whose elements vanish and
//! whose attributes do nothing, and what nothing can be loaded for.

use htmlparser::{ElementEnd, Token, Tokenizer};

use super::behind_end::behind_end;
use super::elements::{COMMON, elements};
use super::mistake::Mistake;
use super::prepare::VOID;
use super::{NO_INCLUDE, angle_bracket, conditional, head, without_prolog};

/// Finds the first mistake; `tag` stands for each byte of an expression. What cannot be parsed is left to mrml.
pub(crate) fn first_mistake(document: &str, tag: char) -> Option<Mistake> {
    // A tokenizer of XML ends at control characters.
    let protected = angle_bracket::protect(&document.replace(tag, " "));
    if let Some(offset) = conditional::broken(&protected) {
        return Some(Mistake::new(offset, conditional::BROKEN, None));
    }
    unknown_name(&protected, 0)
        .or_else(|| {
            let (offset, message) = head::read(&protected).err()?;
            Some(Mistake::new(offset, &message, None))
        })
        .or_else(|| behind_end(document, tag))
}

/// Finds the first name that does not exist in a piece of a document. Where it will stand is not known, so that its elements
/// may have attributes of others, as in `mj-attributes`.
pub(crate) fn first_mistake_in_piece(piece: &str, tag: char) -> Option<Mistake> {
    // Text begins no document.
    const BEFORE: &str = "<x>";
    let document = angle_bracket::protect(&format!("{BEFORE}{}", piece.replace(tag, " ")));
    let mut mistake = unknown_name(&document, 1)?;
    mistake.offset -= BEFORE.len();
    Some(mistake)
}

/// `defaults`: how many elements around it are `mj-attributes`.
fn unknown_name(document: &str, mut defaults: usize) -> Option<Mistake> {
    let mut element = String::new();
    let mut allowed = None;
    // In mj-attributes every element may have the attributes of those that inherit them.
    for token in Tokenizer::from(document).map_while(Result::ok) {
        match token {
            Token::ElementStart { local, .. } => {
                element = local.as_str().to_ascii_lowercase();
                defaults += usize::from(element == "mj-attributes");
                if element == "mj-include" {
                    return Some(Mistake::new(local.start(), NO_INCLUDE, None));
                }
                allowed = elements()
                    .find(|(name, _)| *name == element)
                    .map(|(_, attributes)| *attributes);
                if allowed.is_none() && element.starts_with("mj-") {
                    let hint = nearest(&element, elements().map(|(name, _)| *name))
                        .map(|name| format!("Did you mean <{name}>?"));
                    let message = format!("element <{element}> does not exist");
                    return Some(Mistake::new(local.start(), &message, hint));
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
                    let hint = nearest(&name, attributes.iter().copied().chain(COMMON))
                        .map(|name| format!("Did you mean {name}?"));
                    let message = format!("<{element}> has no attribute {name:?}");
                    return Some(Mistake::new(local.start(), &message, hint));
                }
            }
            _ => {}
        }
    }
    None
}

/// Calls with the element, its depth, the name and the place of each attribute.
pub(super) fn each_attribute(
    document: &str,
    tag: char,
    mut call: impl FnMut(&str, usize, &str, usize),
) {
    let blank = document.replace(tag, " ");
    let start = blank.len() - without_prolog(&blank).len();
    let document = angle_bracket::protect(&blank);
    if conditional::broken(&document).is_some() {
        return;
    }
    let (mut element, mut depth) = (String::new(), 0usize);
    for token in Tokenizer::from(document.get(start..).unwrap_or_default()).map_while(Result::ok) {
        match token {
            Token::ElementStart { local, .. } => {
                element = local.as_str().to_ascii_lowercase();
            }
            Token::Attribute { local, .. } => {
                let name = local.as_str().to_ascii_lowercase();
                call(&element, depth, &name, start + local.start());
            }
            Token::ElementEnd { end, .. } => match end {
                ElementEnd::Open => depth += usize::from(!VOID.contains(&element.as_str())),
                ElementEnd::Close(..) => depth = depth.saturating_sub(1),
                ElementEnd::Empty => {}
            },
            _ => {}
        }
    }
}

/// Whether any element has such an attribute.
fn is_attribute(name: &str) -> bool {
    elements()
        .any(|(_, attributes)| attributes.is_some_and(|attributes| attributes.contains(&name)))
}

fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    names
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .filter(|(distance, _)| *distance <= name.chars().count().div_ceil(3))
        .min()
        .map(|(_, known)| known)
}
