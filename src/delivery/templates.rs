//! Compiled templates, one set for each version of an activity and combination of translations.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use super::message_class::MessageClass;
use super::store::{Claim, Claimed, Result, Store, TemplateRow};
use crate::mail::template::{Choice, MailTemplate, Snippets, TemplateError, Texts, Translations};

/// Templates of an activity in one language, compiled when the first mail is rendered: a panic then costs that mail.
pub struct Compiled {
    pub(super) activity: String,
    pub(super) scenario: String,
    pub(super) class: MessageClass,
    pub(super) has_attachments: bool,
    pub(super) translations: Arc<Translations>,
    pub(super) choice: Choice,
    pub(super) template: OnceLock<std::result::Result<MailTemplate, TemplateError>>,
}

impl Compiled {
    /// The templates, or why they do not compile.
    pub(super) fn template(&self) -> std::result::Result<&MailTemplate, &TemplateError> {
        self.template
            .get_or_init(|| self.translations.compile(&self.choice))
            .as_ref()
    }
}

/// An activity's templates, and what has been compiled of them.
pub struct Activity {
    version: i32,
    pub name: String,
    pub scenario: String,
    pub class: MessageClass,
    pub has_attachments: bool,
    pub translations: Arc<Translations>,
    compiled: HashMap<Choice, Arc<Compiled>>,
}

/// Puts the rows together: activities by their ids.
pub fn translations_of(rows: Vec<TemplateRow>, snippets: &Arc<Snippets>) -> HashMap<i32, Activity> {
    let mut found: HashMap<i32, (i32, String, String, MessageClass, bool, Translations)> =
        HashMap::new();
    for row in rows {
        let (.., translations) = found.entry(row.activity).or_insert_with(|| {
            let translations = Translations::new(&row.own_language, Arc::clone(snippets));
            (
                row.version,
                row.name,
                row.scenario,
                row.class,
                row.has_attachments,
                translations,
            )
        });
        // The body of a webhook is JSON, which is written otherwise than HTML.
        let (body, payload) = match row.url {
            Some(_) => (None, row.body),
            None => (row.body, None),
        };
        let texts = Texts {
            sender: row.sender,
            reply_to: row.reply_to,
            subject: row.subject,
            body,
            preheader: row.preheader,
            text: row.text,
            url: row.url,
            payload,
        };
        translations.add(&row.language, texts);
        if let Some(headers) = row.headers {
            translations.set_headers(headers_of(&headers));
        }
        if row.inline_css {
            translations.inline_css();
        }
        if let (Some(utm), Some(hosts)) = (row.utm, row.utm_hosts) {
            translations.set_campaign(utm, hosts);
        }
    }
    found
        .into_iter()
        .map(
            |(id, (version, name, scenario, class, has_attachments, translations))| {
                let activity = Activity {
                    version,
                    name,
                    scenario,
                    class,
                    has_attachments,
                    translations: Arc::new(translations),
                    compiled: HashMap::new(),
                };
                (id, activity)
            },
        )
        .collect()
}

/// Reads the object of names and templates that the database has checked.
fn headers_of(object: &str) -> Vec<(String, String)> {
    serde_json::from_str::<BTreeMap<String, String>>(object)
        .unwrap_or_default()
        .into_iter()
        .collect()
}

impl Activity {
    fn compiled(&mut self, language: &str) -> Arc<Compiled> {
        match self.compiled.entry(self.translations.choose(language)) {
            Entry::Occupied(entry) => Arc::clone(entry.get()),
            Entry::Vacant(entry) => {
                let compiled = Arc::new(Compiled {
                    activity: self.name.clone(),
                    scenario: self.scenario.clone(),
                    class: self.class.clone(),
                    has_attachments: self.has_attachments,
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
    /// Fetches the templates of activities that are new or have changed.
    pub(super) fn learn(&mut self, claim: &Claim, store: &mut impl Store) -> Result<()> {
        if claim.mails.is_empty() {
            return Ok(());
        }
        if claim.snippets_version != self.snippets_version {
            self.activities.clear();
            self.snippets = Arc::new(store.snippets()?);
            self.snippets_version.clone_from(&claim.snippets_version);
        }
        let mut unknown: Vec<i32> = claim
            .mails
            .iter()
            .filter(|mail| {
                self.activities
                    .get(&mail.template)
                    .is_none_or(|known| known.version != mail.version)
            })
            .map(|mail| mail.template)
            .collect();
        unknown.sort_unstable();
        unknown.dedup();
        if unknown.is_empty() {
            return Ok(());
        }
        for activity in &unknown {
            self.activities.remove(activity);
        }
        let fetched = store.templates(unknown)?;
        self.activities
            .extend(translations_of(fetched, &self.snippets));
        Ok(())
    }

    /// Whether a claimed mail takes files along.
    pub(super) fn has_attachments(&self, mail: &Claimed) -> bool {
        let activity = self.activities.get(&mail.template);
        activity.is_some_and(|activity| activity.has_attachments)
    }

    /// The templates for a claimed mail; None: its activity was deleted meanwhile.
    pub(super) fn compiled(&mut self, mail: &Claimed) -> Option<Arc<Compiled>> {
        self.activities
            .get_mut(&mail.template)
            .map(|activity| activity.compiled(&mail.language))
    }
}
