//! The snippets that templates include, as the database holds them.

use pgrx::prelude::*;

use crate::mail::template::Snippets;

/// All snippets, as the current snapshot shows them.
pub(super) fn snippets() -> spi::Result<Snippets> {
    Spi::connect(|client| {
        let mut snippets = Snippets::default();
        for row in client.select(
            "select name, language, body from marketing_automation.snippet",
            None,
            &[],
        )? {
            if let (Some(name), Some(language), Some(body)) = (
                row.get::<String>(1)?,
                row.get::<String>(2)?,
                row.get::<String>(3)?,
            ) {
                snippets.add(&name, &language, body);
            }
        }
        Ok(snippets)
    })
}
