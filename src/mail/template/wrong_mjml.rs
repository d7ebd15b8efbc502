//! MJML of which no mail can be made, or not the one that is meant, refused while a template is written.

use std::collections::HashMap;

use minijinja::machinery::ast::{Expr, Stmt};
use minijinja::machinery::parse;
use minijinja::syntax::SyntaxConfig;

use super::balance::{Markup, first_unbalanced};
use super::dead_links::{TAG, without_tags};
use super::source_map::SourceMap;
use super::{MailTemplate, Part, TemplateError};
use crate::mail::mjml::{self, Mistake};

impl MailTemplate {
    /// Looks for markup in the body that no mail can be made of, and for elements and attributes that MJML does not have in its
    /// snippets.
    ///
    /// # Errors
    /// The first of them, with the nearest name. Of those that are unknown mails are made all the same, without them.
    pub(super) fn refuse_wrong_mjml(&self) -> Result<(), TemplateError> {
        let whole = self.sources.get(Part::Body.name());
        let whole = whole.map(SourceMap::written).unwrap_or_default();
        let body = format!("{}/", Part::Body);
        let mut pieces: Vec<(&str, &str)> = self
            .sources
            .iter()
            .filter_map(|(name, source)| Some((name.strip_prefix(&body)?, source.written())))
            .collect();
        pieces.sort_unstable();
        let is_mjml = begins_mjml(whole, &|snippet| {
            let known = pieces.iter().find(|(name, _)| *name == snippet);
            known.map(|(_, text)| *text)
        });
        let wrong = |snippet: Option<&str>, text, mistake: Mistake| {
            let error = TemplateError::at(Part::Body, text, mistake.offset, mistake.message);
            error.in_snippet(snippet).with_hint(mistake.hint)
        };
        if is_mjml {
            let mistake = match document(whole) {
                Some(document) => mjml::first_mistake(&document, TAG)
                    .or_else(|| mjml::first_break(&document, TAG)),
                None => {
                    let blocks = without_tags(whole);
                    mjml::first_mistake_in_piece(&blocks, TAG)
                        .or_else(|| mjml::first_break_in_piece(&blocks, TAG))
                }
            };
            if let Some(mistake) = mistake {
                return Err(wrong(None, whole, mistake));
            }
        }
        for (snippet, text) in &pieces {
            let document = without_tags(text);
            let mistake = mjml::first_mistake_in_piece(&document, TAG).or_else(|| {
                let broken = mjml::first_break_in_piece(&document, TAG);
                broken.filter(|_| is_mjml)
            });
            if let Some(mistake) = mistake {
                return Err(wrong(Some(snippet), text, mistake));
            }
        }
        match is_mjml {
            true => self.refuse_open_elements(),
            false => Ok(()),
        }
    }

    /// Refuses elements that are left open, or ended once too often, whatever a row says.
    fn refuse_open_elements(&self) -> Result<(), TemplateError> {
        let prefix = format!("{}/", Part::Body.name());
        let mut sources = HashMap::new();
        for (source, text) in &self.sources {
            if source != Part::Body.name() && !source.starts_with(&prefix) {
                continue;
            }
            let text = text.written();
            // What cannot be read to its end is told of where it ends.
            let Some(changes) = mjml::changes(&without_tags(text), TAG) else {
                return Ok(());
            };
            sources.insert(source.as_str(), Markup { text, changes });
        }
        let Some(found) = first_unbalanced(Part::Body.name(), &sources, &prefix, true) else {
            return Ok(());
        };
        let text = sources
            .get(found.source.as_str())
            .map_or("", |source| source.text);
        let message = format!("mjml: {}", found.message);
        let hint =
            "Every branch closes what it opens, and nothing else; a < that is text is written &lt;";
        Err(TemplateError::at(Part::Body, text, found.offset, message)
            .in_snippet(found.source.strip_prefix(&prefix))
            .with_hint(Some(hint.to_owned())))
    }
}

/// The document of MJML in a source, what stands before it blotted out; None: it has none of its own.
fn document(source: &str) -> Option<String> {
    let text = without_tags(source);
    let start = text.to_ascii_lowercase().find("<mjml")?;
    let blank = TAG.to_string().repeat(start);
    Some(blank + &text[start..])
}

/// Whether mails begin with MJML: before it stands only what prints nothing, or it stands in the layout.
fn begins_mjml<'a>(source: &'a str, snippet: &impl Fn(&str) -> Option<&'a str>) -> bool {
    let Ok(Stmt::Template(template)) = parse(source, "", SyntaxConfig::default()) else {
        return false;
    };
    let extended = template
        .children
        .iter()
        .find_map(|statement| match statement {
            Stmt::Extends(extends) => Some(&extends.name),
            _ => None,
        });
    if let Some(name) = extended {
        return match name {
            Expr::Const(name) => name
                .value
                .as_str()
                .and_then(snippet)
                .is_some_and(|layout| begins_mjml(layout, snippet)),
            _ => false,
        };
    }
    let mut beginning = String::new();
    for statement in &template.children {
        match statement {
            Stmt::EmitRaw(text) => beginning.push_str(text.raw),
            Stmt::Set(_)
            | Stmt::SetBlock(_)
            | Stmt::Import(_)
            | Stmt::FromImport(_)
            | Stmt::Macro(_)
            | Stmt::Do(_) => {}
            _ => break,
        }
    }
    mjml::is_mjml(&beginning)
}
