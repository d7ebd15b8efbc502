//! What is wrong with a document, and where.

/// A mistake of the author.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// Byte offset in the document.
    pub(crate) offset: usize,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Mistake {
    pub(super) fn new(offset: usize, message: &str, hint: Option<String>) -> Mistake {
        let message = format!("mjml: {message}");
        Mistake {
            offset,
            message,
            hint,
        }
    }
}
