//! How much of a watched table the current transaction has written: beyond some thousand rows it says "all", and nothing more.

use std::cell::RefCell;

use pgrx::prelude::*;

/// So many rows of a statement, or of a transaction in all, have their keys kept; reading all rows of the table costs less then.
pub(super) const MOST_ROWS: i64 = 10_000;

/// What a transaction has written of one watched table.
struct Written {
    watch: i32,
    rows: i64,
    /// The part of the transaction that has said "all": as long as that goes on, it has not been undone.
    marked_in: Option<pg_sys::SubTransactionId>,
}

#[derive(Default)]
struct Transaction {
    id: u64,
    tables: Vec<Written>,
}

thread_local! {
    static CURRENT: RefCell<Transaction> = RefCell::default();
}

/// What to do about rows that a transaction has written.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decision {
    KeepKeys,
    SayAll,
    HasSaidAll,
}

impl Transaction {
    fn decide(
        &mut self,
        id: u64,
        part: pg_sys::SubTransactionId,
        watch: i32,
        rows: i64,
    ) -> Decision {
        if self.id != id {
            self.id = id;
            self.tables.clear();
        }
        let at = match self.tables.iter().position(|table| table.watch == watch) {
            Some(at) => at,
            None => {
                self.tables.push(Written {
                    watch,
                    rows: 0,
                    marked_in: None,
                });
                self.tables.len() - 1
            }
        };
        let table = &mut self.tables[at];
        if table.marked_in == Some(part) {
            return Decision::HasSaidAll;
        }
        // Rows that are undone later count, too: that is a statement more that says "all", at worst.
        table.rows = table.rows.saturating_add(rows);
        if table.rows <= MOST_ROWS {
            return Decision::KeepKeys;
        }
        table.marked_in = Some(part);
        Decision::SayAll
    }
}

/// Decides about `rows` rows more of a watched table that the current transaction, whose full id is `id`, has written.
pub(super) fn decide(id: u64, watch: i32, rows: i64) -> Decision {
    // SAFETY: a read of the transaction's state, on the main thread.
    let part = unsafe { pg_sys::GetCurrentSubTransactionId() };
    CURRENT.with_borrow_mut(|transaction| transaction.decide(id, part, watch, rows))
}

/// The next rows of the table say "all" whatever was decided: it could not be written.
pub(super) fn forget(watch: i32) {
    CURRENT.with_borrow_mut(|transaction| {
        for table in &mut transaction.tables {
            if table.watch == watch {
                table.marked_in = None;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_that_writes_much_says_all_once() {
        let mut transaction = Transaction::default();
        assert_eq!(transaction.decide(7, 1, 1, MOST_ROWS), Decision::KeepKeys);
        assert_eq!(transaction.decide(7, 1, 2, 1), Decision::KeepKeys);
        assert_eq!(transaction.decide(7, 1, 1, 1), Decision::SayAll);
        assert_eq!(transaction.decide(7, 1, 1, 5), Decision::HasSaidAll);
        // A part of it that may be undone, and what follows.
        assert_eq!(transaction.decide(7, 2, 1, 1), Decision::SayAll);
        assert_eq!(transaction.decide(7, 1, 1, 1), Decision::SayAll);
        assert_eq!(transaction.decide(8, 1, 1, 1), Decision::KeepKeys);
    }
}
