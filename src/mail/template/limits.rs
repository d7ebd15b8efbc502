//! How large a template, what it sees and what it makes may be.

use std::io::{self, Write};

use super::{Part, TemplateError};

/// Longest source of one template, in bytes.
pub const MAX_SOURCE_BYTES: usize = 256 * 1024;
/// Largest context of one mail, in bytes of JSON.
pub const MAX_CONTEXT_BYTES: usize = 64 * 1024;
/// Longest result of one template, in bytes.
pub const MAX_OUTPUT_BYTES: usize = 1024 * 1024;
/// Longest subject, sender or Reply-To, in bytes: a header longer than this is no header that anybody wrote.
pub(super) const MAX_HEADER_BYTES: usize = 2_000;

/// Refuses a context that is no object or is larger than [`MAX_CONTEXT_BYTES`], without building its text.
pub(super) fn check_context(context: &serde_json::Value) -> Result<(), TemplateError> {
    if !context.is_object() {
        return Err(TemplateError::new(
            Part::Subject,
            "context is no JSON object",
        ));
    }
    // The only error of this writer is the limit itself.
    serde_json::to_writer(Limited::new(io::sink(), MAX_CONTEXT_BYTES), context).map_err(|_| {
        TemplateError::new(
            Part::Subject,
            format!("context is larger than {MAX_CONTEXT_BYTES} bytes"),
        )
    })
}

/// The error for a result of more than `limit` bytes.
pub(super) fn too_long(part: Part, limit: usize) -> TemplateError {
    TemplateError::new(part, format!("result is longer than {limit} bytes"))
}

/// A writer that refuses what would make more than a number of bytes.
pub(super) struct Limited<W> {
    inner: W,
    room: usize,
    is_full: bool,
}

impl<W> Limited<W> {
    pub(super) fn new(inner: W, limit: usize) -> Self {
        Self {
            inner,
            room: limit,
            is_full: false,
        }
    }

    /// Whether something was refused.
    pub(super) fn is_full(&self) -> bool {
        self.is_full
    }

    pub(super) fn into_inner(self) -> W {
        self.inner
    }
}

impl<W: Write> Write for Limited<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(room) = self.room.checked_sub(bytes.len()) else {
            self.is_full = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        };
        self.inner.write_all(bytes)?;
        self.room = room;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
