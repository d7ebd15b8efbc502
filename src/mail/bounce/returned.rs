//! The pieces of a returned mail, and the traces in it of the mail that came back.

use mail_parser::decoders::html::html_to_text;
use mail_parser::{Message, MessageParser, MimeHeaders, PartType};
use percent_encoding::percent_decode_str;

use super::fields::{self, Field, fields};
use super::words::beginning;

/// Addresses, Message-IDs and tokens looked at, so that a mail full of them costs no more than others.
pub(super) const MAX_TRACES: usize = 32;
/// A longer word is no address and no Message-ID (RFC 5322, section 2.1.1).
const MAX_TRACE_BYTES: usize = 998;
/// What a server says comes first; what follows is the mail.
const MAX_TEXT_BYTES: usize = 64 * 1024;
/// What stands around addresses.
const SEPARATORS: &str = "<>,;\"()";
/// Reports within reports: one is what a gateway makes of another's.
const MAX_DEPTH: usize = 4;

#[derive(Default)]
pub(super) struct Returned {
    pub(super) header: Vec<Field>,
    /// As people read it.
    pub(super) subject: String,
    /// The fields of a feedback report.
    pub(super) feedback: Option<Vec<Field>>,
    /// The text of a delivery status notification.
    pub(super) delivery_status: Option<String>,
    /// The same of a notification that a mail server passed on within its own.
    pub(super) inner_status: Option<String>,
    /// A receipt (RFC 8098): a program tells what a person did with the mail.
    pub(super) is_receipt: bool,
    /// Outlook.com's report (JMRP), which is the mail with a header of its own.
    pub(super) is_junk_report: bool,
    /// The first part that people read.
    pub(super) text: String,
    pub(super) traces: Traces,
}

/// By what a mail of ours may be known, unverified.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Traces {
    pub(super) return_paths: Vec<String>,
    pub(super) message_ids: Vec<String>,
    pub(super) unsubscribe_tokens: Vec<String>,
}

impl Returned {
    pub(super) fn read(message: &Message<'_>) -> Self {
        let mut mail = Returned {
            header: header(message),
            subject: message.subject().unwrap_or_default().to_owned(),
            ..Returned::default()
        };
        for field in &mail.header {
            match field.name.as_str() {
                // Where the report was sent to: our return path.
                name if is_recipient(name) => mail.traces.add_return_paths(&field.value),
                "in-reply-to" | "references" => mail.traces.add_message_ids(&field.value),
                _ => {}
            }
        }
        mail.read_parts(message);
        mail
    }

    /// Whether a program reports what became of a mail.
    pub(super) fn is_report(&self) -> bool {
        self.feedback.is_some()
            || self.delivery_status.is_some()
            || self.is_junk_report
            || self.is_receipt
    }

    /// The words by which a reader may leave: addresses that the mail was sent to, and its subject, where a program keeps
    /// what an URL says about it.
    pub(super) fn invitations(&self) -> impl Iterator<Item = &str> {
        let to = self.header.iter().filter(|field| is_recipient(&field.name));
        to.flat_map(|field| words(&field.value, SEPARATORS))
            .chain(self.subject.split_whitespace())
            .take(MAX_TRACES)
    }

    fn read_parts(&mut self, message: &Message<'_>) {
        for part in &message.parts {
            let kind = part.content_type().map(|of| {
                let subtype = of.subtype().unwrap_or_default();
                format!("{}/{subtype}", of.ctype()).to_ascii_lowercase()
            });
            let text = || String::from_utf8_lossy(part.contents());
            match (kind.as_deref(), &part.body) {
                (_, PartType::Message(returned)) => {
                    self.read_returned(&header(returned));
                    self.read_inner(returned, 1);
                }
                (Some("message/delivery-status" | "message/global-delivery-status"), _) => {
                    add_groups(&mut self.delivery_status, &text());
                }
                (Some("message/disposition-notification"), _) => self.is_receipt = true,
                (Some("message/feedback-report"), _) => {
                    let report = fields(&text());
                    for field in &report {
                        if field.name == "original-mail-from" {
                            self.traces.add_return_paths(&field.value);
                        }
                    }
                    self.feedback.get_or_insert(report);
                }
                (Some("text/rfc822-headers" | "message/global-headers"), _) => {
                    self.read_returned(&fields(&text()));
                }
                (_, PartType::Text(_)) => {
                    let text = text();
                    // Notices in prose often end with the mail, or its header, as text.
                    self.read_returned(&fields(&text));
                    self.add_text(&text);
                }
                (_, PartType::Html(html)) => self.add_text(&html_to_text(html)),
                _ => {}
            }
        }
    }

    /// Of several texts the first is the server's; others may be the mail.
    fn add_text(&mut self, text: &str) {
        if self.text.trim().is_empty() {
            self.text = beginning(text, MAX_TEXT_BYTES).to_owned();
        }
    }

