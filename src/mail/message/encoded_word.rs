//! Encoded words (RFC 2047) where lettre would write the text as it is.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Bytes of text in one encoded word: with its frame and the longest header name, a line has at most 78 bytes.
const CHUNK: usize = 39;

/// Longest word that may stay as it is; a header is folded between words only, and a line has at most 998 bytes.
const MAX_WORD: usize = 900;

/// Tells whether ASCII text must be encoded: readers would take `=?` for an encoded word of their own.
pub(super) fn is_needed(text: &str) -> bool {
    text.contains("=?") || text.split(' ').any(|word| word.len() > MAX_WORD)
}

/// Encodes all of it, folded; what readers put between encoded words does not show.
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() * 2);
    let mut rest = text;
    while !rest.is_empty() {
        let (chunk, tail) = rest.split_at(rest.floor_char_boundary(CHUNK));
        if !encoded.is_empty() {
            encoded.push_str("\r\n ");
        }
        encoded.push_str("=?utf-8?b?");
        STANDARD.encode_string(chunk, &mut encoded);
        encoded.push_str("?=");
        rest = tail;
    }
    encoded
}
