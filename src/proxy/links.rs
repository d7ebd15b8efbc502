//! Where links lead, as far as is known: links are stored once and never change, so that what was seen stays true.

use quick_cache::Weighter;
use quick_cache::sync::Cache;

/// Of all addresses together.
const LIMIT_BYTES: u64 = 32 << 20;
/// What an entry costs beside its text.
const OVERHEAD: u64 = 64;
/// For the cache to plan with.
const TYPICAL_ENTRIES: usize = 10_000;

/// A bounded cache of web addresses by the id of their link.
pub struct Links(Cache<i64, String, Bytes>);

#[derive(Clone)]
struct Bytes;

impl Weighter<i64, String> for Bytes {
    fn weight(&self, _: &i64, url: &String) -> u64 {
        url.len() as u64 + OVERHEAD
    }
}

impl Default for Links {
    fn default() -> Self {
        Self(Cache::with_weighter(TYPICAL_ENTRIES, LIMIT_BYTES, Bytes))
    }
}

impl Links {
    /// Where a link leads.
    pub fn get(&self, link: i64) -> Option<String> {
        self.0.get(&link)
    }

    /// Remembers where a link leads.
    pub fn learn(&self, link: i64, url: &str) {
        self.0.insert(link, url.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_bounded() {
        let links = Links::default();
        links.learn(1, "https://shop.example/");
        assert_eq!(links.get(1).as_deref(), Some("https://shop.example/"));
        assert_eq!(links.get(2), None);
        let long = "x".repeat(100_000);
        for link in 0..1000 {
            links.learn(link, &long);
        }
        assert!(links.0.weight() <= LIMIT_BYTES);
        assert_eq!(links.get(999).map(|url| url.len()), Some(100_000));
    }
}
