//! Revocations: commits that forbid mails which a mailer has claimed already (a block, an unsubscription, a suppressed
//! address, a stopped scenario, a pause). Each revocation has a number, and shared memory keeps the last number of each bucket of
//! records, parties, addresses and activities. Before a mail goes to the SMTP server, its sender compares the numbers of the
//! mail's buckets with the last number at the time of the claim, which costs some reads of memory. When one is newer, the mail is
//! given back, and the next claim says why it must not leave, or claims it again: another key may be in the same bucket.
//!
//! A revocation is counted after its commit has become visible and before the client hears of it. So a sender that does not
//! find it began to send before anybody was told of the commit, and a claim that read its number sees the commit.

use std::cell::RefCell;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

use pgrx::prelude::*;
use pgrx::{
    PGRXSharedMemory, PgAtomic, PgXactCallbackEvent, pg_shmem_init, register_xact_callback,
};

/// They take 32 KB. Hundreds of revocations a second give one claimed mail in ten thousand back in vain.
const BUCKETS: usize = 4096;

/// What a commit may forbid the mails of. The triggers in sql/functions/revocation.sql name these kinds; a word that is none of
/// them is an error there, since the mails that it meant would leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::extension) enum Subject {
    Record,
    Party,
    /// A mail address, by its hash.
    Address,
    Activity,
    /// Every mail of the database.
    All,
}

impl Subject {
    pub(in crate::extension) const NAMES: [(Subject, &str); 5] = [
        (Subject::Record, "record"),
        (Subject::Party, "party"),
        (Subject::Address, "address"),
        (Subject::Activity, "activity"),
        (Subject::All, "all"),
    ];

    pub(in crate::extension) fn named(name: &str) -> Option<Self> {
        let mut names = Self::NAMES.iter();
        names.find(|of| of.1 == name).map(|of| of.0)
    }
}

struct Revocations {
    count: AtomicU64,
    last: [AtomicU64; BUCKETS],
}

// SAFETY: atomics without pointers.
unsafe impl PGRXSharedMemory for Revocations {}

// SAFETY: initialised by pg_shmem_init! before any use: see registry::preloaded().
static REVOCATIONS: PgAtomic<Revocations> =
    unsafe { PgAtomic::new(c"marketing_automation revocations") };

/// Reserves the shared memory; only while the postmaster preloads libraries.
pub(in crate::extension) fn init() {
    pg_shmem_init!(
        REVOCATIONS = Revocations {
            count: AtomicU64::new(0),
            last: [const { AtomicU64::new(0) }; BUCKETS],
        }
    );
}

/// How many revocations there have been; read before the snapshot of a claim.
pub(in crate::extension) fn count() -> u64 {
    REVOCATIONS.get().count.load(Ordering::SeqCst)
}

/// The bucket of a key in the current database.
pub(in crate::extension) fn bucket(subject: Subject, key: &str) -> usize {
    // SAFETY: a plain variable of the process.
    let database = unsafe { pg_sys::MyDatabaseId }.to_u32();
    let mut hasher = DefaultHasher::new();
    (database, subject, key).hash(&mut hasher);
    hasher.finish() as usize % BUCKETS
}

/// Whether one of the buckets had a revocation after the one with this number. Any thread of a mailer may ask.
pub(in crate::extension) fn any_since(count: u64, buckets: &[usize]) -> bool {
    let last = &REVOCATIONS.get().last;
    buckets
        .iter()
        .any(|bucket| last[*bucket].load(Ordering::SeqCst) > count)
}

thread_local! {
    /// Buckets that this transaction revokes when it commits.
    static REVOKED: RefCell<HashSet<usize>> = RefCell::default();
}

fn publish() {
    let shared = REVOCATIONS.get();
    let number = shared.count.fetch_add(1, Ordering::SeqCst) + 1;
    for bucket in REVOKED.take() {
        shared.last[bucket].fetch_max(number, Ordering::SeqCst);
    }
}

/// Revokes the claims of a key when, and only if, the current transaction commits.
pub(in crate::extension) fn revoke_on_commit(subject: Subject, key: &str) {
    let is_first = REVOKED.with_borrow_mut(|revoked| {
        let is_first = revoked.is_empty();
        revoked.insert(bucket(subject, key));
        is_first
    });
    if is_first {
        register_xact_callback(PgXactCallbackEvent::Commit, publish);
        register_xact_callback(PgXactCallbackEvent::Abort, || REVOKED.take().clear());
    }
}
