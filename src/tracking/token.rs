//! Signed tokens: what a hit says about itself, in as few characters as its signature allows.
//!
//! A token is base64url without padding (RFC 4648, section 5) of
//! `key id (1 byte) | varint record | varint activity | [varint link] | MAC (16 bytes)`. The MAC is HMAC-SHA256 over
//! `purpose byte | key id | varints`, cut to 128 bits: RFC 2104, section 5 asks for at least half of the hash. The purpose is not
//! in the token but in the path of its URL, so that a token presented for another purpose does not verify.
//!
//! Every token has exactly one spelling: padding, loose trailing bits and overlong varints are refused.
//!
//! The token of a return path is spelt otherwise, see [`super::address_token`].

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

const MAC_BYTES: usize = 16;
/// Key id, one byte for each of record and activity, MAC.
const SHORTEST_BYTES: usize = 1 + 1 + 1 + MAC_BYTES;
/// Key id, record (64 bits), activity (32 bits), link (64 bits), MAC.
const LONGEST_BYTES: usize = 1 + 10 + 5 + 10 + MAC_BYTES;
/// A longer text is no token and is not decoded.
const LONGEST_CHARS: usize = (LONGEST_BYTES * 4).div_ceil(3);
/// Characters that a mail program may have put before a token. More are no decoration.
const LONGEST_DECORATION: usize = 4;

/// What a token may be used for; part of what is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Purpose {
    Open = b'o',
    Click = b'c',
    Unsubscribe = b'u',
    /// Confirms the subscription that the mail asks about.
    Confirm = b's',
    /// A bounce: the mail came back to its return path.
    Bounce = b'b',
    /// The report of a scenario, until a time: `activity` is the scenario's id, `record` the time, in seconds since 1970.
    Report = b'r',
    /// Shows the mail in a browser: `link` is the id of the message.
    Browser = b'v',
}

/// The record in the tokens of a test mail: none has this id, so hits of tests count nowhere.
pub const TEST_RECORD: i64 = 0;

/// The identity of a hit: record × activity, since an activity mails a record at most once. `link` is the row of the
/// target URL: of a click its target, of an unsubscribe the optional page to go to afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token {
    pub record: i64,
    pub activity: i32,
    pub link: Option<i64>,
}

/// A key: its id and its secret.
pub type Key = (u8, [u8; 32]);

/// The secrets that sign tokens. The first signs, all verify: a new key is put in front and the old ones stay as long
/// as their links shall work.
#[derive(Clone)]
pub struct Keyring {
    /// HMAC states already keyed: a verification then costs two SHA-256 blocks instead of four.
    keys: Vec<(u8, Hmac<Sha256>)>,
    source: Vec<Key>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<u8> = self.keys.iter().map(|(id, _)| *id).collect();
        formatter
            .debug_struct("Keyring")
            .field("ids", &ids)
            .finish_non_exhaustive()
    }
}

impl Keyring {
    /// Builds a keyring. `None` when there is no key, or an id occurs twice.
    pub fn new(keys: Vec<Key>) -> Option<Self> {
        let mut keyed = Vec::with_capacity(keys.len());
        for (id, secret) in &keys {
            if keyed.iter().any(|(other, _)| other == id) {
                return None;
            }
            keyed.push((*id, Hmac::<Sha256>::new_from_slice(secret).ok()?));
        }
        if keyed.is_empty() {
            None
        } else {
            Some(Self {
                keys: keyed,
                source: keys,
            })
        }
    }

    /// What it was built from.
    pub fn keys(&self) -> &[Key] {
        &self.source
    }

    /// Signs with the first key. The result consists of `A–Z a–z 0–9 - _` only, 26 to 56 characters.
    pub fn sign(&self, purpose: Purpose, token: &Token) -> String {
        URL_SAFE_NO_PAD.encode(self.sign_bytes(purpose, token))
    }

    /// Signs as [`Self::sign`] does, for another spelling.
    pub(super) fn sign_bytes(&self, purpose: Purpose, token: &Token) -> Vec<u8> {
        let (id, key) = &self.keys[0];
        let mut bytes = Vec::with_capacity(LONGEST_BYTES);
        bytes.push(*id);
        // Two's complement, so that every value round-trips; identities are positive and stay short.
        push_varint(&mut bytes, token.record as u64);
        push_varint(&mut bytes, u64::from(token.activity as u32));
        if let Some(link) = token.link {
            push_varint(&mut bytes, link as u64);
        }
        let mac = keyed(key, purpose, &bytes).finalize().into_bytes();
        bytes.extend_from_slice(&mac[..MAC_BYTES]);
        bytes
    }

