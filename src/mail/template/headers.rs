//! Headers that an author adds to a mail, by their names.

use super::names::{Names, Undefined};
use super::render::one_line;
use super::snippets::Snippets;
use super::{MailTemplate, Part, Source, TemplateError};

/// The name of the template of a header, by its place.
fn template_name(place: usize) -> String {
    format!("{}{place}", Part::Header)
}

fn source<'a>(template: &'a str, language: &'a str) -> Source<'a> {
    Source {
        text: template,
        language,
        snippets: "",
    }
}

impl MailTemplate {
    /// Adds headers, as names and templates, whose texts are in a language.
    pub(super) fn add_headers(
        &mut self,
        headers: &[(String, String)],
        language: &str,
    ) -> Result<(), TemplateError> {
        for (place, (name, template)) in headers.iter().enumerate() {
            let source = source(template, language);
            self.add_as(
                Part::Header,
                &template_name(place),
                source,
                &Snippets::default(),
            )
            .map_err(|error| error.in_header(name))?;
        }
        let names = headers.iter().map(|(name, _)| name.clone()).collect();
        self.headers = (names, language.to_owned());
        Ok(())
    }

    /// Gives the headers of one mail, but for those whose template prints nothing; `render` takes the name of a template and its language.
    pub(super) fn render_headers(
        &self,
        render: impl Fn(&str, &str) -> Result<String, TemplateError>,
    ) -> Result<Vec<(String, String)>, TemplateError> {
        let (names, language) = &self.headers;
        let mut headers = Vec::with_capacity(names.len());
        for (place, name) in names.iter().enumerate() {
            let value = render(&template_name(place), language)
                .and_then(|value| one_line(Part::Header, value))
                .map_err(|error| error.in_header(name))?;
            if !value.is_empty() {
                headers.push((name.clone(), value));
            }
        }
        Ok(headers)
    }
}

/// Checks the headers of an activity as they are written.
///
/// # Errors
/// What does not compile.
pub fn check_headers(
    headers: &[(String, String)],
    language: &str,
    names: Option<&Names>,
) -> Result<Vec<Undefined>, TemplateError> {
    let none = Snippets::default();
    MailTemplate::compile(Default::default(), None, &none)?.add_headers(headers, language)?;
    let mut undefined = Vec::new();
    for (name, template) in headers {
        if let Some(names) = names {
            let found = names.undefined(Part::Header, source(template, language), &none)?;
            undefined.extend(found.into_iter().map(|found| Undefined {
                error: found.error.in_header(name),
                ..found
            }));
        }
    }
    Ok(undefined)
}
