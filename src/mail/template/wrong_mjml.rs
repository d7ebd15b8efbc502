//! MJML of which no mail can be made, or not the one that is meant, refused while a template is written.

use super::dead_links::{TAG, without_tags};
use super::source_map::SourceMap;
use super::{MailTemplate, Part, TemplateError, name};
use crate::mail::mjml;

impl MailTemplate {
    /// Looks for markup in the body that no mail can be made of, and for elements and attributes that MJML does not have in its
    /// snippets.
    ///
    /// # Errors
    /// The first of them, with the nearest name. Of those that are unknown mails are made all the same, without them.
    pub(super) fn refuse_wrong_mjml(&self) -> Result<(), TemplateError> {
        let whole = self.sources.get(name(Part::Body));
        let whole = whole.map(SourceMap::written).unwrap_or_default();
        let document = without_tags(whole);
        let is_mjml = mjml::is_mjml(&document);
        if is_mjml && let Some(mistake) = mjml::first_break(&document, TAG) {
            let error = TemplateError::at(Part::Body, whole, mistake.offset, mistake.message);
            return Err(error.with_hint(mistake.hint));
        }
        let body = format!("{}/", name(Part::Body));
        let mut pieces: Vec<(&str, &str)> = self
            .sources
            .iter()
            .filter_map(|(name, source)| Some((name.strip_prefix(&body)?, source.written())))
            .collect();
        pieces.sort_unstable();
        for (snippet, text) in pieces {
            let document = without_tags(text);
            let mistake = mjml::first_mistake_in_piece(&document, TAG).or_else(|| {
                let broken = mjml::first_break_in_piece(&document, TAG);
                broken.filter(|_| is_mjml)
            });
            if let Some(mistake) = mistake {
                let error = TemplateError::at(Part::Body, text, mistake.offset, mistake.message);
                return Err(error.in_snippet(Some(snippet)).with_hint(mistake.hint));
            }
        }
        Ok(())
    }
}
