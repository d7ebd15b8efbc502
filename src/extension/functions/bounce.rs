//! Returned mails as SQL reads them.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use super::argument::refuse;
use crate::extension::bounce_rules;
use crate::extension::keyring::keyring;
use crate::mail::bounce::{self, Rule, Rules};
use crate::tracking::address_token;

/// Raises unless it is a rule by which replies and returned mails can be judged.
#[pg_extern(sql = false)]
fn check_bounce_rule(kind: &str, pattern: &str, meaning: &str) {
    let rule = Rule::parse(kind, pattern, meaning);
    if let Err(error) = rule.and_then(|rule| Rules::new([rule])) {
        let code = PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE;
        ErrorReport::new(code, error.to_string(), function_name!())
            .set_hint(error.hint())
            .report(PgLogLevel::ERROR);
    }
}

/// The rules that this version ships, as rows of bounce_rule.
#[pg_extern(sql = false)]
fn shipped_bounce_rules() -> TableIterator<
    'static,
    (
        name!(kind, &'static str),
        name!(pattern, &'static str),
        name!(meaning, &'static str),
        name!(note, &'static str),
    ),
> {
    TableIterator::new(
        Rules::shipped_rows()
            .map(|(rule, note)| (rule.kind.name(), rule.pattern, rule.meaning.name(), note)),
    )
}

/// What a returned mail says of each recipient that it names.
#[pg_extern(sql = false)]
#[allow(clippy::type_complexity)] // The macro wants the row written out.
fn bounced_recipients(
    raw: &[u8],
) -> TableIterator<
    'static,
    (
        name!(address, String),
        name!(kind, &'static str),
        name!(status, Option<String>),
        name!(diagnostic, Option<String>),
    ),
> {
    let rules = match bounce_rules::read() {
        Ok(Ok(rules)) => rules,
        Ok(Err(error)) => refuse(error),
        Err(error) => refuse(error),
    };
    // text holds no NUL.
    let clean = |text: String| text.replace('\0', "");
    let recipients = bounce::recipients(raw, &rules).into_iter();
    TableIterator::new(recipients.map(move |(address, report)| {
        let diagnostic = report.diagnostic.map(clean);
        (
            clean(address),
            report.kind.name(),
            report.status,
            diagnostic,
        )
    }))
}

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
    let rules = match bounce_rules::read() {
        Ok(Ok(rules)) => rules,
        Ok(Err(error)) => refuse(error),
        Err(error) => refuse(error),
    };
    let keyring = keyring().unwrap_or_else(|error| refuse(error));
    let report = bounce::read(raw, &rules, |word| {
        address_token::unsubscribe_token(keyring.as_ref()?, word)
    });
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
