//! Revocations: commits that forbid mails which are claimed already (a block, an unsubscription, a suppressed address, a stopped
//! scenario, a pause). Each has a number, and each subject falls into a bucket that keeps the number of its last one. Before a
//! mail goes to a server, its sender compares the numbers of the mail's buckets with the last number at the time of the claim.
//! When one is newer, the mail is given back, and the next claim says why it must not leave, or claims it again: another key may
//! be in the same bucket.

use std::sync::Arc;

/// What a commit may forbid the mails of. The triggers in sql/functions/revocation.sql name these kinds; a word that is none of
/// them is an error there, since the mails that it meant would leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subject {
    Record,
    Party,
    /// A mail address, by its hash.
    Address,
    Activity,
    /// Every mail of the database.
    All,
}

impl Subject {
    pub const NAMES: [(Subject, &str); 5] = [
        (Subject::Record, "record"),
        (Subject::Party, "party"),
        (Subject::Address, "address"),
        (Subject::Activity, "activity"),
        (Subject::All, "all"),
    ];

    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let mut names = Self::NAMES.iter();
        names.find(|of| of.1 == name).map(|of| of.0)
    }
}

/// Where a process hears of revocations.
pub trait Revocations: Send + Sync {
    /// How many there have been; read before a claim takes its snapshot.
    fn count(&self) -> u64;

    /// The bucket of a key.
    fn bucket(&self, subject: Subject, key: &str) -> usize;

    /// Whether a mail of these buckets, claimed when there had been `count`, must not leave before it is claimed again.
    fn forbids(&self, mail: i64, count: u64, buckets: &[usize]) -> bool;
}

pub type SharedRevocations = Arc<dyn Revocations>;
