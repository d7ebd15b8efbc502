//! A time limit of its own for user SQL, with an error that the caller can tell from a cancelled statement.
//!
//! `statement_timeout` is for the whole statement of the client, and what it raises is a cancel, which no `when others` catches. So
//! a timer of PostgreSQL interrupts the query as a cancel does, and the cancel that it caused becomes an error of class 53
//! (insufficient resources) on its way out. A cancel by a person, or by the caller's `statement_timeout`, stays what it is.
//!
//! Of what the caller's `statement_timeout` leaves, user SQL gets half at most: so there is time left to record that it was too
//! slow, and for others.

mod ended;
mod limit;
mod refusal;
pub(super) mod turn;

use std::cell::Cell;
use std::ffi::c_int;
use std::panic::AssertUnwindSafe;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

pub(super) use self::limit::bound;
use self::limit::{clock, limit_at};

/// A number from USER_TIMEOUT (12 in PostgreSQL 15, 13 in 17) on asks for the next free timer.
const ANY_USER_TIMEOUT: c_int = 64;
/// How often the timer fires again: a function may have caught the cancel, and have gone on (see [`refusal`]).
const AGAIN_MS: c_int = 1000;

// utils/timeout.h and storage/latch.h. Apart from a lack of timers, which is FATAL, none of these raises an error. SetLatch is
// declared here since pgrx's guard around it must not run in a signal handler.
unsafe extern "C-unwind" {
    fn RegisterTimeout(id: c_int, handler: extern "C-unwind" fn()) -> c_int;
    fn enable_timeout_every(id: c_int, first: pg_sys::TimestampTz, delay_ms: c_int);
    fn disable_timeout(id: c_int, keep_indicator: bool);
    fn SetLatch(latch: *mut pg_sys::Latch);
}

thread_local! {
    /// The timer of this process, once it has one.
    static TIMER: Cell<Option<c_int>> = const { Cell::new(None) };
    /// Whether user SQL runs: what it calls has no limit of its own.
    static RUNNING: Cell<bool> = const { Cell::new(false) };
}
/// Whether the timer has fired.
static FIRED: AtomicBool = AtomicBool::new(false);
/// When the limit is over, in microseconds of [`steady_us`]. PostgreSQL's timers go by the clock of the day, and fire at once when
/// that is set forward.
static DUE_US: AtomicU64 = AtomicU64::new(0);

/// Microseconds of a clock that nobody sets.
fn steady_us() -> u64 {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    let passed = BEGAN.get_or_init(Instant::now).elapsed().as_micros();
    u64::try_from(passed).unwrap_or(u64::MAX)
}

/// Sets when the limit is over. Clocks that are being adjusted differ by less than a hundredth.
fn set_due(milliseconds: i32) {
    let limit = Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0)).as_micros() as u64;
    DUE_US.store(steady_us() + limit / 100 * 99, Ordering::Relaxed);
}

extern "C-unwind" fn fire() {
    // It fires again after AGAIN_MS.
    if steady_us() < DUE_US.load(Ordering::Relaxed) {
        return;
    }
    // SAFETY: what PostgreSQL's own handlers do; plain variables and a latch, in a signal handler.
    unsafe {
        // A cancel that is under way is somebody else's.
        if pg_sys::QueryCancelPending == 0 {
            if FIRED.swap(true, Ordering::Relaxed) {
                refusal::note();
            }
            pg_sys::QueryCancelPending = 1;
            pg_sys::InterruptPending = 1;
        }
        SetLatch(pg_sys::MyLatch);
    }
}

/// Runs `body` under the limit; an error of class 53 when it takes longer.
pub(super) fn limited<R>(body: impl FnOnce() -> R) -> R {
    let (now, deadline) = clock();
    if RUNNING.get() {
        return body();
    }
    let began = Instant::now();
    let turn = turn::current();
    // What the error tells is the whole limit, and not what was left of it.
    let (milliseconds, whole, of_caller) = match (limit_at(now, deadline), turn) {
        (Some((own, _)), Some(turn)) if turn.left_ms() <= own => {
            (turn.left_ms(), turn.limit_ms, turn.of_caller)
        }
        (Some((own, of_caller)), _) => (own, own, of_caller),
        (None, _) => return body(),
    };
    if milliseconds == 0 {
        too_slow(whole, of_caller);
    }
    let timer = TIMER.get().unwrap_or_else(|| {
        // SAFETY: on the main thread of a process that PostgreSQL has set up.
        let timer = unsafe { RegisterTimeout(ANY_USER_TIMEOUT, fire) };
        TIMER.set(Some(timer));
        ended::watch(end_late);
        timer
    });
    FIRED.store(false, Ordering::Relaxed);
    refusal::begin();
    set_due(milliseconds);
    RUNNING.set(true);
    // SAFETY: a registered timer; every path disables it.
    unsafe { enable_timeout_every(timer, now + i64::from(milliseconds) * 1000, AGAIN_MS) };
    PgTryBuilder::new(AssertUnwindSafe(|| {
        let result = body();
        stop(timer);
        turn::spend(turn, began);
        result
    }))
    .catch_others(|error| {
        stop(timer);
        turn::spend(turn, began);
        // SAFETY: a read of the clock.
        let of_statement =
            deadline.is_some_and(|at| at <= unsafe { pg_sys::GetCurrentTimestamp() });
        let cancelled = match &error {
            pg_sys::panic::CaughtError::PostgresError(report)
            | pg_sys::panic::CaughtError::ErrorReport(report)
            | pg_sys::panic::CaughtError::RustPanic {
                ereport: report, ..
            } => report.sql_error_code() == PgSqlErrorCode::ERRCODE_QUERY_CANCELED,
        };
        if cancelled && FIRED.load(Ordering::Relaxed) && !of_statement {
            too_slow(whole, of_caller);
        }
        error.rethrow()
    })
    .execute()
}

