//! The keys that sign and verify tokens, as the database holds them.

use std::cell::OnceCell;

use pgrx::prelude::*;
use pgrx::spi::OwnedPreparedStatement;

use crate::tracking::token::Keyring;

const KEYS: &str =
    "select id, secret from marketing_automation_internal.valid_tracking_key order by position";

thread_local! {
    /// The query of `keyring()`, for the life of the backend: planning it for each batch of hits would cost more than
    /// running it. PostgreSQL plans it again when what it depends on changes.
    static KEYS_PLAN: OnceCell<&'static OwnedPreparedStatement> = const { OnceCell::new() };
}

/// The key ring, the signing key first; None while no key has been made.
pub(super) fn keyring() -> spi::Result<Option<Keyring>> {
    let keys = Spi::connect(|client| {
        let plan = match KEYS_PLAN.with(|place| place.get().copied()) {
            Some(plan) => plan,
            None => {
                let plan = Box::leak(Box::new(client.prepare(KEYS, &[])?.keep()));
                KEYS_PLAN.with(|place| *place.get_or_init(|| plan))
            }
        };
        client
            .select(plan, None, &[])?
            .map(|row| Ok((row.get::<i16>(1)?, row.get::<Vec<u8>>(2)?)))
            .collect::<spi::Result<Vec<_>>>()
    })?;
    let keys = keys
        .into_iter()
        // The table's constraints promise ids of one byte and secrets of 32.
        .filter_map(|(id, secret)| {
            Some((u8::try_from(id?).ok()?, <[u8; 32]>::try_from(secret?).ok()?))
        })
        .collect();
    Ok(Keyring::new(keys))
}
