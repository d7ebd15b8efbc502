//! A source as it is compiled, and as its author wrote it.

use super::error;
use crate::mail::edits::Edited;

/// One source and what was changed in it before it was compiled.
#[derive(Debug)]
pub(super) struct SourceMap {
    written: String,
    prepared: Edited,
    /// With its links marked.
    marked: Option<Edited>,
}

impl SourceMap {
    pub(super) fn new(written: &str, prepared: Edited) -> SourceMap {
        SourceMap {
            written: written.to_owned(),
            prepared,
            marked: None,
        }
    }

    /// What is to be compiled.
    pub(super) fn text(&self) -> &str {
        self.marked
            .as_ref()
            .map_or(&self.prepared.text, |marked| &marked.text)
    }

    pub(super) fn mark(&mut self, marked: Edited) {
        self.marked = Some(marked);
    }

    /// What its author wrote.
    pub(super) fn written(&self) -> &str {
        &self.written
    }

    /// The place in what its author wrote of one in what was compiled.
    pub(super) fn original(&self, offset: usize) -> usize {
        let offset = self
            .marked
            .as_ref()
            .map_or(offset, |marked| marked.original(offset));
        self.prepared.original(offset)
    }

    /// Line and column, as the author sees them, of an offset in what was compiled.
    pub(super) fn position(&self, offset: usize) -> (u32, u32) {
        error::position(&self.written, self.original(offset))
    }
}
