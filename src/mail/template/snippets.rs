//! Pieces that templates share: `{% include "header" %}`, `{% extends "layout" %}`, `{% import "macros" as m %}`.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use minijinja::Environment;

use super::columns::Columns;
use super::environment::{BROWSER_URL, environment};
use super::scan::{Scan, scan};
use super::{MAX_SOURCE_BYTES, Part, TemplateError};
use super::{css_comment, expression};
use crate::mail::edits::Edited;
use crate::mail::locale::{fallbacks, normalized, primary};

/// Longest sum of a template and the snippets that it uses, in bytes.
const MAX_TOTAL_BYTES: usize = 1024 * 1024;

/// How deep snippets may use each other.
const MAX_DEPTH: usize = 10;

/// All snippets of a database, each in some languages.
#[derive(Debug, Default)]
pub struct Snippets {
    /// Text by name and normalised language; the language of the default is empty.
    texts: BTreeMap<String, BTreeMap<String, String>>,
    languages: BTreeSet<String>,
}

impl Snippets {
    /// Adds a text; an empty language makes it the default.
    pub fn add(&mut self, name: &str, language: &str, text: String) {
        let language = normalized(language);
        self.languages.insert(language.clone());
        self.texts
            .entry(name.to_owned())
            .or_default()
            .insert(language, css_comment::protect(&text).into_owned());
    }

    /// The text for a language, or the nearest that it falls back to.
    pub(super) fn text(&self, name: &str, language: &str) -> Option<&str> {
        let translations = self.texts.get(name)?;
        fallbacks(language).find_map(|tag| Some(translations.get(tag)?.as_str()))
    }

    /// The text of a snippet in a language, as its author wrote it.
    pub fn written(&self, name: &str, language: &str) -> Option<String> {
        let text = self.text(name, &normalized(language))?;
        Some(css_comment::restore(text.to_owned()))
    }

    /// The part of a language tag that makes a difference to any snippet: what compiled templates are kept by.
    pub(super) fn nearest(&self, language: &str) -> String {
        fallbacks(language)
            .find(|tag| self.languages.contains(*tag))
            .unwrap_or_default()
            .to_owned()
    }

    /// The languages in which snippets may stand in a text of this language: its variants.
    pub(super) fn variants(&self, language: &str) -> BTreeSet<String> {
        let own = normalized(language);
        self.languages
            .iter()
            .filter(|tag| primary(tag) == primary(&own))
            .chain([&own])
            .map(|tag| self.nearest(tag))
            .collect()
    }

    /// Gives the names of snippets that sources use in any language, and those that these use, whether they exist or not.
    pub fn names_in<'a>(&'a self, sources: impl IntoIterator<Item = &'a str>) -> Vec<String> {
        self.walk(sources, |_| ()).into_iter().collect()
    }

    /// Gives the columns of the record that sources read, and the snippets that they use, in any language.
    pub fn columns_in<'a>(&'a self, sources: impl IntoIterator<Item = &'a str>) -> Columns {
        let mut columns = Columns::default();
        self.walk(sources, |scan| columns.add(scan));
        columns
    }

    /// Whether sources, or the snippets that they use in any language, ask for the address of the mail in a browser.
    pub fn use_browser_url<'a>(&'a self, sources: impl IntoIterator<Item = &'a str>) -> bool {
        let mut found = false;
        self.walk(sources, |scan| {
            found |= scan.uses.iter().any(|found| found.path[0] == BROWSER_URL);
        });
        found
    }

    /// Scans sources and the snippets that they use in any language; gives the snippets' names.
    fn walk<'a>(
        &'a self,
        sources: impl IntoIterator<Item = &'a str>,
        mut visit: impl FnMut(&Scan),
    ) -> BTreeSet<String> {
        let environment = environment();
        let mut names = BTreeSet::new();
        let mut sources: Vec<Cow<'_, str>> =
            sources.into_iter().map(css_comment::protect).collect();
        while let Some(source) = sources.pop() {
            let source = source.as_ref();
            // What was restored from a dump has not been checked.
            if prepare(&environment, Part::Body, source).is_err() {
                continue;
            }
            let scan = scan(source);
            visit(&scan);
            for reference in scan.references {
                let texts = self.texts.get(&reference.snippet);
                if names.insert(reference.snippet) {
                    sources.extend(
                        texts
                            .into_iter()
                            .flat_map(BTreeMap::values)
                            .map(|text| Cow::Borrowed(text.as_str())),
                    );
                }
            }
        }
        names
    }

    /// Gives the snippets that a source uses, and those that these use, once each.
    ///
    /// # Errors
    /// A snippet that does not exist, uses itself or whose name is computed; a text that cannot be compiled safely; more
    /// text than a megabyte.
    pub(super) fn used_by(
        &self,
        environment: &Environment<'_>,
        part: Part,
        source: &str,
        language: &str,
    ) -> Result<Vec<Used<'_>>, TemplateError> {
        let mut walk = Walk {
            snippets: self,
            environment,
            part,
            language,
            found: Vec::new(),
            path: Vec::new(),
            bytes: source.len(),
        };
        walk.follow(None, source)?;
        Ok(walk.found)
    }
}

