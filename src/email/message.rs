//! The MIME message of a mail, built by lettre.

mod address;
mod quoted_printable;

use std::time::SystemTime;

use lettre::Message;
use lettre::address::Envelope;
use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Body, Mailbox, MultiPart, SinglePart};

pub use address::check_address;

/// Everything that a message is made of.
#[derive(Debug, Clone)]
pub struct Letter<'a> {
    /// Mailbox, e.g. `Shop <shop@example.org>`.
    pub from: &'a str,
    pub to_address: &'a str,
    pub to_name: Option<&'a str>,
    pub subject: &'a str,
    pub html: &'a str,
    pub text: &'a str,
    /// Without angle brackets; the same for every attempt to send this mail.
    pub message_id: &'a str,
    pub date: SystemTime,
    /// For `List-Unsubscribe`; an https URL that takes the POST of RFC 8058.
    pub unsubscribe_url: Option<&'a str>,
    /// For `Feedback-ID`, by which large providers group their complaint figures.
    pub feedback_id: Option<&'a str>,
}

/// A message ready for the transport.
#[derive(Debug, Clone)]
pub struct Mail {
    pub(crate) envelope: Envelope,
    pub(crate) bytes: Vec<u8>,
    pub(crate) message_id: String,
}

impl Mail {
    /// Gives the message: header lines and body, with CRLF line ends, ASCII only.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Gives the address of the envelope's only recipient.
    pub fn recipient(&self) -> &str {
        self.envelope.to().first().map_or("", AsRef::as_ref)
    }
}

/// A field that cannot go into a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LetterError {
    #[error("{field} holds the control character U+{:04X}", u32::from(*.character))]
    ControlCharacter {
        field: &'static str,
        character: char,
    },
    #[error("{field} {value:?} is no address: {reason}")]
    Address {
        field: &'static str,
        value: String,
        reason: String,
    },
    #[error("{field} {value:?} {reason}")]
    Field {
        field: &'static str,
        value: String,
        reason: &'static str,
    },
    #[error("message cannot be built: {0}")]
    Build(String),
}

/// Builds the message: multipart/alternative of text and HTML, and the headers of an automatic bulk mail.
///
/// # Errors
/// The first field that holds a control character, an address that is none, or a message id or URL that does not fit
/// its header.
pub fn build(letter: &Letter<'_>) -> Result<Mail, LetterError> {
    // lettre panics on a line end in a display name.
    let fields = [
        ("sender", letter.from),
        ("recipient address", letter.to_address),
        ("recipient name", letter.to_name.unwrap_or_default()),
        ("subject", letter.subject),
        ("message id", letter.message_id),
        (
            "unsubscribe URL",
            letter.unsubscribe_url.unwrap_or_default(),
        ),
        ("feedback id", letter.feedback_id.unwrap_or_default()),
    ];
    for (field, value) in fields {
        if let Some(character) = value.chars().find(|&c| is_forbidden_in_header(c)) {
            return Err(LetterError::ControlCharacter { field, character });
        }
    }
    let from = address::parse_mailbox("sender", letter.from)?;
    let to = address::parse_address("recipient address", letter.to_address)?;
    let to_name = letter
        .to_name
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(str::to_owned);
    check_message_id(letter.message_id)?;

    let envelope = Envelope::new(Some(from.email.clone()), vec![to.clone()])
        .map_err(|error| LetterError::Build(error.to_string()))?;
    let mut message = Message::builder()
        .from(from)
        .to(Mailbox::new(to_name, to))
        .subject(letter.subject)
        .date(letter.date)
        .message_id(Some(format!("<{}>", letter.message_id)))
        // RFC 3834, section 5: keeps vacation responders quiet.
        .raw_header(raw("Auto-Submitted", "auto-generated"))
        .raw_header(raw("Precedence", "bulk"));
    if let Some(url) = letter.unsubscribe_url {
        check_url(url)?;
        message = message
            .raw_header(raw("List-Unsubscribe", &format!("<{url}>"))) // RFC 2369, section 3.2
            .raw_header(raw("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")); // RFC 8058, section 3.1
    }
    if let Some(id) = letter.feedback_id {
        message = message.raw_header(raw("Feedback-ID", id));
    }
    let message = message
        .multipart(
            // RFC 2046, section 5.1.4: the richest alternative comes last.
            MultiPart::alternative()
                .singlepart(part(ContentType::TEXT_PLAIN, letter.text)?)
                .singlepart(part(ContentType::TEXT_HTML, letter.html)?),
        )
        .map_err(|error| LetterError::Build(error.to_string()))?;
    Ok(Mail {
        envelope,
        bytes: message.formatted(),
        message_id: letter.message_id.to_owned(),
    })
}

/// Makes a part that is always encoded, so that no line of the content can end the SMTP data (RUSTSEC-2026-0561).
fn part(content_type: ContentType, content: &str) -> Result<SinglePart, LetterError> {
    let mostly_ascii = content.bytes().filter(|byte| !byte.is_ascii()).count() * 6 < content.len();
    let body = if mostly_ascii || content.is_empty() {
        Body::dangerous_pre_encoded(
            quoted_printable::encode(content),
            ContentTransferEncoding::QuotedPrintable,
        )
    } else {
        Body::new_with_encoding(content.to_owned(), ContentTransferEncoding::Base64)
            .map_err(|_| LetterError::Build("content does not fit base64".to_owned()))?
    };
    Ok(SinglePart::builder().header(content_type).body(body))
}

fn raw(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

/// Tells whether a character may not stand in a header field: C0, DEL, C1, and the Unicode line separators.
pub(crate) fn is_forbidden_in_header(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

/// RFC 5322, section 3.6.4: `left@right`, without white space or angle brackets.
fn check_message_id(id: &str) -> Result<(), LetterError> {
    let well_formed = id
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>'))
        && id.split_once('@').is_some_and(|(left, right)| {
            !left.is_empty() && !right.is_empty() && !right.contains('@')
        });
    match well_formed {
        true => Ok(()),
        false => Err(LetterError::Field {
            field: "message id",
            value: id.to_owned(),
            reason: "is not of the form left@right",
        }),
    }
}

fn check_url(url: &str) -> Result<(), LetterError> {
    let fits = url
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>'))
        && url::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    match fits {
        true => Ok(()),
        false => Err(LetterError::Field {
            field: "unsubscribe URL",
            value: url.to_owned(),
            reason: "is no http or https URL",
        }),
    }
}

#[cfg(test)]
mod tests;
