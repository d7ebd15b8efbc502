//! The report of a scenario as a page: one HTML document with its pictures as inline SVG, without scripts, that a browser, a printer
//! and a screen reader can show.
//!
//! [`page`] takes the numbers that SQL has gathered (`report_data()`), [`view`] words them in the reader's language and measures the
//! pictures, and the template `report/page.html` escapes all of it. Nothing here reads the clock or the database.

#![deny(unsafe_code)]

mod chart;
mod data;
mod texts;
mod view;

use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment, context};

use data::Data;
use view::View;

const PAGE: &str = include_str!("report/page.html");
/// Without elements of its own: a page's policy names its hash.
pub const STYLE: &str = include_str!("report/page.css");

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    #[error("the numbers of the report are not as expected: {0}")]
    Data(#[from] serde_json::Error),
    #[error("the page of the report does not render: {0}")]
    Page(#[from] minijinja::Error),
}

/// Makes the page of what `report_data()` has gathered, in the language or the one that it falls back to.
///
/// # Errors
/// Numbers of another version, which lack something or have another type.
pub fn page(report: serde_json::Value, language: &str) -> Result<String, ReportError> {
    let data: Data = serde_json::from_value(report)?;
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.add_template("page", PAGE)?;
    let view = View::new(&data, language);
    let page = environment
        .get_template("page")?
        .render(context! { style => STYLE, view => Value::from(Serde(&view)) })?;
    Ok(page)
}

#[cfg(test)]
mod tests;
