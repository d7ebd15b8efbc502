//! Webhooks as SQL checks them when they are written.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use super::argument::refuse_with_hint;
use super::template::{judge, names};
use crate::extension::snippets::snippets;
use crate::mail::template;
use crate::webhook::origin::{Fixed, Origin};

/// An origin in the spelling by which targets are compared.
#[pg_extern(sql = false)]
fn webhook_origin(origin: &str) -> String {
    match Origin::parse(origin) {
        Ok(origin) => origin.to_string(),
        Err(reason) => refuse_with_hint(
            format!("\"{origin}\" is no target of webhooks: {reason}"),
            "Write scheme, host and port: https://crm.example, http://hooks.internal:8080.",
        ),
    }
}

/// The target of the URLs that a template makes; None: it depends on the row, or it is none.
#[pg_extern(sql = false)]
fn webhook_target_of(url: &str) -> Option<String> {
    let fixed = Fixed::of(url).ok()?;
    Some(fixed.origin.to_string())
}

/// Raises unless the templates of a webhook compile; gives its target, which is the same for each row.
#[pg_extern(sql = false)]
fn check_webhook(
    what: &str,
    url: &str,
    body: Option<&str>,
    language: &str,
    columns: Option<pgrx::JsonB>,
) -> Result<String, spi::Error> {
    let checked = template::check_webhook(url, body, language, &snippets()?, names(columns));
    let what = format!("webhook of {what}");
    match checked {
        Ok((target, undefined)) => {
            judge(&what, Ok(undefined));
            Ok(target)
        }
        Err(error) if error.part == template::Part::Url && error.line.is_none() => {
            let report = ErrorReport::new(
                PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
                format!("{what} has no usable url"),
                "check_webhook",
            )
            .set_detail(error.to_string());
            match error.hint {
                Some(hint) => report.set_hint(hint),
                None => report,
            }
            .report(PgLogLevel::ERROR);
            Ok(String::new())
        }
        Err(error) => {
            judge(&what, Err(error));
            Ok(String::new())
        }
    }
}
