//! The parts of a message: text and HTML as alternatives, pictures beside the HTML that shows them, and files.

use lettre::message::header::{ContentTransferEncoding, ContentType};
use lettre::message::{Attachment as FilePart, Body, MultiPart, SinglePart};

use super::error::MessageError;
use super::quoted_printable;
use crate::mail::attachment::Attachment;

/// The whole body. Without attachments it is multipart/alternative.
pub(super) fn body(
    text: &str,
    html: &str,
    attachments: &[Attachment],
) -> Result<MultiPart, MessageError> {
    let (shown, files): (Vec<_>, Vec<_>) = attachments
        .iter()
        .partition(|attachment| attachment.label.cid.is_some());
    // RFC 2046, section 5.1.4: the richest alternative comes last.
    let alternatives = MultiPart::alternative().singlepart(encoded(ContentType::TEXT_PLAIN, text)?);
    let html = encoded(ContentType::TEXT_HTML, html)?;
    let alternatives = match shown.is_empty() {
        true => alternatives.singlepart(html),
        // RFC 2387: the HTML comes first, as it is what the others belong to.
        false => alternatives.multipart(with(MultiPart::related().singlepart(html), &shown)?),
    };
    match files.is_empty() {
        true => Ok(alternatives),
        false => with(MultiPart::mixed().multipart(alternatives), &files),
    }
}

fn with(mut parts: MultiPart, attachments: &[&Attachment]) -> Result<MultiPart, MessageError> {
    for attachment in attachments {
        parts = parts.singlepart(file(attachment)?);
    }
    Ok(parts)
}

/// A file, always in base64, of which no line can end the SMTP data, and whose bytes arrive as they are.
fn file(attachment: &Attachment) -> Result<SinglePart, MessageError> {
    let label = &attachment.label;
    let content_type = ContentType::parse(&label.content_type)
        .map_err(|error| MessageError::Build(error.to_string()))?;
    let content = attachment.content.to_vec();
    let body = Body::new_with_encoding(content, ContentTransferEncoding::Base64)
        .map_err(|_| MessageError::Build("content does not fit base64".to_owned()))?;
    let part = match &label.cid {
        Some(cid) => FilePart::new_inline_with_name(cid.clone(), label.name.clone()),
        None => FilePart::new(label.name.clone()),
    };
    Ok(part.body(body, content_type))
}

/// Makes a part that is always encoded, so that no line of the content can end the SMTP data (RUSTSEC-2026-0561).
fn encoded(content_type: ContentType, content: &str) -> Result<SinglePart, MessageError> {
    let mostly_ascii = content.is_ascii()
        || content.bytes().filter(|byte| !byte.is_ascii()).count() * 6 < content.len();
    let body = if mostly_ascii || content.is_empty() {
        Body::dangerous_pre_encoded(
            quoted_printable::encode(content),
            ContentTransferEncoding::QuotedPrintable,
        )
    } else {
        Body::new_with_encoding(content.to_owned(), ContentTransferEncoding::Base64)
            .map_err(|_| MessageError::Build("content does not fit base64".to_owned()))?
    };
    Ok(SinglePart::builder().header(content_type).body(body))
}
