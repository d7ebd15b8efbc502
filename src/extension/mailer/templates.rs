//! Compiled templates, one set for each version of an activity and combination of translations.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, OnceLock};

use pgrx::prelude::*;

use super::database::{self, Claimed, TemplateRow};
use super::job::Compiled;

struct Activity {
    version: i32,
    /// By language tag, lower-case with hyphens; "" is the activity's own.
    sources: HashMap<String, TemplateRow>,
    /// By the tags that sender, subject and body come from.
    compiled: HashMap<[String; 3], Arc<Compiled>>,
}

/// Templates of the activities seen so far; bounded by the number of activities.
#[derive(Default)]
pub(super) struct Templates {
    activities: HashMap<i32, Activity>,
}

fn normalized(language: &str) -> String {
    language.replace('_', "-").to_ascii_lowercase()
}

/// `fr-ca` falls back to `fr` and then to the activity's own, "".
fn fallbacks(language: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(language);
    std::iter::from_fn(move || {
        let tag = rest?;
        rest = match tag.rfind('-') {
            Some(end) => Some(&tag[..end]),
            None if tag.is_empty() => None,
            None => Some(""),
        };
        Some(tag)
    })
}

impl Activity {
    /// The first language in the chain that has this part, and the part.
    fn part<'a>(
        &'a self,
        language: &str,
        part: impl Fn(&'a TemplateRow) -> Option<&'a str>,
    ) -> (String, Option<&'a str>) {
        fallbacks(language)
            .find_map(|tag| Some((tag.to_owned(), self.sources.get(tag).and_then(&part)?)))
            .map_or((String::new(), None), |(tag, text)| (tag, Some(text)))
    }

    fn compiled(&mut self, language: &str) -> Arc<Compiled> {
        let language = normalized(language);
        let (sender_tag, sender) = self.part(&language, |row| row.sender.as_deref());
        let (subject_tag, subject) = self.part(&language, |row| row.subject.as_deref());
        let (body_tag, body) = self.part(&language, |row| row.body.as_deref());
        let key = [sender_tag, subject_tag, body_tag];
        if let Some(compiled) = self.compiled.get(&key) {
            return Arc::clone(compiled);
        }
        let own = self.sources.get("");
        let compiled = Arc::new(Compiled {
            activity: own.map(|row| row.name.clone()).unwrap_or_default(),
            scenario: own.map(|row| row.scenario.clone()).unwrap_or_default(),
            sender: sender.map(str::to_owned),
            subject: subject.unwrap_or_default().to_owned(),
            body: body.unwrap_or_default().to_owned(),
            template: OnceLock::new(),
        });
        self.compiled.insert(key, Arc::clone(&compiled));
        compiled
    }
}

impl Templates {
    /// Fetches the templates of activities that are new or have changed. In a transaction.
    pub(super) fn learn(&mut self, claimed: &[Claimed]) -> spi::Result<()> {
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
        for row in database::mail_templates(unknown)? {
            let activity = match self.activities.entry(row.activity) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => entry.insert(Activity {
                    version: row.version,
                    sources: HashMap::new(),
                    compiled: HashMap::new(),
                }),
            };
            activity.sources.insert(normalized(&row.language), row);
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
