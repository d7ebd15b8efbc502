//! Turns: the queries of one (enrolling a scenario, a batch of an activity) share one limit of time, since the search for rows that
//! raise runs many of them, each of which is quick enough by itself.

use std::cell::{Cell, RefCell};
use std::ffi::CStr;
use std::time::Instant;

use pgrx::prelude::*;

use super::limit::{clock, limit_at};
use crate::extension::settings;

/// The setting with the number of the turn that is under way. A setting, as it goes back with what is rolled back.
const TURN: &CStr = c"marketing_automation.turn";

thread_local! {
    /// Turns that have begun, the outer ones first.
    static TURNS: RefCell<Vec<Turn>> = const { RefCell::new(Vec::new()) };
    /// When the last statement began whose turns share a limit, and what these have spent.
    static STATEMENT: Cell<(pg_sys::TimestampTz, i64)> = const { Cell::new((0, 0)) };
    /// Whose expressions the turn of this number asks.
    static WORK: RefCell<Option<(i32, Work)>> = const { RefCell::new(None) };
}

/// Whose expressions a turn asks, and what for, in the words of `turn_ended()`; 0: no activity.
#[derive(Clone)]
pub(in crate::extension) struct Work {
    pub(in crate::extension) scenario_id: i32,
    pub(in crate::extension) name: String,
    pub(in crate::extension) activity_id: i32,
}

#[derive(Clone, Copy)]
pub(super) struct Turn {
    number: i32,
    /// i32::MAX: none.
    pub(super) limit_ms: i32,
    /// Whether the limit is because of the caller's `statement_timeout`.
    pub(super) of_caller: bool,
    spent_us: i64,
    /// When the statement began with whose other turns it shares its limit.
    statement: Option<pg_sys::TimestampTz>,
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
    begin_with(None, 0);
}

/// Begins a turn that has the limit together with the others which the same statement of the client begins so.
pub(in crate::extension) fn begin_for_statement() {
    // SAFETY: a read of a variable.
    let statement = unsafe { pg_sys::GetCurrentStatementStartTimestamp() };
    let (last, spent_us) = STATEMENT.get();
    begin_with(
        Some(statement),
        if last == statement { spent_us } else { 0 },
    );
}

fn begin_with(statement: Option<pg_sys::TimestampTz>, spent_us: i64) {
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
            spent_us,
            statement,
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

/// Says whose expressions the turn asks from here on.
pub(in crate::extension) fn asks(work: Work) {
    WORK.set(settings::turn().map(|number| (number, work)));
}

/// Whose expressions the turn asks; None: nobody has said.
pub(super) fn asked() -> Option<Work> {
    let number = settings::turn()?;
    WORK.with_borrow(|asked| {
        asked
            .as_ref()
            .filter(|(of, _)| *of == number)
            .map(|(_, work)| work.clone())
    })
}

fn set(number: Option<i32>) {
    settings::set_local(TURN, number.map(|number| number.to_string()));
}

/// Counts what a query has taken into its turn, by a clock that nobody sets.
pub(super) fn spend(turn: Option<Turn>, began: Instant) {
    if let Some(turn) = turn {
        let took = i64::try_from(began.elapsed().as_micros()).unwrap_or(i64::MAX);
        TURNS.with_borrow_mut(|turns| {
            if let Some(turn) = turns.iter_mut().find(|other| other.number == turn.number) {
                turn.spent_us = turn.spent_us.saturating_add(took);
                if let Some(statement) = turn.statement {
                    STATEMENT.set((statement, turn.spent_us));
                }
            }
        });
    }
}
