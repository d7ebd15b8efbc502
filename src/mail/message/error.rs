//! Why a message cannot be built.

/// Longest line, in bytes (RFC 5322, section 2.1.1: 998 without CRLF).
pub(crate) const MAX_LINE_BYTES: usize = 998;

/// A field that cannot go into a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
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
    #[error("message has a line of {length} bytes, more than {MAX_LINE_BYTES}: {start:?}…")]
    LongLine { length: usize, start: String },
    #[error("message cannot be built: {0}")]
    Build(String),
}
