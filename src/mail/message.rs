//! The MIME message of a mail, built by lettre.

mod address;
mod encoded_word;
mod error;
mod mailboxes;
mod own_headers;
mod parts;
mod quoted_printable;
mod token_mailbox;

use std::time::SystemTime;

use lettre::Message;
use lettre::address::Envelope;
use lettre::message::Mailbox;
use lettre::message::header::{HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::mail::attachment::Attachment;
pub use address::{check_address, check_sender, name_and_address, sender_domain};
pub(crate) use error::MAX_LINE_BYTES;
pub use error::MessageError;
pub use mailboxes::{ListedMailbox, check_reply_to, mailboxes};
pub use own_headers::{MAX_OWN_HEADERS, check_header_name};
pub use token_mailbox::TokenMailbox;

/// Longest recipient name, in characters; the rest is cut off, as the name is only shown.
const MAX_NAME_CHARACTERS: usize = 200;

/// What is written otherwise in a mailto URL (RFC 6068, section 2).
const MAILTO: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'+')
    .remove(b'@');

/// Everything that a message is made of.
#[derive(Debug, Clone)]
pub struct Draft<'a> {
    /// Mailbox, e.g. `Shop <shop@example.org>`.
    pub from: &'a str,
    /// Mailboxes that replies go to, with commas between them; None: that of `from`.
    pub reply_to: Option<&'a str>,
    pub to_address: &'a str,
    /// Whom it is for, when somebody else gets it.
    pub instead_of: Option<&'a str>,
    pub to_name: Option<&'a str>,
    /// Mailboxes that get a copy, and stand in the header.
    pub cc: &'a [String],
    /// Mailboxes that get a copy which the header does not show.
    pub bcc: &'a [String],
    /// Envelope sender, to which bounces go; None: the address of `from`.
    pub return_path: Option<&'a str>,
    pub subject: &'a str,
    pub html: &'a str,
    pub text: &'a str,
    /// Without angle brackets; the same for every attempt to send this mail.
    pub message_id: &'a str,
    pub date: SystemTime,
    /// Whether it says `Precedence: bulk`.
    pub is_bulk: bool,
    /// For `List-Unsubscribe`; an https URL that takes the POST of RFC 8058.
    pub unsubscribe_url: Option<&'a str>,
    /// An address that takes leaving by mail, for programs that know RFC 2369 only.
    pub unsubscribe_address: Option<&'a str>,
    /// For `List-Id` (RFC 2919), without angle brackets.
    pub list_id: Option<&'a str>,
    /// For `Feedback-ID`, by which large providers group their complaint figures.
    pub feedback_id: Option<&'a str>,
    /// Names and values of the headers that the author adds, as [`check_header_name`] allows them.
    pub headers: &'a [(String, String)],
    /// The files that it takes along.
    pub attachments: &'a [Attachment],
}

/// A message ready for the transport.
#[derive(Debug, Clone)]
pub struct Mail {
    pub(crate) envelope: Envelope,
    pub(crate) bytes: Vec<u8>,
    pub(crate) message_id: String,
    /// The domain of the From address.
    pub(crate) from_domain: String,
    /// An address is not ASCII, and so are headers (RFC 6531, RFC 6532).
    pub(crate) smtputf8: bool,
    /// Somebody else gets it than whom it is for.
    is_staged: bool,
    /// Addresses that get no copy, as they are suppressed.
    pub(crate) left_out: Vec<String>,
}

impl Mail {
    /// Gives the message: header lines and body, with CRLF line ends; ASCII, but for the address of a recipient.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Tells whether somebody else gets it than whom it is for.
    pub fn is_staged(&self) -> bool {
        self.is_staged
    }

    /// Gives the envelope's sender.
    pub fn sender(&self) -> &str {
        self.envelope.from().map_or("", AsRef::as_ref)
    }

    /// Gives the address of the envelope's first recipient, by whom the mail is judged.
    pub fn recipient(&self) -> &str {
        self.envelope.to().first().map_or("", AsRef::as_ref)
    }

    /// Gives the addresses of those who get a copy.
    pub fn copies(&self) -> impl Iterator<Item = &str> {
        self.envelope.to().iter().skip(1).map(AsRef::as_ref)
    }
}

