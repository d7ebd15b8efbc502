//! Cursors of queues. Rows that were taken from a queue stay in its index while an old snapshot sees them, and a search for the
//! first waiting row walks over all of them. So each process remembers where it found that row last, and the next search begins
//! there. A row that is committed late and belongs before the cursor is found by a full scan, which everybody makes from time
//! to time.

use std::cell::RefCell;
use std::collections::HashMap;

use pgrx::datum::TimestampWithTimeZone;
use pgrx::prelude::*;

/// Name of the queue, activity, queue of the domain.
type Queue = (String, i32, String);

thread_local! {
    static CURSORS: RefCell<HashMap<Queue, TimestampWithTimeZone>> = RefCell::default();
}

/// Where the first waiting row of a queue was found last.
#[pg_extern(sql = false)]
fn queue_cursor(queue: &str, activity_id: i32, domain_queue: &str) -> TimestampWithTimeZone {
    let key = (queue.to_owned(), activity_id, domain_queue.to_owned());
    CURSORS.with_borrow(|cursors| {
        cursors
            .get(&key)
            .copied()
            .unwrap_or_else(TimestampWithTimeZone::negative_infinity)
    })
}

/// Remembers where the first waiting row of a queue was found.
#[pg_extern(sql = false)]
fn set_queue_cursor(
    queue: &str,
    activity_id: i32,
    domain_queue: &str,
    at: TimestampWithTimeZone,
) -> TimestampWithTimeZone {
    let key = (queue.to_owned(), activity_id, domain_queue.to_owned());
    CURSORS.with_borrow_mut(|cursors| cursors.insert(key, at));
    at
}
