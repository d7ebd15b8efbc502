//! Markup that the tokenizer cannot read, told of while a template is written: in a branch, it would fail only those mails
//! that take it.

use htmlparser::{Token, Tokenizer};

use super::{Mistake, angle_bracket, conditional, without_prolog};

const LONE: &str = "\"<\" begins no element there";
const ADVICE: &str = "A < that is text is written &lt;";

/// Finds the first place that no mail can be made of; `tag` stands for each byte of an expression.
pub(crate) fn first_break(document: &str, tag: char) -> Option<Mistake> {
    let start = document.len() - without_prolog(&document.replace(tag, " ")).len();
    let mut found = first_break_in_piece(&document[start..], tag)?;
    found.offset += start;
    Some(found)
}

/// The same in a piece of a document.
pub(crate) fn first_break_in_piece(piece: &str, tag: char) -> Option<Mistake> {
    // Branches stand one behind the other, so that more elements may end than begin; behind the last the tokenizer reads none.
    let before = "<x>".repeat(piece.matches("</").count() + 1);
    let document = before.clone() + piece;
    // A tokenizer of XML ends at control characters.
    let blank = angle_bracket::protect(&document.replace(tag, " "));
    if conditional::broken(&blank).is_some() {
        return None;
    }
    let (mut end, mut open) = (0, None);
    for token in Tokenizer::from(blank.as_str()) {
        match token {
            Ok(token) => {
                end = end_of(&token).unwrap_or(end);
                open = match token {
                    Token::ElementStart { span, .. } => Some(span.start()),
                    Token::Attribute { .. } => open,
                    _ => None,
                };
            }
            Err(error) => {
                let at = open.unwrap_or(end);
                let markup = document.get(at..)?;
                let next = markup.strip_prefix('<')?.chars().next();
                let place = at.saturating_sub(before.len());
                if !next.is_some_and(|c| c.is_alphabetic() || "/!?_:".contains(c) || c == tag) {
                    return Some(Mistake::new(place, LONE, Some(ADVICE.to_owned())));
                }
                // What an expression gives may make a whole of it.
                let element = markup.split('>').next().unwrap_or_default();
                let message = error.to_string();
                return (!element.contains(tag)).then(|| Mistake::new(place, &message, None));
            }
        }
    }
    None
}

fn end_of(token: &Token<'_>) -> Option<usize> {
    Some(match token {
        Token::ElementStart { span, .. }
        | Token::ElementEnd { span, .. }
        | Token::Attribute { span, .. }
        | Token::Comment { span, .. } => span.end(),
        Token::Text { text } => text.end(),
        _ => return None,
    })
}
