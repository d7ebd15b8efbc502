//! The nearest of several names, for the hint of an error about a name that does not exist.

use std::ffi::{c_char, c_int};

use pgrx::prelude::*;

/// How many letters may differ, as for the columns that PostgreSQL itself hints at.
const MAX_DISTANCE: c_int = 3;

/// Letters to insert, delete or replace to make one name of the other; some number above [`MAX_DISTANCE`] if there are more.
fn distance(one: &str, other: &str) -> c_int {
    let length = |text: &str| c_int::try_from(text.len()).unwrap_or(c_int::MAX);
    // SAFETY: two buffers with their lengths. `trusted` lifts the limit of 255 letters, which protects from the cost of
    // the full matrix: with a maximum distance only a diagonal of it is computed.
    unsafe {
        pg_sys::varstr_levenshtein_less_equal(
            one.as_ptr().cast::<c_char>(),
            length(one),
            other.as_ptr().cast::<c_char>(),
            length(other),
            1,
            1,
            1,
            MAX_DISTANCE,
            true,
        )
    }
}

/// The name that differs least from `name`; None if all differ by more than three letters or half of them.
#[pg_extern(sql = false)]
fn nearest_name(name: &str, names: Vec<Option<String>>) -> Option<String> {
    let letters = c_int::try_from(name.chars().count()).unwrap_or(c_int::MAX);
    let limit = MAX_DISTANCE.min(letters / 2);
    names
        .into_iter()
        .flatten()
        .map(|candidate| (distance(name, &candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
