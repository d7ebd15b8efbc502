//! The ids of links seen so far: a rendered mail whose links are all known goes on to a server without a question to the database.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

/// Most ids kept in memory.
const CAPACITY: usize = 100_000;

#[derive(Default)]
pub(super) struct Links {
    ids: RwLock<HashMap<String, i64>>,
}

impl Links {
    /// The ids of a mail's links, in their order; None: one of them is not known.
    pub(super) fn ids(&self, urls: &[String]) -> Option<Vec<i64>> {
        if urls.is_empty() {
            return Some(Vec::new());
        }
        let ids = self.ids.read().unwrap_or_else(PoisonError::into_inner);
        urls.iter().map(|url| ids.get(url).copied()).collect()
    }

    /// The URLs that are not known, each once; forgets all ids when there are too many.
    pub(super) fn unknown<'a>(&self, urls: impl Iterator<Item = &'a String>) -> Vec<String> {
        let mut ids = self.ids.write().unwrap_or_else(PoisonError::into_inner);
        if ids.len() > CAPACITY {
            ids.clear();
        }
        let mut unknown: Vec<String> = urls
            .filter(|url| !ids.contains_key(*url))
            .cloned()
            .collect();
        unknown.sort_unstable();
        unknown.dedup();
        unknown
    }

    pub(super) fn learn(&self, stored: Vec<(String, i64)>) {
        let mut ids = self.ids.write().unwrap_or_else(PoisonError::into_inner);
        ids.extend(stored);
    }
}
