//! Headers that an author adds to a mail: unstructured ones (RFC 5322, section 3.6.8) that say nothing about its way.

use lettre::message::header::{HeaderName, HeaderValue};

use super::encoded_word;
use super::error::MessageError;

/// Most headers that an author may add to a mail.
pub const MAX_OWN_HEADERS: usize = 32;

/// Longest name, in bytes, as lettre takes it.
const MAX_NAME: usize = 76;

/// Headers that a mail has of itself, or that say whom it is for and which way it has come.
const TAKEN: [&str; 26] = [
    "from",
    "sender",
    "reply-to",
    "to",
    "cc",
    "bcc",
    "subject",
    "date",
    "message-id",
    "in-reply-to",
    "references",
    "return-path",
    "received",
    "received-spf",
    "mime-version",
    "auto-submitted",
    "precedence",
    "feedback-id",
    "authentication-results",
    "delivered-to",
    "x-original-to",
    "x-original-recipient",
    "errors-to",
    "apparently-to",
    "disposition-notification-to",
    "return-receipt-to",
];

/// The same, of all names that begin so.
const TAKEN_BEGINNINGS: [&str; 6] = [
    "content-",
    "list-",
    "resent-",
    "arc-",
    "dkim-",
    "domainkey-",
];

/// Checks the name of a header.
///
/// # Errors
/// Why no author gives a mail such a header.
pub fn check_header_name(name: &str) -> Result<(), &'static str> {
    let lower = name.to_ascii_lowercase();
    let is_taken = TAKEN.contains(&lower.as_str())
        || TAKEN_BEGINNINGS
            .iter()
            .any(|beginning| lower.starts_with(beginning));
    match () {
        () if name.is_empty() => Err("is no name of a header"),
        () if name.len() > MAX_NAME => Err("is longer than 76 bytes"),
        () if !name
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b':') =>
        {
            Err(
                "is no name of a header: that has ASCII letters, digits and signs, no space and no colon",
            )
        }
        () if is_taken => Err("is a header that a mail gets of itself, or on its way"),
        () => Ok(()),
    }
}

/// The header with its value, folded and in encoded words where it has to be.
///
/// # Errors
/// A name that [`check_header_name`] refuses.
pub(super) fn header(name: &str, value: &str) -> Result<HeaderValue, MessageError> {
    check_header_name(name).map_err(|reason| MessageError::Field {
        field: "header",
        value: name.to_owned(),
        reason,
    })?;
    let header = HeaderName::new_from_ascii(name.to_owned())
        .map_err(|error| MessageError::Build(error.to_string()))?;
    Ok(match encoded_word::is_needed(value) {
        true => {
            let encoded = encoded_word::encode(value);
            HeaderValue::dangerous_new_pre_encoded(header, value.to_owned(), encoded)
        }
        false => HeaderValue::new(header, value.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_say_nothing_about_the_way_are_free() {
        for name in [
            "X-Campaign",
            "Importance",
            "Organization",
            "X-SES-CONFIGURATION-SET",
            "x_1!#/",
            "Listing",
            "X-List-Id",
        ] {
            assert_eq!(check_header_name(name), Ok(()), "{name}");
        }
        for name in [
            "",
            "From",
            "BCC",
            "cC",
            "Message-Id",
            "Content-Type",
            "List-Anything",
            "Resent-To",
            "DKIM-Signature",
            "ARC-Seal",
            "X-Original-To",
            "X Y",
            "X:",
            "X-Ä",
            "X\r\nBcc",
            "X\t",
            &"X".repeat(77),
        ] {
            assert!(check_header_name(name).is_err(), "{name}");
            assert!(header(name, "a").is_err(), "{name}");
        }
    }
}
