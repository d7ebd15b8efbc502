//! The class of a mail (marketing, transactional, …), as far as its headers depend on it.

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageClass {
    pub name: String,
    /// Whether it has the headers of a mailing list: Precedence, List-Id, List-Unsubscribe and List-Unsubscribe-Post.
    pub has_bulk_headers: bool,
}