/// A snippet as one template uses it.
#[derive(Debug)]
pub(super) struct Used<'a> {
    pub(super) name: &'a str,
    /// As its author wrote it.
    pub(super) text: &'a str,
    /// As it is compiled.
    pub(super) prepared: Edited,
}

/// The way from a source to the snippets that it uses.
struct Walk<'a, 'b> {
    snippets: &'a Snippets,
    environment: &'b Environment<'b>,
    part: Part,
    language: &'b str,
    found: Vec<Used<'a>>,
    /// The snippets between the source and the current one.
    path: Vec<&'a str>,
    bytes: usize,
}

impl<'a> Walk<'a, '_> {
    fn follow(&mut self, within: Option<&str>, source: &str) -> Result<(), TemplateError> {
        let part = self.part;
        let wrong = |offset, message: String| {
            TemplateError::at(part, source, offset, message).in_snippet(within)
        };
        let scan = scan(source);
        if let Some(offset) = scan.computed_reference {
            let message =
                "the name of a snippet must be a constant, as in {% include \"header\" %}";
            return Err(wrong(offset, message.to_owned()));
        }
        if let Some(offset) = scan.block_call {
            let message = "blocks cannot be called: make it a macro";
            return Err(wrong(offset, message.to_owned()));
        }
        for reference in scan.references {
            match self.enter(&reference.snippet) {
                Ok(()) => {}
                Err(Fault::Missing(_)) if reference.optional => {}
                Err(Fault::Missing(message)) => {
                    return Err(wrong(reference.offset, message).for_missing_snippet());
                }
                Err(Fault::Reference(message)) => return Err(wrong(reference.offset, message)),
                Err(Fault::Inside(error)) => return Err(*error),
            }
        }
        Ok(())
    }

    /// Adds a snippet and what it uses.
    fn enter(&mut self, name: &str) -> Result<(), Fault> {
        let Some((name, _)) = self.snippets.texts.get_key_value(name) else {
            return Err(Fault::Missing(format!("snippet {name:?} does not exist")));
        };
        if let Some(at) = self.path.iter().position(|above| above == name) {
            let circle = [&self.path[at..], &[name.as_str()]].concat().join(" → ");
            return Err(Fault::Reference(format!(
                "snippet {name:?} uses itself: {circle}"
            )));
        }
        if self.path.len() == MAX_DEPTH {
            let message = format!("snippets use each other more than {MAX_DEPTH} deep");
            return Err(Fault::Reference(message));
        }
        if self.found.iter().any(|used| used.name == name) {
            return Ok(());
        }
        let Some(text) = self.snippets.text(name, self.language) else {
            let language = match self.language {
                "" => "no text without a language".to_owned(),
                tag => format!("no text for {tag:?}, nor one without a language"),
            };
            return Err(Fault::Missing(format!("snippet {name:?} has {language}")));
        };
        self.bytes += text.len();
        if self.bytes > MAX_TOTAL_BYTES {
            let message = format!("with its snippets it has more than {MAX_TOTAL_BYTES} bytes");
            return Err(Fault::Reference(message));
        }
        let prepared = prepare(self.environment, self.part, text)
            .map_err(|error| Fault::Inside(Box::new(error.in_snippet(Some(name)))))?;
        self.path.push(name);
        self.follow(Some(name), text)
            .map_err(|error| Fault::Inside(Box::new(error)))?;
        self.path.pop();
        self.found.push(Used {
            name,
            text,
            prepared,
        });
        Ok(())
    }
}

/// Why a snippet cannot be used.
enum Fault {
    /// There is none.
    Missing(String),
    /// Using it here is wrong.
    Reference(String),
    /// It is wrong itself.
    Inside(Box<TemplateError>),
}

/// Checks a source before the parser, which calls itself, sees it; gives the one to compile.
pub(super) fn prepare(
    environment: &Environment<'_>,
    part: Part,
    source: &str,
) -> Result<Edited, TemplateError> {
    if source.len() > MAX_SOURCE_BYTES {
        let message = format!(
            "template has {} bytes, more than {MAX_SOURCE_BYTES}",
            source.len()
        );
        return Err(TemplateError::new(part, message));
    }
    expression::prepare(environment, source).map_err(|fault| {
        TemplateError::at(part, source, fault.offset, fault.message).with_hint(fault.hint)
    })
}
