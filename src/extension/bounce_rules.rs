//! The rules by which replies and returned mails are judged, as the table bounce_rule holds them.

use pgrx::prelude::*;

use crate::mail::bounce::{Rule, Rules};

/// The enabled rules; an error names the row that is none. While the SQL is of a version without the table: the shipped ones.
pub(super) fn read() -> spi::Result<Result<Rules, String>> {
    // Not by `Spi::get_one`, which assigns a transaction id: what a standby refuses, it is to refuse as what writes.
    let is_there = Spi::connect(|client| {
        client
            .select(
                "select pg_catalog.to_regclass('marketing_automation.bounce_rule') is not null",
                Some(1),
                &[],
            )?
            .first()
            .get_one::<bool>()
    })?;
    if is_there != Some(true) {
        return Ok(Ok(Rules::shipped().clone()));
    }
    let rows = Spi::connect(|client| {
        client
            .select(
                "select r.kind, r.pattern, r.meaning from marketing_automation.bounce_rule r
                 where r.is_enabled order by r.kind, r.pattern",
                None,
                &[],
            )?
            .map(|row| {
                let text = |column| row.get::<String>(column).map(Option::unwrap_or_default);
                Ok([text(1)?, text(2)?, text(3)?])
            })
            .collect::<spi::Result<Vec<_>>>()
    })?;
    let rules = rows
        .iter()
        .map(|[kind, pattern, meaning]| Rule::parse(kind, pattern, meaning));
    let rules = rules
        .collect::<Result<Vec<_>, _>>()
        .and_then(Rules::new)
        .map_err(|error| format!("marketing_automation.bounce_rule: {error}"));
    Ok(rules)
}
