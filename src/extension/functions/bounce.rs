//! Returned mails as SQL reads them.

use pgrx::prelude::*;

use crate::mail::bounce;

#[pg_schema]
mod marketing_automation {
    use super::*;

    /// What a returned mail is, and traces of the mail that it is about.
    #[pg_extern(sql = r#"
create function marketing_automation.parse_bounce(raw bytea)
returns table (kind text, status text, diagnostic text, return_paths text[], message_ids text[])
language c immutable strict parallel safe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function marketing_automation.parse_bounce(bytea) is
    'API: private. What a returned mail says, unverified: kind as in the table bounce, and addresses and Message-IDs by which the mail may be found';
"#)]
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
        ))
    }
}
