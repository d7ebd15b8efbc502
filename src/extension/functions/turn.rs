//! Turns, whose queries of users share one limit of time.

use pgrx::prelude::*;

use crate::extension::time_limit::turn::{self, Work};

/// Begins a turn within another one or by itself; it ends by [`end_turn`], or with what is rolled back.
#[pg_extern(sql = false)]
fn begin_turn() {
    turn::begin();
}

/// Begins a turn; all that one statement of the client begins so share one limit.
#[pg_extern(sql = false)]
fn begin_statement_turn() {
    turn::begin_for_statement();
}

/// Says whose expressions the turn asks from here on, and what for, in case that they end the connection.
#[pg_extern(sql = false)]
fn turn_asks(scenario_id: i32, work: &str, activity_id: i32) {
    turn::asks(Work {
        scenario_id,
        name: work.to_owned(),
        activity_id,
    });
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
