//! Turns, whose queries of users share one limit of time.

use pgrx::prelude::*;

use crate::extension::time_limit::turn;

/// Begins a turn within another one or by itself; it ends by [`end_turn`], or with what is rolled back.
#[pg_extern(sql = false)]
fn begin_turn() {
    turn::begin();
}

/// Ends the turn that began last.
#[pg_extern(sql = false)]
fn end_turn() {
    turn::end();
}

/// The share of its time that the turn has left; null: it has no limit.
#[pg_extern(sql = false)]
fn turn_left() -> Option<f64> {
    turn::left()
}
