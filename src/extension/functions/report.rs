//! The report of a scenario as a page.

use pgrx::prelude::*;

use crate::report::{ReportError, page};

fn refuse(error: &ReportError) -> ! {
    ereport!(
        ERROR,
        PgSqlErrorCode::ERRCODE_DATA_EXCEPTION,
        "the report cannot be shown",
        error.to_string()
    );
}

/// Makes the page of what `report_data()` has gathered.
#[pg_extern(sql = false)]
fn render_report(report: pgrx::JsonB, language: &str) -> String {
    page(report.0, language).unwrap_or_else(|error| refuse(&error))
}
