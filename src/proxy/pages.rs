//! What administrators wrote for the pages around unsubscribing: texts and templates, kept from the last look.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::warn;

use super::database::PageSource;
use super::pools::Pools;
use super::texts::{TEXTS, Text, Texts};
use crate::mail::locale::{fallbacks, is_right_to_left, normalized};
use crate::mail::template::PageTemplate;

/// How old what a reader sees may be.
const FRESH: Duration = Duration::from_secs(5);

/// The pages that can be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PageName {
    Unsubscribe,
    Unsubscribed,
    Resubscribed,
    Preferences,
    Confirm,
    Confirmed,
}

impl PageName {
    /// The value of `page.name`.
    fn name(self) -> &'static str {
        match self {
            Self::Unsubscribe => "unsubscribe",
            Self::Unsubscribed => "unsubscribed",
            Self::Resubscribed => "resubscribed",
            Self::Preferences => "preferences",
            Self::Confirm => "confirm",
            Self::Confirmed => "confirmed",
        }
    }
}

/// Texts and templates by language tag, lower-case with hyphens.
#[derive(Debug, Default)]
pub struct Pages {
    texts: HashMap<String, HashMap<&'static str, String>>,
    templates: HashMap<(String, String), PageTemplate>,
}

/// The texts for one reader.
#[derive(Clone, Copy)]
pub struct Words<'a> {
    /// BCP 47, for the `lang` attribute.
    pub language: &'a str,
    pages: &'a Pages,
    builtin: Option<&'static Texts>,
}

impl Pages {
    /// Takes what the database holds. A template that does not compile is left out: it was checked when it was written,
    /// by another version at most.
    pub fn new(sources: Vec<PageSource>) -> Self {
        let mut pages = Self::default();
        for source in sources {
            let language = normalized(&source.language);
            if source.is_template {
                match PageTemplate::compile(&source.source) {
                    Ok(template) => {
                        pages.templates.insert((source.name, language), template);
                    }
                    Err(error) => warn!(page = source.name, language, %error, "page is not used"),
                }
            } else if let Some(text) = Text::ALL.iter().find(|text| text.name() == source.name) {
                let texts = pages.texts.entry(language).or_default();
                texts.insert(text.name(), source.source);
            }
        }
        pages
    }

    /// The texts for a language such as `fr`, `fr-CA` or `fr_CA`; English when there are none.
    pub fn words(&self, language: Option<&str>) -> Words<'_> {
        let wanted = normalized(language.unwrap_or_default());
        fallbacks(&wanted)
            .find_map(|tag| {
                let builtin = builtin(tag);
                let texts = self.texts.get_key_value(tag);
                let known = texts.map(|(known, _)| known.as_str());
                Some(Words {
                    language: known.or(builtin.map(|texts| texts.language))?,
                    pages: self,
                    builtin: fallbacks(tag).find_map(self::builtin),
                })
            })
            .unwrap_or(Words {
                language: "en",
                pages: self,
                builtin: None,
            })
    }

    /// The template that replaces a page for readers of a language.
    pub fn template(&self, page: PageName, language: Option<&str>) -> Option<&PageTemplate> {
        let wanted = normalized(language.unwrap_or_default());
        fallbacks(&wanted).find_map(|tag| {
            self.templates
                .get(&(page.name().to_owned(), tag.to_owned()))
        })
    }
}

/// The built-in texts of exactly this language.
fn builtin(tag: &str) -> Option<&'static Texts> {
    TEXTS.iter().find(|texts| normalized(texts.language) == tag)
}

impl<'a> Words<'a> {
    /// One text: from the table in this language or the one that it falls back to, built in, or English.
    pub fn get(&self, text: Text) -> &'a str {
        self.written(text)
            .or(self.builtin.map(|texts| texts.text(text)))
            .or_else(|| self.written_in("en", text))
            .unwrap_or_else(|| TEXTS[0].text(text))
    }

    /// A text about a scenario that has no title: one that names none. Where only the text with a name was written in
    /// other words, these hold, since an administrator wants them said.
    pub fn untitled(&self, text: Text) -> &'a str {
        let Some(untitled) = text.untitled() else {
            return self.get(text);
        };
        match self.written(untitled) {
            None if self.written(text).is_some() => self.get(text),
            _ => self.get(untitled),
        }
    }

    fn written(&self, text: Text) -> Option<&'a str> {
        fallbacks(&normalized(self.language)).find_map(|tag| self.written_in(tag, text))
    }

    fn written_in(&self, tag: &str, text: Text) -> Option<&'a str> {
        let text = self.pages.texts.get(tag)?.get(text.name())?;
        Some(text.as_str())
    }

    pub fn direction(&self) -> &'static str {
        match is_right_to_left(self.language) {
            true => "rtl",
            false => "ltr",
        }
    }
}

