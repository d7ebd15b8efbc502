//! `<mj-raw position="file-start">` directly inside of `<mjml>`: what stands before the document of HTML.

use htmlparser::{ElementEnd, Token, Tokenizer};

use super::prepare::VOID;
use crate::mail::edits::Edit;

const FILE_START: &str = "file-start";

/// The edits that take it out, and what is written before the document.
pub(super) fn take(document: &str) -> (Vec<Edit>, String) {
    let (mut edits, mut before) = (Vec::new(), String::new());
    // Few have it, and this is asked of each mail.
    if !document.contains(FILE_START) {
        return (edits, before);
    }
    let mut depth = 0usize;
    let (mut name, mut start, mut position) = (String::new(), 0, String::new());
    // Where the element and its content begin.
    let mut taken: Option<(usize, usize)> = None;
    for token in Tokenizer::from(document).map_while(Result::ok) {
        match token {
            Token::ElementStart { local, span, .. } => {
                name = local.as_str().to_ascii_lowercase();
                start = span.start();
                position.clear();
            }
            Token::Attribute {
                local,
                value: Some(value),
                ..
            } if local.as_str() == "position" => value.as_str().clone_into(&mut position),
            Token::ElementEnd {
                end: ElementEnd::Close(..),
                span,
            } => {
                depth = depth.saturating_sub(1);
                if depth == 1
                    && let Some((start, content)) = taken.take()
                {
                    before.push_str(document.get(content..span.start()).unwrap_or_default());
                    before.push('\n');
                    edits.push(Edit::replace(start..span.end(), String::new()));
                }
            }
            Token::ElementEnd {
                end: ElementEnd::Open,
                span,
            } if !VOID.contains(&name.as_str()) => {
                if depth == 1 && name == "mj-raw" && position == FILE_START {
                    taken = Some((start, span.end()));
                }
                depth += 1;
            }
            _ => {}
        }
    }
    (edits, before)
}
