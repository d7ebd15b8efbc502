//! `>` in a text, which the tokenizer of mrml cannot bear behind letters of more than one byte.
//!
//! htmlparser 0.2.1 looks for `]]>` by cutting the text two bytes before its first `>`: in the middle of a letter that
//! is a panic. Such a `>` travels through mrml as one byte that no text needs, so that all places stay.

/// Stands for `>` that is text (DELETE).
const MARK: char = '\u{7f}';

/// Puts the mark in the place of each `>` of a text behind a letter that is no ASCII.
pub(super) fn protect(document: &str) -> String {
    // An own one would come back as `>`.
    let mut protected = document.replace(MARK, " ");
    if protected.is_ascii() {
        return protected;
    }
    for at in in_texts(&protected) {
        if !protected.is_char_boundary(at.saturating_sub(2)) {
            protected.replace_range(at..=at, MARK.encode_utf8(&mut [0; 1]));
        }
    }
    protected
}

/// Puts `>` back into what mrml has made.
pub(super) fn restore(html: String) -> String {
    match html.contains(MARK) {
        true => html.replace(MARK, ">"),
        false => html,
    }
}

/// The places of `>` outside of tags and comments, as htmlparser cuts them.
fn in_texts(document: &str) -> Vec<usize> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(rest) = document.get(at..).filter(|rest| !rest.is_empty()) {
        if !rest.starts_with('<') {
            let end = rest.find('<').unwrap_or(rest.len());
            found.extend(rest[..end].match_indices('>').map(|(place, _)| at + place));
            at += end;
            continue;
        }
        let closed = [("<!--", "-->"), ("<![CDATA[", "]]>"), ("<?", "?>")]
            .into_iter()
            .find(|(open, _)| rest.starts_with(open));
        let length = match closed {
            Some((_, close)) => rest.find(close).map(|found| found + close.len()),
            None => end_of_tag(rest),
        };
        at += length.unwrap_or(rest.len());
    }
    found
}

/// The length of a tag; its quoted values may hold `>`.
fn end_of_tag(tag: &str) -> Option<usize> {
    let mut quote = None;
    for (at, byte) in tag.bytes().enumerate() {
        match (quote, byte) {
            (None, b'>') => return Some(at + 1),
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), _) if open == byte => quote = None,
            _ => {}
        }
    }
    None
}
