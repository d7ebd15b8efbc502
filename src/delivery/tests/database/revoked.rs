//! Revocations in memory: who was blocked since a claim.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::delivery::clock::Time;
use crate::delivery::revocation::{Revocations, Subject};
use crate::delivery::tests::clock::ManualClock;

#[derive(Default)]
pub(super) struct Revoked {
    count: AtomicU64,
    last: Mutex<HashMap<usize, u64>>,
    /// It hears of nothing, and believes a claim for so long: what count() gives are milliseconds.
    deaf: Mutex<Option<(Arc<ManualClock>, Instant)>>,
}

impl Revoked {
    /// From now on it hears of nothing.
    pub(super) fn deafen(&self, clock: &Arc<ManualClock>) {
        *self.deaf.lock().unwrap() = Some((Arc::clone(clock), clock.now()));
    }

    /// Commits a block of a record.
    pub(super) fn block(&self, record: usize) {
        let number = self.count.fetch_add(1, Ordering::SeqCst) + 1;
        let bucket = self.bucket(Subject::Record, &record.to_string());
        self.last.lock().unwrap().insert(bucket, number);
    }

    fn age(&self) -> Option<u64> {
        let deaf = self.deaf.lock().unwrap();
        let age = |(clock, began): &(Arc<ManualClock>, Instant)| clock.now() - *began;
        deaf.as_ref()
            .map(age)
            .map(|age| u64::try_from(age.as_millis()).unwrap())
    }
}

impl Revocations for Revoked {
    fn count(&self) -> u64 {
        self.age()
            .unwrap_or_else(|| self.count.load(Ordering::SeqCst))
    }

    fn bucket(&self, subject: Subject, key: &str) -> usize {
        format!("{subject:?} {key}")
            .bytes()
            .fold(7, |sum: usize, byte| {
                sum.wrapping_mul(31).wrapping_add(byte.into())
            })
    }

    fn forbids(&self, _mail: i64, count: u64, buckets: &[usize]) -> bool {
        if let Some(now) = self.age() {
            return now - count > 1000;
        }
        let last = self.last.lock().unwrap();
        buckets
            .iter()
            .any(|bucket| last.get(bucket).is_some_and(|last| *last > count))
    }
}
