//! Returned mails as SQL reads them.

use pgrx::prelude::*;

use crate::mail::bounce;

/// What a returned mail is, and traces of the mail that it is about.
#[pg_extern(sql = false)]
#[allow(clippy::type_complexity)] // The macro wants the row written out.
fn parse_bounce(
    raw: &[u8],
) -> TableIterator<
    'static,
    (
        name!(kind, &'static str),
        name!(status, Option<String>),
        name!(diagnostic, Option<String>),
        name!(return_paths, Vec<String>),
        name!(message_ids, Vec<String>),
        name!(unsubscribe_tokens, Vec<String>),
    ),
> {
    let report = bounce::read(raw, bounce::Rules::shipped());
    // text holds no NUL.
    let clean = |text: String| text.replace('\0', "");
    TableIterator::once((
        report.kind.name(),
        report.status,
        report.diagnostic.map(clean),
        report.return_paths.into_iter().map(clean).collect(),
        report.message_ids.into_iter().map(clean).collect(),
        report.unsubscribe_tokens.into_iter().map(clean).collect(),
    ))
}
