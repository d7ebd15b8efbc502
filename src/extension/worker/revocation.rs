//! Revocations in shared memory, which keeps the last number of each bucket: see [`crate::delivery::revocation`]. A look costs
//! some reads of memory.
//!
//! A revocation is counted after its commit has become visible and before the client hears of it. So a sender that does not
//! find it began to send before anybody was told of the commit, and a claim that read its number sees the commit.

use std::cell::RefCell;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

use pgrx::prelude::*;
use pgrx::{PGRXSharedMemory, PgAtomic, pg_shmem_init};

use super::on_commit::{Pending, on_commit};
use crate::delivery::revocation::{Revocations, Subject};

/// They take 32 KB. Hundreds of revocations a second give one claimed mail in ten thousand back in vain.
const BUCKETS: usize = 4096;

struct Table {
    count: AtomicU64,
    last: [AtomicU64; BUCKETS],
}

// SAFETY: atomics without pointers.
unsafe impl PGRXSharedMemory for Table {}

// SAFETY: initialised by pg_shmem_init! before any use: see registry::preloaded().
static REVOCATIONS: PgAtomic<Table> = unsafe { PgAtomic::new(c"marketing_automation revocations") };

/// Reserves the shared memory; only while the postmaster preloads libraries.
pub(in crate::extension) fn init() {
    pg_shmem_init!(
        REVOCATIONS = Table {
            count: AtomicU64::new(0),
            last: [const { AtomicU64::new(0) }; BUCKETS],
        }
    );
}

/// The bucket of a key in the current database.
fn bucket(subject: Subject, key: &str) -> usize {
    // SAFETY: a plain variable of the process.
    let database = unsafe { pg_sys::MyDatabaseId }.to_u32();
    let mut hasher = DefaultHasher::new();
    (database, subject, key).hash(&mut hasher);
    hasher.finish() as usize % BUCKETS
}

/// What a mailer of this server reads; any of its threads may.
pub(super) struct SharedMemory;

impl Revocations for SharedMemory {
    fn count(&self) -> u64 {
        REVOCATIONS.get().count.load(Ordering::SeqCst)
    }

    fn bucket(&self, subject: Subject, key: &str) -> usize {
        bucket(subject, key)
    }

    fn forbids(&self, _mail: i64, count: u64, buckets: &[usize]) -> bool {
        let last = &REVOCATIONS.get().last;
        buckets
            .iter()
            .any(|bucket| last[*bucket].load(Ordering::SeqCst) > count)
    }
}

thread_local! {
    /// Buckets that this transaction revokes when it commits.
    static REVOKED: RefCell<Pending<usize>> = RefCell::default();
}

fn publish(buckets: HashSet<usize>) {
    let shared = REVOCATIONS.get();
    let number = shared.count.fetch_add(1, Ordering::SeqCst) + 1;
    for bucket in buckets {
        shared.last[bucket].fetch_max(number, Ordering::SeqCst);
    }
}

/// Revokes the claims of a key when, and only if, the current transaction commits.
pub(in crate::extension) fn revoke_on_commit(subject: Subject, key: &str) {
    on_commit(&REVOKED, bucket(subject, key), publish);
}