    /// Reads the header of the mail that came back.
    fn read_returned(&mut self, header: &[Field]) {
        self.is_junk_report |= fields::value(header, "x-hmxmroriginalrecipient").is_some();
        self.traces.read(header);
    }

    fn read_inner(&mut self, inner: &Message<'_>, depth: usize) {
        for part in &inner.parts {
            match &part.body {
                PartType::Message(returned) if depth < MAX_DEPTH => {
                    self.traces.read(&header(returned));
                    self.read_inner(returned, depth + 1);
                }
                _ if part.content_type().is_some_and(|of| {
                    of.ctype().eq_ignore_ascii_case("message")
                        && of
                            .subtype()
                            .is_some_and(|of| of.eq_ignore_ascii_case("delivery-status"))
                }) =>
                {
                    add_groups(
                        &mut self.inner_status,
                        &String::from_utf8_lossy(part.contents()),
                    );
                }
                _ => {}
            }
        }
    }
}

impl Traces {
    fn read(&mut self, header: &[Field]) {
        for field in header {
            match field.name.as_str() {
                "message-id" => self.add_message_ids(&field.value),
                "return-path" | "x-envelope-from" | "envelope-from" => {
                    self.add_return_paths(&field.value);
                }
                // Relays write their own Message-ID and envelope, and leave this as it is, or encode it.
                name if name.ends_with("list-unsubscribe") => {
                    self.add_unsubscribe_tokens(&field.value);
                    if field.value.contains("=?") {
                        self.add_unsubscribe_tokens(&decoded_words(&field.value));
                    }
                }
                _ => {}
            }
        }
    }

    fn add_return_paths(&mut self, value: &str) {
        add(&mut self.return_paths, words(value, SEPARATORS));
    }

    fn add_message_ids(&mut self, value: &str) {
        add(&mut self.message_ids, words(value, "<>,"));
    }

    /// Takes what stands behind `/u/` in the URLs of RFC 2369, in front of any query. White space within angle brackets is where
    /// somebody has folded the line, and means nothing there; a relay that counts clicks has the URL, percent-encoded, in its own.
    fn add_unsubscribe_tokens(&mut self, value: &str) {
        for part in value.split('<') {
            let (url, rest) = part.split_once('>').unwrap_or(("", part));
            let url: String = url.split_whitespace().collect();
            let urls = rest
                .split(|c: char| c.is_whitespace() || c == ',')
                .chain([url.as_str()]);
            for url in urls.filter(|url| url.contains("://")) {
                let decoded = percent_decode_str(url).decode_utf8_lossy();
                let tokens = decoded.match_indices("/u/").map(|(at, found)| {
                    let path = &decoded[at + found.len()..];
                    let is_inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
                    &path[..path.find(|c| !is_inside(c)).unwrap_or(path.len())]
                });
                add(
                    &mut self.unsubscribe_tokens,
                    tokens.filter(|token| !token.is_empty()),
                );
            }
        }
    }
}

/// The text of encoded words (RFC 2047), and what stands between them.
fn decoded_words(value: &str) -> String {
    let message = format!("Subject: {value}\r\n\r\n");
    let parsed = MessageParser::new().parse(&message);
    let text = parsed.as_ref().and_then(|message| message.subject());
    text.unwrap_or_default().to_owned()
}

/// Whether a field says where the mail was sent to.
fn is_recipient(name: &str) -> bool {
    matches!(
        name,
        "to" | "delivered-to"
            | "x-original-to"
            | "envelope-to"
            | "x-envelope-to"
            | "x-delivered-to"
            | "apparently-to"
    )
}

/// The header of a message as it came.
fn header(message: &Message<'_>) -> Vec<Field> {
    let end = message
        .parts
        .first()
        .map_or(0, |part| part.offset_body as usize);
    let raw = message.raw_message.get(..end).unwrap_or_default();
    fields(&String::from_utf8_lossy(raw))
}

fn add_groups(status: &mut Option<String>, text: &str) {
    let status = status.get_or_insert_default();
    status.push_str(text);
    status.push_str("\n\n");
}

/// The addresses or Message-IDs that stand between separators.
fn words<'a>(value: &'a str, separators: &str) -> impl Iterator<Item = &'a str> {
    value
        .split(move |c: char| c.is_whitespace() || separators.contains(c))
        .filter(|word| word.contains('@'))
}

/// The addresses of a field such as `rfc822; ada@example.org`.
pub(super) fn addresses(value: &str) -> impl Iterator<Item = &str> {
    words(value, SEPARATORS)
}

/// Adds each once.
fn add<'a>(traces: &mut Vec<String>, found: impl Iterator<Item = &'a str>) {
    for trace in found.filter(|trace| trace.len() <= MAX_TRACE_BYTES) {
        if traces.len() < MAX_TRACES && !traces.iter().any(|known| known == trace) {
            traces.push(trace.to_owned());
        }
    }
}