    /// Returns what a token says if one of the keys signed it for this purpose, else `None`, whatever the reason.
    ///
    /// The MAC is compared in constant time and before anything else is read. An unknown key id costs the same as a
    /// wrong MAC.
    pub fn verify(&self, purpose: Purpose, text: &str) -> Option<Token> {
        self.verify_bytes(purpose, &decode(text)?)
    }

    /// Finds a token that has `_` or `-` before it, or after it with whatever follows, as in `_TOKEN_` where a mail program marks links in a
    /// text so. Returns what it says and its one spelling; `None` as [`Self::verify`] does.
    pub fn find<'t>(&self, purpose: Purpose, text: &'t str) -> Option<(Token, &'t str)> {
        candidates(text).find_map(|part| Some((self.verify(purpose, part)?, part)))
    }

    /// Verifies as [`Self::verify`] does; `None` for any number of bytes that no token has.
    pub(super) fn verify_bytes(&self, purpose: Purpose, bytes: &[u8]) -> Option<Token> {
        if !(SHORTEST_BYTES..=LONGEST_BYTES).contains(&bytes.len()) {
            return None;
        }
        let (signed, mac) = bytes.split_at(bytes.len() - MAC_BYTES);
        let key = self.keys.iter().find(|(id, _)| *id == signed[0]);
        let authentic = keyed(&key.unwrap_or(&self.keys[0]).1, purpose, signed)
            .verify_truncated_left(mac)
            .is_ok();
        if authentic && key.is_some() {
            parse(&signed[1..])
        } else {
            None
        }
    }

    /// Whether the key that a token names is in this keyring, or one of those that may be in a text; also true of what is no token at
    /// all. False means that the keyring may be out of date.
    pub fn knows_key_of(&self, text: &str) -> bool {
        let mut ids = candidates(text)
            .filter_map(decode)
            .map(|bytes| bytes[0])
            .peekable();
        ids.peek().is_none() || ids.any(|id| self.keys.iter().any(|(known, _)| *known == id))
    }
}

/// Starts the MAC of one token.
fn keyed(key: &Hmac<Sha256>, purpose: Purpose, signed: &[u8]) -> Hmac<Sha256> {
    let mut mac = key.clone();
    mac.update(&[purpose as u8]);
    mac.update(signed);
    mac
}

/// Decodes the text form of a token; the result has between `SHORTEST_BYTES` and `LONGEST_BYTES` bytes.
fn decode(text: &str) -> Option<Vec<u8>> {
    if text.len() > LONGEST_CHARS {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    (SHORTEST_BYTES..=LONGEST_BYTES)
        .contains(&bytes.len())
        .then_some(bytes)
}

/// The parts of a text that may be a token: the whole, and what is left without something before and after it. Where a token ends, its
/// beginning says, but for the link, which it has or not: two places for each beginning, so that a text costs few MACs however long it is.
fn candidates(text: &str) -> impl Iterator<Item = &str> {
    let decoration = text.bytes().take_while(|c| matches!(c, b'_' | b'-'));
    (0..=decoration.take(LONGEST_DECORATION).count()).flat_map(move |start| {
        let rest = &text[start..];
        let ends = ends(rest).into_iter().flatten();
        std::iter::once(rest).chain(ends.filter_map(move |end| {
            let is_decorated = matches!(rest.as_bytes().get(end), Some(b'_' | b'-'));
            rest.get(..end).filter(|_| is_decorated)
        }))
    })
}

/// After how many characters a token that begins here would end, without and with a link.
fn ends(text: &str) -> [Option<usize>; 2] {
    let length = text.len().min(LONGEST_CHARS) / 4 * 4;
    let whole = text.get(..length);
    let Some(bytes) = whole.and_then(|text| URL_SAFE_NO_PAD.decode(text).ok()) else {
        return [None, None];
    };
    let mut rest = bytes.get(1..).unwrap_or_default();
    let mut end = || {
        take_varint(&mut rest)?;
        Some(((bytes.len() - rest.len() + MAC_BYTES) * 4).div_ceil(3))
    };
    let [_, activity, link] = [end(), end(), end()];
    [activity, link]
}

/// Reads the varints of a signed token; all bytes must be used up.
fn parse(mut rest: &[u8]) -> Option<Token> {
    let record = take_varint(&mut rest)? as i64;
    let activity = u32::try_from(take_varint(&mut rest)?).ok()? as i32;
    let link = if rest.is_empty() {
        None
    } else {
        Some(take_varint(&mut rest)? as i64)
    };
    rest.is_empty().then_some(Token {
        record,
        activity,
        link,
    })
}

/// Appends an unsigned LEB128 number: 7 bits a byte, lowest first, the high bit says that more follow.
fn push_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// Takes one LEB128 number from the front. `None` when it is cut off, longer than it need be, or above 64 bits.
fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..u64::BITS).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits {
            return None;
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            let overlong = *byte == 0 && shift > 0;
            return (!overlong).then_some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests;