/// Builds the message: multipart/alternative of text and HTML, its files, and the headers of an automatic mail, a bulk one or not.
///
/// # Errors
/// The first field that holds a control character, an address that is none, a message id or URL that does not fit
/// its header, or a line that is too long.
pub fn build(draft: &Draft<'_>) -> Result<Mail, MessageError> {
    // Rows hold what people have pasted; a line end in a name or around an address is no reason to send no mail.
    let to_name = draft.to_name.map(display_name).unwrap_or_default();
    let to_address = draft.to_address.trim();
    // lettre panics on a line end in a display name.
    let fields = [
        ("sender", draft.from),
        ("reply-to", draft.reply_to.unwrap_or_default()),
        ("recipient address", to_address),
        ("recipient address", draft.instead_of.map_or("", str::trim)),
        ("recipient name", &to_name),
        ("return path", draft.return_path.unwrap_or_default()),
        ("subject", draft.subject),
        ("message id", draft.message_id),
        ("unsubscribe URL", draft.unsubscribe_url.unwrap_or_default()),
        (
            "unsubscribe address",
            draft.unsubscribe_address.unwrap_or_default(),
        ),
        ("list id", draft.list_id.unwrap_or_default()),
        ("feedback id", draft.feedback_id.unwrap_or_default()),
    ];
    let own = draft
        .headers
        .iter()
        .map(|(_, value)| ("header", value.as_str()));
    let copies = draft.cc.iter().map(|mailbox| ("cc", mailbox.as_str()));
    let copies = copies.chain(draft.bcc.iter().map(|mailbox| ("bcc", mailbox.as_str())));
    for (field, value) in fields.into_iter().chain(own).chain(copies) {
        if let Some(character) = value.chars().find(|&c| is_forbidden_in_header(c)) {
            return Err(MessageError::ControlCharacter { field, character });
        }
    }
    let from = address::parse_mailbox("sender", draft.from)?;
    let reply_to = draft.reply_to.map(mailboxes::parse).transpose()?;
    let copies = |field, list: &[String]| -> Result<Vec<Mailbox>, MessageError> {
        let copies = list.iter();
        copies
            .map(|mailbox| address::parse_mailbox(field, mailbox))
            .collect()
    };
    let (cc, bcc) = (copies("cc", draft.cc)?, copies("bcc", draft.bcc)?);
    let to = address::parse_recipient("recipient address", to_address)?;
    let smtputf8 = !to.user().is_ascii();
    let instead_of = draft.instead_of.map(str::trim);
    if let Some(address) = instead_of {
        address::check_address(address)?;
    }
    let to = Mailbox::new(Some(to_name).filter(|name| !name.is_empty()), to);
    check_message_id(draft.message_id)?;

    let sender = match draft.return_path {
        Some(text) => address::parse_address("return path", text)?,
        None => from.email.clone(),
    };
    let recipients = [&to].into_iter().chain(&cc).chain(&bcc);
    let recipients = recipients.map(|mailbox| mailbox.email.clone()).collect();
    let envelope = Envelope::new(Some(sender), recipients)
        .map_err(|error| MessageError::Build(error.to_string()))?;
    let mut message = Message::builder()
        .envelope(envelope.clone())
        .from(from.clone());
    message = match smtputf8 {
        // lettre cannot read such an address back.
        true => message.raw_header(internationalised("To", &to)),
        false => message.to(to.clone()),
    };
    if !cc.is_empty() {
        message = message.header(mailboxes::cc(&cc));
    }
    if let Some(mailboxes) = &reply_to {
        message = message.header(mailboxes::reply_to(mailboxes));
    }
    message = message
        .subject(draft.subject)
        .date(draft.date)
        .message_id(Some(format!("<{}>", draft.message_id)))
        // RFC 3834, section 5: keeps vacation responders quiet.
        .raw_header(raw("Auto-Submitted", "auto-generated"));
    if draft.is_bulk {
        message = message.raw_header(raw("Precedence", "bulk"));
    }
    if let Some(url) = draft.unsubscribe_url {
        check_url(url)?;
        let mut ways = format!("<{url}>");
        if let Some(address) = draft.unsubscribe_address {
            address::parse_address("unsubscribe address", address)?;
            let address = utf8_percent_encode(address, MAILTO);
            ways.push_str(&format!(", <mailto:{address}?subject=unsubscribe>"));
        }
        message = message
            .raw_header(raw("List-Unsubscribe", &ways)) // RFC 2369, section 3.2
            .raw_header(raw("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")); // RFC 8058, section 3.1
    }
    if let Some(id) = draft.list_id {
        message = message.raw_header(raw("List-Id", &format!("<{id}>")));
    }
    if let Some(id) = draft.feedback_id {
        message = message.raw_header(raw("Feedback-ID", id));
    }
    if let Some(address) = instead_of {
        message = message.raw_header(raw("X-Original-Recipient", address));
    }
    for (name, value) in draft.headers {
        message = message.raw_header(own_headers::header(name, value)?);
    }
    let mut message = message
        .multipart(parts::body(draft.text, draft.html, draft.attachments)?)
        .map_err(|error| MessageError::Build(error.to_string()))?;
    let headers = message.headers_mut();
    for (name, mailbox) in [("From", &from), ("To", &to)] {
        if let Some(shown) = mailbox.name.as_deref()
            && encoded_word::is_needed(shown)
            && mailbox.email.user().is_ascii()
        {
            let encoded = format!("{}\r\n <{}>", encoded_word::encode(shown), mailbox.email);
            headers.insert_raw(pre_encoded(name, mailbox.to_string(), encoded));
        }
    }
    let lists = [
        ("Cc", Some(cc.as_slice())),
        ("Reply-To", reply_to.as_deref()),
    ];
    for (name, list) in lists {
        if let Some((shown, encoded)) = list.and_then(mailboxes::encoded) {
            headers.insert_raw(pre_encoded(name, shown, encoded));
        }
    }
    if encoded_word::is_needed(draft.subject) {
        let encoded = encoded_word::encode(draft.subject);
        headers.insert_raw(pre_encoded("Subject", draft.subject.to_owned(), encoded));
    }
    let bytes = message.formatted();
    check_lines(&bytes)?;
    Ok(Mail {
        envelope,
        bytes,
        message_id: draft.message_id.to_owned(),
        from_domain: from.email.domain().to_owned(),
        smtputf8,
        is_staged: instead_of.is_some(),
        left_out: Vec::new(),
    })
}

