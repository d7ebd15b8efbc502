//! Where links lead, as far as is known: links are stored once and never change, so that what was seen stays true.

use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::Weighter;
use quick_cache::sync::Cache;

/// Of all addresses together.
const LIMIT_BYTES: u64 = 32 << 20;
/// What an entry costs beside its text.
const OVERHEAD: u64 = 64;
/// For the cache to plan with.
const TYPICAL_ENTRIES: usize = 10_000;

/// A bounded cache of web addresses by the id of their link.
pub struct Links {
    cache: Cache<i64, Target, Bytes>,
    learned: AtomicU64,
}

#[derive(Clone)]
struct Target {
    url: String,
    /// Whether the database said so to this process.
    confirmed: bool,
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
    /// Where a link leads. What an earlier process knew counts only while the database `is_away`: it may be another one
    /// by now, or have been restored.
    pub fn get(&self, link: i64, is_away: bool) -> Option<String> {
        let target = self.cache.get(&link)?;
        (target.confirmed || is_away).then_some(target.url)
    }

    /// Remembers what the database has said.
    pub fn learn(&self, link: i64, url: &str) {
        self.insert(link, url.to_owned(), true);
        self.learned.fetch_add(1, Ordering::Relaxed);
    }

    /// Remembers what an earlier process knew.
    pub fn remember(&self, link: i64, url: String) {
        self.insert(link, url, false);
    }

    fn insert(&self, link: i64, url: String, confirmed: bool) {
        self.cache.insert(link, Target { url, confirmed });
    }

    /// How often something was learned.
    pub fn learned(&self) -> u64 {
        self.learned.load(Ordering::Relaxed)
    }

    /// All that is known.
    pub fn known(&self) -> Vec<(i64, String)> {
        let known = self.cache.iter();
        known.map(|(link, target)| (link, target.url)).collect()
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
        links.remember(1, "https://old.example/".to_owned());
        assert_eq!(links.get(1, false), None);
        assert_eq!(links.get(1, true).as_deref(), Some("https://old.example/"));
        links.learn(1, "https://new.example/");
        assert_eq!(links.get(1, false).as_deref(), Some("https://new.example/"));
    }
}
