//! Checks the headers that an author adds to a mail, when they are written.

use std::collections::BTreeSet;

use pgrx::prelude::*;

use super::template::{judge, names, report, warn};
use crate::mail::message::{MAX_OWN_HEADERS, check_header_name};
use crate::mail::template::{self, Part, Remark};

const HINT: &str =
    "Write {\"X-Campaign\": \"{{ scenario.name }}\"}: an object of names and templates.";

/// Raises unless the names are those of headers that an author may add, and the templates compile.
#[pg_extern(sql = false)]
fn check_headers(what: &str, headers: pgrx::JsonB, language: &str, columns: Option<pgrx::JsonB>) {
    let headers = match read(&headers.0) {
        Ok(headers) => headers,
        Err(reason) => {
            return report(
                PgLogLevel::ERROR,
                PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
                format!("headers of {what} cannot be added to a mail"),
                reason,
                Some(HINT),
            );
        }
    };
    let checked = template::check_headers(&headers, language, names(columns).as_ref());
    let what = format!("template of {what}");
    judge(&what, checked);
    let remarks = headers.iter().flat_map(|(name, text)| {
        let remarks = template::remarks(Part::Header, None, text);
        remarks.into_iter().map(|remark| Remark {
            error: remark.error.in_header(name),
        })
    });
    warn(&what, remarks.collect());
}

/// Reads names and templates, or says what is wrong with them.
fn read(headers: &serde_json::Value) -> Result<Vec<(String, String)>, String> {
    let Some(headers) = headers.as_object() else {
        return Err("They are no object.".to_owned());
    };
    if headers.len() > MAX_OWN_HEADERS {
        return Err(format!(
            "They are {}, and {MAX_OWN_HEADERS} at most.",
            headers.len()
        ));
    }
    let mut seen = BTreeSet::new();
    let mut read = Vec::with_capacity(headers.len());
    for (name, template) in headers {
        if let Err(reason) = check_header_name(name) {
            return Err(format!("{name:?} {reason}."));
        }
        if !seen.insert(name.to_ascii_lowercase()) {
            return Err(format!(
                "{name:?} is there twice: capitals make no difference."
            ));
        }
        let Some(template) = template.as_str() else {
            return Err(format!("{name:?} has no text as its template."));
        };
        read.push((name.clone(), template.to_owned()));
    }
    Ok(read)
}
