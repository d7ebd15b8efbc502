//! Where links lead, as far as is known. Links are stored once and change only when a person is forgotten whose address is
//! in them, or by an administrator's hand: what was seen stays true for a while, and is not kept for ever.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use quick_cache::Weighter;
use quick_cache::sync::Cache;

/// Of all addresses together.
const LIMIT_BYTES: u64 = 32 << 20;
/// What an entry costs beside its text.
const OVERHEAD: u64 = 64;
/// For the cache to plan with.
const TYPICAL_ENTRIES: usize = 10_000;

/// How long the database is not asked again.
const FRESH: Duration = Duration::from_secs(60 * 60);
/// How long what the database has said is kept for the next process.
const KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// A link, where it leads, and when the database has said so.
pub type Known = (i64, String, SystemTime);

/// A bounded cache of web addresses by the id of their link.
pub struct Links {
    cache: Cache<i64, Target, Bytes>,
    learned: AtomicU64,
}

#[derive(Clone)]
struct Target {
    url: String,
    /// When the database said so.
    said_at: SystemTime,
    /// When it did to this process.
    heard_at: Option<Instant>,
}

#[derive(Clone)]
struct Bytes;

impl Weighter<i64, Target> for Bytes {
    fn weight(&self, _: &i64, target: &Target) -> u64 {
        target.url.len() as u64 + OVERHEAD
    }
}

impl Default for Links {
    fn default() -> Self {
        Self {
            cache: Cache::with_weighter(TYPICAL_ENTRIES, LIMIT_BYTES, Bytes),
            learned: AtomicU64::new(0),
        }
    }
}

impl Links {
    /// Where a link leads. While the database `is_away`, also what it has not confirmed for an hour, or to an earlier process
    /// only: it may be another one by now, or have been restored.
    pub fn get(&self, link: i64, is_away: bool) -> Option<String> {
        let target = self.cache.get(&link)?;
        let is_fresh = target.heard_at.is_some_and(|at| at.elapsed() < FRESH);
        (is_fresh || is_away).then_some(target.url)
    }

    /// Remembers what the database has said.
    pub fn learn(&self, link: i64, url: &str) {
        let target = Target {
            url: url.to_owned(),
            said_at: SystemTime::now(),
            heard_at: Some(Instant::now()),
        };
        self.cache.insert(link, target);
        self.learned.fetch_add(1, Ordering::Relaxed);
    }

    /// Forgets a link that the database does not know any more.
    pub fn forget(&self, link: i64) {
        if self.cache.remove(&link).is_some() {
            self.learned.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Remembers what an earlier process knew.
    pub fn remember(&self, (link, url, said_at): Known) {
        let target = Target {
            url,
            said_at,
            heard_at: None,
        };
        self.cache.insert(link, target);
    }

    /// How often something was learned.
    pub fn learned(&self) -> u64 {
        self.learned.load(Ordering::Relaxed)
    }

    /// What is known and was heard not too long ago.
    pub fn known(&self) -> Vec<Known> {
        let known = self.cache.iter();
        known
            .map(|(link, target)| (link, target.url, target.said_at))
            .filter(|(_, _, said_at)| said_at.elapsed().is_ok_and(|age| age < KEPT))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_bounded() {
        let links = Links::default();
        links.learn(1, "https://shop.example/");
        assert_eq!(
            links.get(1, false).as_deref(),
            Some("https://shop.example/")
        );
        assert_eq!(links.get(2, false), None);
        let long = "x".repeat(100_000);
        for link in 0..1000 {
            links.learn(link, &long);
        }
        assert!(links.cache.weight() <= LIMIT_BYTES);
        assert_eq!(links.get(999, false).map(|url| url.len()), Some(100_000));
    }

    #[test]
    fn what_an_earlier_process_knew_counts_while_the_database_is_away() {
        let links = Links::default();
        links.remember((1, "https://old.example/".to_owned(), SystemTime::now()));
        assert_eq!(links.get(1, false), None);
        assert_eq!(links.get(1, true).as_deref(), Some("https://old.example/"));
        links.learn(1, "https://new.example/");
        assert_eq!(links.get(1, false).as_deref(), Some("https://new.example/"));
    }

    #[test]
    fn what_was_not_confirmed_for_long_is_asked_again_and_not_kept() {
        let links = Links::default();
        let url = || "https://shop.example/?for=ada@example.org".to_owned();
        links.remember((1, url(), SystemTime::now() - KEPT));
        links.remember((2, url(), SystemTime::now()));
        links.cache.insert(
            3,
            Target {
                url: url(),
                said_at: SystemTime::now(),
                heard_at: Instant::now().checked_sub(FRESH),
            },
        );
        assert_eq!(links.get(3, false), None);
        assert_eq!(links.get(3, true), Some(url()));
        let mut kept: Vec<i64> = links.known().iter().map(|known| known.0).collect();
        kept.sort_unstable();
        assert_eq!(kept, [2, 3]);
        links.forget(3);
        assert_eq!(links.get(3, true), None);
        assert_eq!(links.learned(), 1);
    }
}
