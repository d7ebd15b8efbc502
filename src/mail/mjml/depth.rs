//! Elements that begin and end, as mrml counts them: any end tag ends the innermost element.

use htmlparser::{ElementEnd, Token, Tokenizer};

use super::prepare::VOID;
use super::{angle_bracket, conditional, without_prolog};

/// A place where an element begins or ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// Byte offset in the document.
    pub(crate) offset: usize,
    pub(crate) begins: bool,
    /// In small letters; empty: it ends without an end tag.
    pub(crate) name: String,
}

/// All of them in a document or a piece of one; `tag` stands for each byte of an expression. None: it cannot be read to its end.
pub(crate) fn changes(document: &str, tag: char) -> Option<Vec<Change>> {
    let blank = document.replace(tag, " ");
    let start = beginning(&blank);
    // Branches stand one behind the other, so that more elements may end than begin; behind the last the tokenizer reads none.
    let before = "<x>".repeat(blank.matches("</").count() + blank.matches("/>").count() + 1);
    let whole = angle_bracket::protect(&(before.clone() + &blank[start..]));
    if conditional::broken(&whole).is_some() {
        return None;
    }
    let mut changes = Vec::new();
    let mut is_void = false;
    for token in Tokenizer::from(whole.as_str()) {
        let (at, begins, name) = match token.ok()? {
            Token::ElementStart { local, span, .. } => {
                let name = local.as_str().to_ascii_lowercase();
                is_void = VOID.contains(&name.as_str());
                (span.start(), true, name)
            }
            Token::ElementEnd { end, span } => match end {
                ElementEnd::Open if !is_void => continue,
                ElementEnd::Close(_, local) => {
                    (span.start(), false, local.as_str().to_ascii_lowercase())
                }
                ElementEnd::Open | ElementEnd::Empty => (span.start(), false, String::new()),
            },
            _ => continue,
        };
        if let Some(offset) = at.checked_sub(before.len()) {
            changes.push(Change {
                offset: offset + start,
                begins,
                name,
            });
        }
    }
    Some(changes)
}

/// Where the document begins: what stands before it, markup of macros included, has no depth.
fn beginning(text: &str) -> usize {
    let document = text.to_ascii_lowercase().find("<mjml");
    document.unwrap_or(text.len() - without_prolog(text).len())
}
