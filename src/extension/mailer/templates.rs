//! Compiled templates, one set for each version of an activity and combination of translations.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, OnceLock};

use pgrx::prelude::*;

use super::database::{self, Claimed};
use super::job::Compiled;
use crate::email::template::{Choice, Snippets, Texts, Translations};
use crate::extension::template;

struct Activity {
    version: i32,
    name: String,
    scenario: String,
    translations: Arc<Translations>,
    compiled: HashMap<Choice, Arc<Compiled>>,
}

impl Activity {
    fn compiled(&mut self, language: &str) -> Arc<Compiled> {
        match self.compiled.entry(self.translations.choose(language)) {
            Entry::Occupied(entry) => Arc::clone(entry.get()),
            Entry::Vacant(entry) => {
                let compiled = Arc::new(Compiled {
                    activity: self.name.clone(),
                    scenario: self.scenario.clone(),
                    translations: Arc::clone(&self.translations),
                    choice: entry.key().clone(),
                    template: OnceLock::new(),
                });
                Arc::clone(entry.insert(compiled))
            }
        }
    }
}

/// Templates of the activities seen so far; bounded by the number of activities.
#[derive(Default)]
pub(super) struct Templates {
    activities: HashMap<i32, Activity>,
    snippets: Arc<Snippets>,
    snippets_version: Option<String>,
}

impl Templates {
    /// Fetches the templates of activities that are new or have changed. In a transaction.
    pub(super) fn learn(&mut self, claimed: &[Claimed]) -> spi::Result<()> {
        if claimed.is_empty() {
            return Ok(());
        }
        let snippets_version = database::snippets_version()?;
        if snippets_version != self.snippets_version {
            self.activities.clear();
            self.snippets = Arc::new(template::snippets()?);
            self.snippets_version = snippets_version;
        }
        let mut unknown: Vec<i32> = claimed
            .iter()
            .filter(|mail| {
                self.activities
                    .get(&mail.activity)
                    .is_none_or(|known| known.version != mail.version)
            })
            .map(|mail| mail.activity)
            .collect();
        unknown.sort_unstable();
        unknown.dedup();
        if unknown.is_empty() {
            return Ok(());
        }
        for activity in &unknown {
            self.activities.remove(activity);
        }
        let mut fetched: HashMap<i32, (i32, String, String, Translations)> = HashMap::new();
        for row in database::mail_templates(unknown)? {
            let (.., translations) = fetched.entry(row.activity).or_insert_with(|| {
                let snippets = Arc::clone(&self.snippets);
                let translations = Translations::new(&row.own_language, snippets);
                (row.version, row.name, row.scenario, translations)
            });
            let texts = Texts {
                sender: row.sender,
                subject: row.subject,
                body: row.body,
            };
            translations.add(&row.language, texts);
        }
        for (id, (version, name, scenario, translations)) in fetched {
            let activity = Activity {
                version,
                name,
                scenario,
                translations: Arc::new(translations),
                compiled: HashMap::new(),
            };
            self.activities.insert(id, activity);
        }
        Ok(())
    }

    /// The templates for a claimed mail; None: its activity was deleted meanwhile.
    pub(super) fn compiled(&mut self, mail: &Claimed) -> Option<Arc<Compiled>> {
        self.activities
            .get_mut(&mail.activity)
            .map(|activity| activity.compiled(&mail.language))
    }
}
