//! Mailboxes for what programs send back, and the addresses that are made of them: return paths, and where leaving by mail goes.

use super::address::parse_address;
use super::error::MessageError;
use crate::tracking::address_token;

/// What a local part leaves for ours beside `+` and a token (RFC 5321, section 4.5.3.1.1: 64 octets).
const MAX_LOCAL_BYTES: usize = 64 - 1 - address_token::LONGEST_CHARS;

/// A mailbox whose address may be extended: `bounces@shop.example` takes what is sent to `bounces+x@shop.example`
/// (RFC 5233).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenMailbox {
    local: String,
    domain: String,
}

impl TokenMailbox {
    /// Parses `local@domain`; a domain outside ASCII becomes punycode.
    ///
    /// # Errors
    /// Why it is no address, or that its local part leaves no room for a token.
    pub fn parse(field: &'static str, text: &str) -> Result<Self, MessageError> {
        let address = parse_address(field, text)?;
        if address.user().len() > MAX_LOCAL_BYTES || !address.user().is_ascii() {
            return Err(MessageError::Field {
                field,
                value: text.to_owned(),
                reason: "needs an ASCII part before the @ of at most 16 characters, as a token is added to it",
            });
        }
        Ok(TokenMailbox {
            local: address.user().to_owned(),
            domain: address.domain().to_owned(),
        })
    }

    /// Gives `local+detail@domain`.
    pub fn with(&self, detail: &str) -> String {
        format!("{}+{detail}@{}", self.local, self.domain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_local_part_leaves_room_for_the_longest_token() {
        assert_eq!(MAX_LOCAL_BYTES, 16);
        let longest = format!("{}@bücher.example", "b".repeat(MAX_LOCAL_BYTES));
        let address = TokenMailbox::parse("bounce address", &longest).unwrap();
        let path = address.with(&"v".repeat(address_token::LONGEST_CHARS));
        assert!(path.ends_with("@xn--bcher-kva.example"), "{path}");
        assert!(parse_address("return path", &path).is_ok());
    }

    #[test]
    fn what_is_no_such_mailbox_is_refused() {
        for text in [
            "",
            "bounces",
            "Shop <bounces@shop.example>",
            "bounces@shop.example\r\nBcc: x@y.example",
            "seventeen-letters@shop.example",
            "é@shop.example",
            "bounces@",
        ] {
            assert!(
                TokenMailbox::parse("bounce address", text).is_err(),
                "{text}"
            );
        }
    }
}
