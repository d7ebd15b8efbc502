//! Turns: the queries of one (enrolling a scenario, a batch of an activity) share one limit of time, since the search for rows that
//! raise runs many of them, each of which is quick enough by itself.

use std::cell::RefCell;
use std::ffi::CStr;

use pgrx::prelude::*;

use super::limit::{clock, limit_at};
use crate::extension::settings;

/// The setting with the number of the turn that is under way. A setting, as it goes back with what is rolled back.
const TURN: &CStr = c"marketing_automation.turn";

thread_local! {
    /// Turns that have begun, the outer ones first.
    static TURNS: RefCell<Vec<Turn>> = const { RefCell::new(Vec::new()) };
}

#[derive(Clone, Copy)]
pub(super) struct Turn {
    number: i32,
    /// i32::MAX: none.
    pub(super) limit_ms: i32,
    /// Whether the limit is because of the caller's `statement_timeout`.
    pub(super) of_caller: bool,
    spent_us: i64,
}

impl Turn {
    pub(super) fn left_ms(self) -> i32 {
        let left = i64::from(self.limit_ms) - self.spent_us / 1000;
        i32::try_from(left.max(0)).unwrap_or(i32::MAX)
    }
}

/// The turn that is under way.
pub(super) fn current() -> Option<Turn> {
    let number = settings::turn()?;
    TURNS.with_borrow(|turns| turns.iter().find(|turn| turn.number == number).copied())
}

/// Begins a turn: its queries have one limit together, until it ends, or the transaction or its part that is rolled back.
pub(in crate::extension) fn begin() {
    let (now, deadline) = clock();
    let (limit_ms, of_caller) = limit_at(now, deadline).unwrap_or((i32::MAX, false));
    let outer = settings::turn();
    let number = TURNS.with_borrow_mut(|turns| {
        turns.retain(|turn| Some(turn.number) <= outer);
        let number = turns.last().map_or(1, |turn| turn.number + 1);
        turns.push(Turn {
            number,
            limit_ms,
            of_caller,
            spent_us: 0,
        });
        number
    });
    set(Some(number));
}

/// Ends the turn that began last; an outer one goes on.
pub(in crate::extension) fn end() {
    let outer = settings::turn().and_then(|number| {
        TURNS.with_borrow(|turns| {
            let mut numbers = turns.iter().map(|turn| turn.number);
            numbers.rfind(|outer| *outer < number)
        })
    });
    set(outer);
}

/// The share of its time that the turn has left; None: it has no limit.
pub(in crate::extension) fn left() -> Option<f64> {
    current()
        .filter(|turn| turn.limit_ms < i32::MAX)
        .map(|turn| f64::from(turn.left_ms()) / f64::from(turn.limit_ms))
}

fn set(number: Option<i32>) {
    settings::set_local(TURN, number.map(|number| number.to_string()));
}

/// Counts what a query has taken into its turn.
pub(super) fn spend(turn: Option<Turn>, began: pg_sys::TimestampTz) {
    if let Some(turn) = turn {
        // SAFETY: a read of the clock.
        let took = unsafe { pg_sys::GetCurrentTimestamp() } - began;
        TURNS.with_borrow_mut(|turns| {
            if let Some(turn) = turns.iter_mut().find(|other| other.number == turn.number) {
                turn.spent_us += took.max(0);
            }
        });
    }
}