fn raw(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

/// A mailbox whose address stands there in UTF-8 (RFC 6532, section 3.2).
fn internationalised(name: &'static str, mailbox: &Mailbox) -> HeaderValue {
    let encoded = match mailbox.name.as_deref() {
        Some(shown) => format!("{}\r\n <{}>", encoded_word::encode(shown), mailbox.email),
        None => mailbox.email.to_string(),
    };
    pre_encoded(name, mailbox.to_string(), encoded)
}

fn pre_encoded(name: &'static str, value: String, encoded: String) -> HeaderValue {
    HeaderValue::dangerous_new_pre_encoded(HeaderName::new_from_ascii_str(name), value, encoded)
}

/// Makes one short line of a name, whatever characters a row holds.
fn display_name(name: &str) -> String {
    let one_line = name.replace(is_forbidden_in_header, " ");
    let trimmed = one_line.trim();
    let end = trimmed.char_indices().nth(MAX_NAME_CHARACTERS);
    trimmed[..end.map_or(trimmed.len(), |(at, _)| at)]
        .trim_end()
        .to_owned()
}

/// Servers cut or refuse longer lines; whatever a header holds, it is found here.
fn check_lines(bytes: &[u8]) -> Result<(), MessageError> {
    let mut start = 0;
    while start < bytes.len() {
        let end =
            memchr::memchr(b'\n', &bytes[start..]).map_or(bytes.len(), |length| start + length);
        let line = &bytes[start..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len() > MAX_LINE_BYTES {
            return Err(MessageError::LongLine {
                length: line.len(),
                start: String::from_utf8_lossy(&line[..60]).into_owned(),
            });
        }
        start = end + 1;
    }
    Ok(())
}

/// Tells whether a character may not stand in a header field: C0, DEL, C1, and the Unicode line separators.
pub(crate) fn is_forbidden_in_header(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

/// Whether a header field can hold this between `<` and `>`.
fn fits_angle_brackets(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>'))
}

/// RFC 5322, section 3.6.4: `left@right`, without white space or angle brackets.
fn check_message_id(id: &str) -> Result<(), MessageError> {
    let well_formed = fits_angle_brackets(id)
        && id.split_once('@').is_some_and(|(left, right)| {
            !left.is_empty() && !right.is_empty() && !right.contains('@')
        });
    match well_formed {
        true => Ok(()),
        false => Err(MessageError::Field {
            field: "message id",
            value: id.to_owned(),
            reason: "is not of the form left@right",
        }),
    }
}

fn check_url(url: &str) -> Result<(), MessageError> {
    let fits = fits_angle_brackets(url)
        && url::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    match fits {
        true => Ok(()),
        false => Err(MessageError::Field {
            field: "unsubscribe URL",
            value: url.to_owned(),
            reason: "is no http or https URL",
        }),
    }
}

#[cfg(test)]
mod tests;