/// Keeps the pages up to date, as readers come.
pub struct PageStore {
    pools: Arc<Pools>,
    pages: RwLock<Arc<Pages>>,
    fetched: Mutex<Option<Instant>>,
}

impl PageStore {
    pub fn new(pools: Arc<Pools>) -> Self {
        Self {
            pools,
            pages: RwLock::default(),
            fetched: Mutex::default(),
        }
    }

    /// What is known without asking.
    pub fn known(&self) -> Arc<Pages> {
        let pages = self.pages.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&pages)
    }

    /// The pages as they were a few seconds ago at most; older ones while the database does not answer.
    pub async fn fresh(&self) -> Arc<Pages> {
        let mut fetched = self.fetched.lock().await;
        if fetched.is_none_or(|at| at.elapsed() > FRESH) {
            let sources = self
                .pools
                .lookups
                .call(|session| async move { session.page_sources().await })
                .await;
            *fetched = Some(Instant::now());
            match sources {
                Ok(sources) => {
                    *self.pages.write().unwrap_or_else(PoisonError::into_inner) =
                        Arc::new(Pages::new(sources));
                }
                Err(error) => warn!(%error, "pages could not be fetched"),
            }
        }
        self.known()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(rows: &[(bool, &str, &str, &str)]) -> Pages {
        let sources = rows
            .iter()
            .map(|(is_template, name, language, source)| PageSource {
                is_template: *is_template,
                name: (*name).to_owned(),
                language: (*language).to_owned(),
                source: (*source).to_owned(),
            });
        Pages::new(sources.collect())
    }

    #[test]
    fn the_language_falls_back_to_its_primary_subtag_and_to_english() {
        let pages = Pages::default();
        for (language, chosen) in [
            ("fr", "fr"),
            ("fr-CA", "fr"),
            ("PT_br", "pt-BR"),
            ("pt_PT", "pt"),
            ("de_DE.UTF-8", "de"),
            ("ar", "ar"),
            ("frr", "en"),
            ("ja", "en"),
            ("", "en"),
            ("<script>", "en"),
        ] {
            assert_eq!(pages.words(Some(language)).language, chosen, "{language}");
        }
        assert_eq!(pages.words(None).language, "en");
        assert_eq!(pages.words(Some("ar-EG")).direction(), "rtl");
    }

    #[test]
    fn a_written_text_replaces_the_built_in_one_and_others_stay() {
        let pages = pages(&[
            (false, "title", "fr", "Au revoir"),
            (false, "title", "fr_CA", "Bonjour"),
            (false, "button", "sv", "Avsluta"),
            (false, "done", "en", "Gone"),
            (false, "nonsense", "fr", "x"),
        ]);
        let words = |language| pages.words(Some(language));
        assert_eq!(words("fr-BE").get(Text::Title), "Au revoir");
        assert_eq!(words("fr-CA").get(Text::Title), "Bonjour");
        assert_eq!(words("fr-CA").get(Text::Button), "Me désabonner");
        assert_eq!(words("fr-CA").language, "fr-ca");
        assert_eq!(
            words("pt-BR").get(Text::Which),
            "Quais e-mails você não quer mais receber?"
        );
        // A language that is not built in speaks English where it has no text.
        assert_eq!(words("sv-SE").language, "sv");
        assert_eq!(words("sv").get(Text::Button), "Avsluta");
        assert_eq!(words("sv").get(Text::Title), "Unsubscribe");
        assert_eq!(words("sv").get(Text::Done), "Gone");
        assert_eq!(words("de").get(Text::Done), "Sie sind abgemeldet");
    }

    #[test]
    fn a_scenario_without_a_title_is_named_only_by_who_wants_it() {
        let pages = pages(&[
            (false, "effect", "fr", "Plus de « {} »."),
            (false, "effect", "de", "Keine Post von „{}“."),
            (false, "effect_untitled", "de", "Keine Post."),
        ]);
        let effect = |language| pages.words(Some(language)).untitled(Text::Effect);
        assert_eq!(
            effect("en"),
            "You will receive no more e-mails like this one."
        );
        assert_eq!(effect("fr-CA"), "Plus de « {} ».");
        assert_eq!(effect("de"), "Keine Post.");
        assert_eq!(pages.words(None).untitled(Text::Title), "Unsubscribe");
    }

    #[test]
    fn the_nearest_template_is_taken() {
        let pages = pages(&[
            (true, "unsubscribe", "", "all {{ form }}"),
            (true, "unsubscribe", "fr", "{{ form }}"),
            (true, "unsubscribed", "fr", "{% broken"),
        ]);
        let found = |page, language| pages.template(page, Some(language)).is_some();
        assert!(found(PageName::Unsubscribe, "fr-CA") && found(PageName::Unsubscribe, "de"));
        assert!(!found(PageName::Unsubscribed, "fr") && !found(PageName::Resubscribed, "fr"));
    }
}