/// Ends the limit of user SQL that runs although its time is over; false: none does.
fn end_late() -> bool {
    let is_late = RUNNING.get() && FIRED.load(Ordering::Relaxed);
    if let Some(timer) = TIMER.get().filter(|_| is_late) {
        stop(timer);
    }
    is_late
}

/// Ends the limit; a cancel that it asked for and that nobody has seen yet is not for what comes after.
fn stop(timer: c_int) {
    RUNNING.set(false);
    // SAFETY: a registered timer; a plain variable.
    unsafe {
        disable_timeout(timer, false);
        refusal::end();
        if FIRED.load(Ordering::Relaxed) {
            pg_sys::QueryCancelPending = 0;
        }
    }
}

fn too_slow(milliseconds: i32, of_caller: bool) -> ! {
    let seconds = f64::from(milliseconds) / 1000.0;
    ErrorReport::new(
        PgSqlErrorCode::ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
        format!("expressions took longer than {seconds} s"),
        "limited",
    )
    .set_detail(if of_caller {
        "That is half of what statement_timeout of the caller left."
    } else {
        "That is the limit marketing_automation.expression_timeout, or what a mailer allows."
    })
    .set_hint("Make the expressions cheaper, by an index for instance, or raise the limit.")
    .report(PgLogLevel::ERROR);
    unreachable!("an ERROR does not return")
}

#[cfg(any(test, feature = "pg_test"))]
#[pg_schema]
mod tests {
    use super::*;

    /// The SQLSTATE with which `query` ends as an owner's, within a block that catches what it can; null: none.
    fn state_of(query: &str) -> Option<String> {
        Spi::run(
            "create or replace function pg_temp.state_of(query text) returns text language plpgsql as $$
             begin
                 perform from marketing_automation_internal.query_as_owner(quote_ident(current_user)::regrole, 'pg_class', query, null) as q (x text);
                 return null;
             exception when others then
                 return sqlstate;
             end $$",
        )
        .expect("created");
        Spi::get_one_with_args::<String>("select pg_temp.state_of($1)", &[query.into()])
            .expect("called")
    }

    #[pg_test]
    fn what_takes_too_long_ends_with_an_error_that_can_be_caught() {
        Spi::run("set local marketing_automation.expression_timeout = '50ms'").expect("set");
        for query in [
            "select pg_sleep(30)::text",
            "select count(*)::text from generate_series(1, 1000000000) a, generate_series(1, 10) b",
        ] {
            assert_eq!(state_of(query).as_deref(), Some("53400"), "{query}");
        }
        assert_eq!(state_of("select 1::text"), None);
        // Nothing is left of it.
        assert_eq!(
            Spi::get_one::<i32>("select 1 from pg_sleep(0.2)"),
            Ok(Some(1))
        );
    }

    #[pg_test]
    fn a_function_that_catches_the_cancel_once_is_cancelled_again() {
        Spi::run(
            "set local marketing_automation.expression_timeout = '50ms';
             create schema stubborn;
             create function stubborn.f() returns text language plpgsql as $$
             begin
                 begin perform pg_sleep(30); exception when query_canceled then null; end;
                 perform pg_sleep(30);
                 return 'done';
             end $$",
        )
        .expect("set up");
        assert_eq!(state_of("select stubborn.f()").as_deref(), Some("53400"));
    }

    #[pg_test]
    fn a_function_that_catches_every_cancel_ends_at_the_second() {
        Spi::run(
            "set local marketing_automation.expression_timeout = '50ms';
             create schema stubborn;
             create function stubborn.g() returns text language plpgsql as $$
             begin
                 loop
                     begin
                         loop
                             begin perform pg_sleep(30); exception when query_canceled or others then null; end;
                         end loop;
                     exception when query_canceled or others then perform pg_sleep(30);
                     end;
                 end loop;
             end $$;
             create function stubborn.f() returns text language plpgsql as $$
             begin
                 loop
                     begin perform stubborn.g(); exception when query_canceled then continue; end;
                 end loop;
             end $$",
        )
        .expect("set up");
        assert_eq!(state_of("select stubborn.f()").as_deref(), Some("53400"));
        // Functions of others run as before.
        assert_eq!(state_of("select 1::text"), None);
        assert_eq!(
            Spi::get_one::<i32>("select 1 from pg_sleep(0.2)"),
            Ok(Some(1))
        );
    }

    #[pg_test]
    fn waiting_for_a_lock_has_a_limit_of_its_own() {
        Spi::run("set local marketing_automation.expression_lock_timeout = '123ms'; set local lock_timeout = 0").expect("set");
        let inside = "select current_setting('lock_timeout')";
        let seen = |query: &str| {
            Spi::get_one_with_args::<String>(
                "select q.x from marketing_automation_internal.query_as_owner(quote_ident(current_user)::regrole, 'pg_class', $1, null) as q (x text)",
                &[query.into()],
            )
        };
        assert_eq!(seen(inside), Ok(Some("123ms".to_owned())));
        Spi::run("set local lock_timeout = '7ms'").expect("set");
        assert_eq!(seen(inside), Ok(Some("7ms".to_owned())));
        assert_eq!(Spi::get_one::<String>(inside), Ok(Some("7ms".to_owned())));
    }
}
