//! Templates of whole web pages: the same limits as those of mails, and no tracked links.

use minijinja::value::Value;
use minijinja::{Environment, context};

use super::{
    Part, Snippets, SourceMap, TemplateError, add_source, css_comment, environment, render_part,
    snippets,
};

/// What a page's template shows.
#[derive(Debug, Clone)]
pub struct PageContext<'a> {
    /// Markup, the only part that is not escaped.
    pub form: String,
    pub scenario: &'a str,
    /// Who the mail was from, as in its header; empty: nobody knows.
    pub sender: &'a str,
    /// BCP 47, and its writing direction, `ltr` or `rtl`: for the attributes of `<html>`.
    pub language: &'a str,
    pub direction: &'a str,
    /// Whether the reader has left this kind of mail, and every kind.
    pub unsubscribed: bool,
    pub everything: bool,
    /// The built-in texts by name.
    pub text: Vec<(&'static str, String)>,
}

/// The compiled template of a page.
#[derive(Debug)]
pub struct PageTemplate {
    environment: Environment<'static>,
    source: SourceMap,
}

impl PageTemplate {
    /// Compiles the template.
    ///
    /// # Errors
    /// A template that does not compile or is longer than [`super::MAX_SOURCE_BYTES`], with line and column.
    pub fn compile(source: &str) -> Result<Self, TemplateError> {
        let mut environment = environment::environment();
        for global in [
            "unsubscribe_url",
            "preferences_url",
            "confirm_url",
            environment::BROWSER_URL,
        ] {
            environment.remove_global(global);
        }
        environment.remove_global("short");
        let source = &*css_comment::protect(source);
        let prepared = snippets::prepare(&environment, Part::Body, source)?;
        let compiled = SourceMap::new(source, prepared);
        add_source(&mut environment, Part::Body, Part::Body.name(), &compiled)?;
        // A page has no snippets: every use of one is an error.
        Snippets::default().used_by(&environment, Part::Body, source, "")?;
        Ok(Self {
            environment,
            source: compiled,
        })
    }

    /// Whether the template uses the variable `form`, without which nobody can do anything on the page.
    pub fn shows_form(&self) -> bool {
        self.environment
            .get_template(Part::Body.name())
            .is_ok_and(|template| template.undeclared_variables(false).contains("form"))
    }

    /// Renders the page; time and memory are bounded.
    ///
    /// # Errors
    /// As [`super::MailTemplate::render`].
    pub fn render(&self, page: &PageContext) -> Result<String, TemplateError> {
        let text: std::collections::BTreeMap<_, _> = page.text.iter().cloned().collect();
        let context = context! {
            form => Value::from_safe_string(page.form.clone()),
            scenario => page.scenario,
            sender => page.sender,
            language => page.language,
            direction => page.direction,
            unsubscribed => page.unsubscribed,
            everything => page.everything,
            text => text,
        };
        render_part(
            &self.environment,
            Part::Body,
            Part::Body.name(),
            &context,
            |_, offset| Some(self.source.position(offset)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(source: &str) -> Result<String, TemplateError> {
        PageTemplate::compile(source)?.render(&PageContext {
            form: "<form></form>".to_owned(),
            scenario: "<b>News",
            sender: "Shop <shop@shop.example>",
            language: "ar",
            direction: "rtl",
            unsubscribed: false,
            everything: false,
            text: vec![("title", "Leave & go".to_owned())],
        })
    }

    #[test]
    fn everything_but_the_form_is_escaped() {
        assert_eq!(
            page("<html dir={{ direction }}>{{ form }}{{ scenario }}{{ text.title }}{{ sender }}")
                .as_deref(),
            Ok(
                "<html dir=rtl><form></form>&lt;b&gt;NewsLeave &amp; goShop &lt;shop@shop.example&gt;"
            )
        );
    }

    #[test]
    fn tracked_links_do_not_exist_on_a_page() {
        for source in [
            "{{ unsubscribe_url }}",
            "{{ preferences_url }}",
            "{{ browser_url }}",
            "{{ short('https://a.example') }}",
        ] {
            assert!(page(source).is_err(), "{source}");
        }
    }

    #[test]
    fn a_page_is_known_by_whether_it_shows_the_form() {
        for (source, shows) in [
            ("{{ form }}", true),
            ("{% if unsubscribed %}{{ form }}{% endif %}", true),
            ("form", false),
            ("{% set form = 1 %}{{ form }}", false),
        ] {
            assert_eq!(
                PageTemplate::compile(source).unwrap().shows_form(),
                shows,
                "{source}"
            );
        }
    }

    #[test]
    fn limits_hold() {
        assert!(page("{% for i in range(100000) %}x{% endfor %}").is_err());
        assert!(page("{{ nonsense }}").is_err());
    }
}
