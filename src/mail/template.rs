//! Templates of one activity in one language: compiled once, rendered once per mail.

mod advice;
mod arithmetic;
mod balance;
mod body_links;
mod campaign;
mod columns;
mod css_comment;
mod dead_links;
mod decimal;
mod environment;
mod error;
mod expression;
mod headers;
mod jinja2;
mod json;
mod limits;
mod mailboxes;
mod methods;
mod names;
mod null;
mod numbers;
mod operators;
mod page;
mod printf;
mod remarks;
mod render;
mod scan;
mod snippets;
mod source_map;
mod static_links;
mod torn_html;
mod translations;
mod utm;
mod webhook;
mod wrong_mjml;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use minijinja::Environment;
use minijinja::value::Value;

pub use body_links::{BodyLink, body_links};
pub use campaign::CampaignSource;
pub use columns::Columns;
pub use error::{Part, TemplateError};
pub use headers::check_headers;
pub use limits::{MAX_CONTEXT_BYTES, MAX_OUTPUT_BYTES, MAX_SOURCE_BYTES};
pub use names::{Names, Undefined};
pub use page::{PageContext, PageTemplate};
pub use remarks::{Remark, remarks};
pub use snippets::Snippets;
pub use translations::{Choice, Texts, Translations, check};
pub use utm::check_campaign;
pub use webhook::{Call, check_webhook};

use crate::mail::campaign::Hosts;
use crate::mail::locale::{self, Locale};
use crate::mail::placeholder::Links;
use crate::mail::rendered::Rendered;
use crate::mail::{inline_css, mjml, plain_text, preheader, rewrite, text_links, tracking_pixel};
use columns::RESULTS;
use environment::Scope;
use limits::{check_context, too_long};
use methods::Methods;
use render::{one_line, render_part};
use rewrite::Replaced;
use source_map::SourceMap;

/// How to write dates and numbers for the person who gets the mail.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recipient {
    /// BCP 47 (`fr-CA`) or POSIX (`fr_CA`); unknown or empty is English.
    pub language: String,
    /// IANA name (`Europe/Brussels`); empty is UTC.
    pub time_zone: String,
}

/// Gives the variables of a template: the row, its recipient, and the scenario and activity that mail it; the results of calls, which
/// come along with the row under the name [`RESULTS`].
pub fn context(
    mut record: serde_json::Value,
    party: Option<&str>,
    name: Option<&str>,
    email: Option<&str>,
    recipient: &Recipient,
    scenario: &str,
    activity: &str,
) -> serde_json::Value {
    let results = record
        .as_object_mut()
        .and_then(|record| record.remove(RESULTS));
    let mut context = serde_json::json!({
        "record": record,
        "party": {
            "id": party, "name": name, "email": email,
            "language": recipient.language, "time_zone": recipient.time_zone,
        },
        "scenario": { "name": scenario },
        "activity": { "name": activity },
    });
    if let Some(results) = results {
        context["results"] = results;
    }
    context
}

/// One template of a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source<'a> {
    pub text: &'a str,
    /// The language of its text, and so of dates and numbers in it.
    pub language: &'a str,
    /// The language of the snippets in it: a variant of `language`, or empty for their defaults.
    pub snippets: &'a str,
}

/// The templates of one activity in one language, one for each part of its mail, with the snippets that they use.
#[derive(Debug)]
pub struct MailTemplate {
    environment: Environment<'static>,
    /// By part; None: no such part.
    languages: [Option<String>; Part::ALL.len()],
    /// The language of the parameters that links get, and the hosts that get them; None: there are none.
    campaign: Option<(String, Arc<Hosts>)>,
    /// Whether style sheets are written into the elements that they match.
    inlines_css: bool,
    /// Names of the headers that the author adds, and the language of their values.
    headers: (Vec<String>, String),
    /// Links that were found in the body and its snippets; None: they are looked for in every mail.
    links: Option<Vec<Replaced>>,
    /// What was compiled, by the names of templates.
    sources: HashMap<String, SourceMap>,
}

