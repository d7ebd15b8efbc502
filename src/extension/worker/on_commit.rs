//! What is to happen when, and only if, the current transaction commits, without what was asked for in parts of it that were rolled
//! back: a rehearsal queues mails and ends journeys in such a part, and nobody is to be woken for them.

use std::cell::RefCell;
use std::collections::HashSet;
use std::hash::Hash;
use std::thread::LocalKey;

use pgrx::prelude::*;
use pgrx::{
    PgSubXactCallbackEvent, PgXactCallbackEvent, register_subxact_callback, register_xact_callback,
};

/// What the current transaction has asked for, by the subtransaction that did.
pub(super) struct Pending<T> {
    /// Each is part of the one before it; none is empty.
    parts: Vec<(pg_sys::SubTransactionId, HashSet<T>)>,
    is_registered: bool,
}

impl<T> Default for Pending<T> {
    fn default() -> Self {
        Self {
            parts: Vec::new(),
            is_registered: false,
        }
    }
}

impl<T: Eq + Hash> Pending<T> {
    fn insert(&mut self, part: pg_sys::SubTransactionId, item: T) {
        if self.parts.iter().any(|(_, items)| items.contains(&item)) {
            return;
        }
        match self.parts.last_mut() {
            Some((last, items)) if *last == part => {
                items.insert(item);
            }
            _ => self.parts.push((part, HashSet::from([item]))),
        }
    }

    fn rolled_back(&mut self, part: pg_sys::SubTransactionId) {
        self.parts.pop_if(|(last, _)| *last == part);
    }

    fn committed(&mut self, part: pg_sys::SubTransactionId, parent: pg_sys::SubTransactionId) {
        let Some((_, items)) = self.parts.pop_if(|(last, _)| *last == part) else {
            return;
        };
        match self.parts.last_mut() {
            Some((last, of_parent)) if *last == parent => of_parent.extend(items),
            _ => self.parts.push((parent, items)),
        }
    }

    fn into_items(self) -> HashSet<T> {
        self.parts
            .into_iter()
            .flat_map(|(_, items)| items)
            .collect()
    }
}

/// Has `publish` called with `item`, and all others that the transaction asks for, after it has committed.
pub(super) fn on_commit<T: Eq + Hash + 'static>(
    pending: &'static LocalKey<RefCell<Pending<T>>>,
    item: T,
    publish: fn(HashSet<T>),
) {
    // SAFETY: a read of the transaction's state, on the main thread.
    let part = unsafe { pg_sys::GetCurrentSubTransactionId() };
    let was_registered = pending.with_borrow_mut(|pending| {
        pending.insert(part, item);
        std::mem::replace(&mut pending.is_registered, true)
    });
    if was_registered {
        return;
    }
    register_xact_callback(PgXactCallbackEvent::Commit, move || {
        let items = pending.take().into_items();
        if !items.is_empty() {
            publish(items);
        }
    });
    register_xact_callback(PgXactCallbackEvent::Abort, move || drop(pending.take()));
    register_subxact_callback(PgSubXactCallbackEvent::AbortSub, move |part, _| {
        pending.with_borrow_mut(|pending| pending.rolled_back(part));
    });
    register_subxact_callback(PgSubXactCallbackEvent::CommitSub, move |part, parent| {
        pending.with_borrow_mut(|pending| pending.committed(part, parent));
    });
}

#[cfg(any(test, feature = "pg_test"))]
#[pg_schema]
mod tests {
    use super::*;

    thread_local! {
        static PENDING: RefCell<Pending<&'static str>> = RefCell::default();
    }

    /// What is left of it in the order of the alphabet.
    fn left() -> Vec<&'static str> {
        PENDING.with_borrow(|pending| {
            let mut items: Vec<_> = pending
                .parts
                .iter()
                .flat_map(|(_, items)| items.iter().copied())
                .collect();
            items.sort_unstable();
            items
        })
    }

    /// Asks for something within `depth` parts of the transaction, of which the outermost that is `rolled_back` is undone.
    fn ask(item: &'static str, outcomes: &[bool]) {
        // SAFETY: parts of a transaction, each ended, within a test of its own.
        unsafe {
            for _ in outcomes {
                pg_sys::BeginInternalSubTransaction(std::ptr::null());
            }
            on_commit(&PENDING, item, |_| ());
            for commits in outcomes {
                if *commits {
                    pg_sys::ReleaseCurrentSubTransaction();
                } else {
                    pg_sys::RollbackAndReleaseCurrentSubTransaction();
                }
            }
        }
    }

    #[pg_test]
    fn what_a_part_that_is_rolled_back_has_asked_for_is_forgotten() {
        ask("of a part", &[false]);
        assert!(left().is_empty());
        ask("of a part within", &[true, false]);
        assert!(left().is_empty());
        ask("kept", &[true, true]);
        assert_eq!(left(), ["kept"]);
        ask("kept", &[false]);
        ask("undone", &[true, false]);
        assert_eq!(left(), ["kept"]);
        ask("of the whole", &[]);
        ask("undone", &[false]);
        assert_eq!(left(), ["kept", "of the whole"]);
    }
}