impl MailTemplate {
    /// Compiles the templates, which stand in the order of [`Part::ALL`].
    ///
    /// # Errors
    /// The first part or snippet that does not compile, is longer than [`MAX_SOURCE_BYTES`] or uses a snippet that does
    /// not exist or uses itself, with line and column; a body without expressions whose MJML or links are wrong.
    pub fn compile(
        sources: [Option<Source<'_>>; Part::ALL.len()],
        campaign: Option<&CampaignSource>,
        snippets: &Snippets,
    ) -> Result<MailTemplate, TemplateError> {
        let mut template = MailTemplate {
            environment: environment::environment(),
            languages: sources.map(|source| Some(source?.language.to_owned())),
            campaign: None,
            inlines_css: false,
            headers: Default::default(),
            links: None,
            sources: HashMap::new(),
        };
        if let Some(campaign) = campaign {
            template.add_campaign(campaign)?;
        }
        for (part, source) in Part::ALL.into_iter().zip(sources) {
            if let Some(source) = source {
                template.add(part, source, snippets)?;
            }
        }
        let Some(body) = sources[Part::Body as usize] else {
            return Ok(template);
        };
        let document = dead_links::without_tags(&css_comment::protect(body.text));
        if mjml::is_mjml(&document)
            && let Some(mistake) = mjml::first_mistake(&document, dead_links::TAG)
        {
            let error = TemplateError::at(Part::Body, body.text, mistake.offset, mistake.message);
            return Err(error.with_hint(mistake.hint));
        }
        // What every mail will hold alike is wrong already when it is written.
        if is_constant(body.text) {
            html_of(body.text.to_owned(), &mut Links::default())?;
        }
        Ok(template)
    }

    /// Whether it makes webhooks, and no mails.
    pub fn is_webhook(&self) -> bool {
        self.languages[Part::Url as usize].is_some()
    }

    /// Whether all mails have the same sender.
    pub fn has_constant_sender(&self) -> bool {
        let sender = self.sources.get(Part::Sender.name());
        sender.is_some_and(|source| is_constant(source.written()))
    }

    /// Adds one part and the snippets that it uses.
    fn add(
        &mut self,
        part: Part,
        source: Source<'_>,
        snippets: &Snippets,
    ) -> Result<(), TemplateError> {
        self.add_as(part, part.name(), source, snippets)
    }

    /// Adds one part under the name of a template.
    fn add_as(
        &mut self,
        part: Part,
        name: &str,
        source: Source<'_>,
        snippets: &Snippets,
    ) -> Result<(), TemplateError> {
        let text = &*css_comment::protect(source.text);
        let prepared = snippets::prepare(&self.environment, part, text)?;
        let mut names = vec![name.to_owned()];
        self.add_source(part, &names[0], SourceMap::new(text, prepared))?;
        let mut methods = Methods::default();
        methods.add(None, text);
        for used in snippets.used_by(&self.environment, part, text, source.snippets)? {
            methods.add(Some(used.name), used.text);
            let name = format!("{name}/{}", used.name);
            self.add_source(part, &name, SourceMap::new(used.text, used.prepared))?;
            names.push(name);
        }
        methods.refuse_unknown(part)?;
        if part == Part::Body {
            self.mark_links(&names);
        }
        Ok(())
    }

    fn add_source(
        &mut self,
        part: Part,
        name: &str,
        source: SourceMap,
    ) -> Result<(), TemplateError> {
        add_source(&mut self.environment, part, name, &source)?;
        self.sources.insert(name.to_owned(), source);
        Ok(())
    }

    /// Marks the links of the body, where all of them can be found in its sources.
    fn mark_links(&mut self, names: &[String]) {
        let texts: Vec<&str> = names.iter().map(|name| self.sources[name].text()).collect();
        // Links that are not tracked get the parameters of the campaign too, in each mail.
        if self.campaign.is_some() && texts.iter().any(|text| rewrite::has_untracked(text)) {
            return;
        }
        let Some((marked, links)) = static_links::mark(&texts) else {
            return;
        };
        let mut environment = self.environment.clone();
        for (name, marked) in names.iter().zip(&marked) {
            if environment
                .add_template_owned(name.clone(), marked.text.clone())
                .is_err()
            {
                return;
            }
        }
        self.environment = environment;
        self.links = Some(links);
        for (name, marked) in names.iter().zip(marked) {
            if let Some(source) = self.sources.get_mut(name) {
                source.mark(marked);
            }
        }
    }

    /// Line and column, as the author sees them, of an offset in a source as it was compiled.
    fn position(&self, name: &str, snippet: Option<&str>, offset: usize) -> Option<(u32, u32)> {
        let name = match snippet {
            None => name.to_owned(),
            Some(snippet) => format!("{name}/{snippet}"),
        };
        Some(self.sources.get(&name)?.position(offset))
    }

    /// Renders the mail for one record.
    ///
    /// `context` is a JSON object with `record`, `party`, `scenario` and `activity`. Time and memory are bounded,
    /// whatever the template does.
    ///
    /// # Errors
    /// An undefined variable, a bad value for a filter, a limit reached, MJML that does not parse; with part, line and column where they are known.
    pub fn render(
        &self,
        context: &serde_json::Value,
        recipient: &Recipient,
    ) -> Result<Rendered, TemplateError> {
        check_context(context)?;
        let links = Arc::new(Mutex::new(Links::default()));
        let render_in = |part: Part, name: &str, language: &str, context: &Value| {
            let language = locale::for_text(&recipient.language, language);
            let scope = Scope {
                locale: Locale::new(language, &recipient.time_zone),
                links: Arc::clone(&links),
            };
            let environment = environment::for_mail(&self.environment, scope);
            render_part(&environment, part, name, context, |snippet, offset| {
                self.position(name, snippet, offset)
            })
        };
        if let Some((language, hosts)) = &self.campaign {
            let (part, context) = (Part::Utm, campaign::context(context));
            let query = render_in(part, part.name(), language, &context)?;
            let campaign = campaign::read(&query, hosts)?;
            links
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .set_campaign(campaign);
        }
        let context = null::from_json(context);
        let render = |part: Part| match &self.languages[part as usize] {
            None => Ok(None),
            Some(language) => render_in(part, part.name(), language, &context).map(Some),
        };
        let header = |part| render(part)?.map(|text| one_line(part, text)).transpose();
        let sender = header(Part::Sender)?;
        // Replies about a row that has no address for them go to the sender.
        let reply_to = header(Part::ReplyTo)?
            .filter(|list| !list.chars().all(|c| c == ',' || c.is_whitespace()));
        let subject = header(Part::Subject)?.unwrap_or_default();
        let body = render(Part::Body)?.unwrap_or_default();
        let preheader = header(Part::Preheader)?;
        let own_text = render(Part::Text)?.filter(|text| !text.trim().is_empty());
        let headers = self
            .render_headers(|name, language| render_in(Part::Header, name, language, &context))?;
        let mut links = std::mem::take(&mut *links.lock().unwrap_or_else(PoisonError::into_inner));
        let html = match &self.links {
            Some(known) => rewrite::track_marked(&body, known, &mut links)
                .map_err(|message| TemplateError::new(Part::Body, message))?,
            None => html_of(body, &mut links)?,
        };
        let html = match self.inlines_css {
            true => inline_css::inline(html)
                .map_err(|message| TemplateError::new(Part::Body, message))?,
            false => html,
        };
        let text = match own_text {
            Some(text) => text_links::track(&text, &mut links),
            None => plain_text::from_html(&html),
        };
        let html = match preheader {
            Some(preheader) => preheader::insert(html, &preheader),
            None => html,
        };
        let html = tracking_pixel::insert_open_image(html);
        Ok(Rendered {
            sender,
            reply_to,
            headers,
            subject,
            html,
            text,
            links: links.into_urls(),
        })
    }
}

/// Compiles a source under a name.
fn add_source(
    environment: &mut Environment<'static>,
    part: Part,
    name: &str,
    source: &SourceMap,
) -> Result<(), TemplateError> {
    environment
        .add_template_owned(name.to_owned(), source.text().to_owned())
        .map_err(|error| {
            let offset = error.range().map(|range| source.original(range.start));
            TemplateError::from_minijinja(part, &error, |_, offset| Some(source.position(offset)))
                .with_hint(advice::for_tag(source.written(), offset))
        })
}

/// Turns the body into HTML whose links are placeholders.
fn html_of(body: String, links: &mut Links) -> Result<String, TemplateError> {
    let wrong = |message| TemplateError::new(Part::Body, message);
    let html = match mjml::is_mjml(&body) {
        true => mjml::to_html(&body).map_err(wrong)?,
        false => body,
    };
    if html.len() > MAX_OUTPUT_BYTES {
        return Err(too_long(Part::Body, MAX_OUTPUT_BYTES));
    }
    rewrite::track_links(&html, links).map_err(wrong)
}

/// Whether a template gives the same for every row.
pub(crate) fn is_constant(source: &str) -> bool {
    !["{{", "{%", "{#"].iter().any(|tag| source.contains(tag))
}

#[cfg(test)]
mod tests;
