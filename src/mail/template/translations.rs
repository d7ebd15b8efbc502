//! The templates of an activity in all its languages, and which of them a recipient gets.

use std::collections::HashMap;
use std::sync::Arc;

use super::css_comment;
use super::names::{Names, Undefined};
use super::snippets::Snippets;
use super::{CampaignSource, MailTemplate, Part, Source, TemplateError, mailboxes};
use crate::mail::locale::{fallbacks, for_text, normalized};

/// The parts of a mail in one language; None: this language has none of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Texts {
    pub sender: Option<String>,
    pub reply_to: Option<String>,
    pub subject: Option<String>,
    pub body: Option<String>,
    pub preheader: Option<String>,
    pub text: Option<String>,
    /// Of a webhook, which has no other parts.
    pub url: Option<String>,
    pub payload: Option<String>,
}

impl Texts {
    /// Gives those of a mail that has this part alone.
    pub fn only(part: Part, text: &str) -> Texts {
        let mut texts = Texts::default();
        let place = match part {
            Part::Sender => &mut texts.sender,
            Part::ReplyTo => &mut texts.reply_to,
            Part::Subject => &mut texts.subject,
            Part::Body => &mut texts.body,
            Part::Preheader => &mut texts.preheader,
            Part::Text => &mut texts.text,
            Part::Url => &mut texts.url,
            Part::Payload => &mut texts.payload,
            Part::Header | Part::Utm => return texts,
        };
        *place = Some(text.to_owned());
        texts
    }

    fn part(&self, part: Part) -> Option<&str> {
        match part {
            Part::Sender => self.sender.as_deref(),
            Part::ReplyTo => self.reply_to.as_deref(),
            Part::Subject => self.subject.as_deref(),
            Part::Body => self.body.as_deref(),
            Part::Preheader => self.preheader.as_deref(),
            Part::Text => self.text.as_deref(),
            Part::Url => self.url.as_deref(),
            Part::Payload => self.payload.as_deref(),
            Part::Header | Part::Utm => None,
        }
    }
}

/// The templates of one activity.
#[derive(Debug)]
pub struct Translations {
    /// The language that the activity itself is written in.
    language: String,
    /// By normalised language tag; "" is the activity's own.
    texts: HashMap<String, Texts>,
    /// By part, whether any of them has it.
    has: [bool; Part::ALL.len()],
    snippets: Arc<Snippets>,
    campaign: Option<CampaignSource>,
    headers: Vec<(String, String)>,
    inlines_css: bool,
}

/// The choice of texts for a recipient. Recipients with equal choices share compiled templates; there are not more choices than
/// combinations of translations, whatever languages recipients have.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Choice {
    /// By part, the tags of its text and of the snippets in it.
    parts: [(String, String); Part::ALL.len()],
}

impl Translations {
    /// Takes the language of the activity's own texts.
    pub fn new(language: &str, snippets: Arc<Snippets>) -> Self {
        Translations {
            language: language.to_owned(),
            texts: HashMap::new(),
            has: Default::default(),
            snippets,
            campaign: None,
            headers: Vec::new(),
            inlines_css: false,
        }
    }

    /// What the links of its mails get, in whatever language.
    pub fn set_campaign(&mut self, utm: String, hosts: String) {
        self.campaign = Some(CampaignSource {
            utm,
            hosts,
            language: self.language.clone(),
        });
    }

    /// Its mails get their style sheets written into the elements that they match.
    pub fn inline_css(&mut self) {
        self.inlines_css = true;
    }

    /// The headers that its mails get, as names and templates, in whatever language.
    pub fn set_headers(&mut self, headers: Vec<(String, String)>) {
        self.headers = headers;
    }

    /// Adds texts; an empty language makes them the activity's own.
    pub fn add(&mut self, language: &str, texts: Texts) {
        for part in Part::ALL {
            self.has[part as usize] |= texts.part(part).is_some();
        }
        self.texts.insert(normalized(language), texts);
    }

    /// Chooses each part by itself: the recipient's language, what it falls back to, at last the activity's own. Preheader and
    /// text go with their body: one of a language to which the body has not fallen back is not taken. Snippets are in the
    /// language of the part that uses them, in the recipient's variant of it.
    pub fn choose(&self, recipient: &str) -> Choice {
        let recipient = normalized(recipient);
        let parts = Part::ALL.map(|part| {
            if !self.has[part as usize] {
                return Default::default();
            }
            let goes_with_body = matches!(part, Part::Preheader | Part::Text);
            let tag = fallbacks(&recipient)
                .find(|tag| {
                    self.text(part, tag).is_some()
                        || goes_with_body && self.text(Part::Body, tag).is_some()
                })
                .unwrap_or_default();
            let variant = normalized(for_text(&recipient, self.language_of(tag)));
            (tag.to_owned(), self.snippets.nearest(&variant))
        });
        Choice { parts }
    }

    /// Compiles the chosen texts.
    ///
    /// # Errors
    /// As [`MailTemplate::compile`].
    pub fn compile(&self, choice: &Choice) -> Result<MailTemplate, TemplateError> {
        let sources = Part::ALL.map(|part| {
            let (tag, snippets) = &choice.parts[part as usize];
            Some(Source {
                text: self.text(part, tag)?,
                language: self.language_of(tag),
                snippets,
            })
        });
        let mut template = MailTemplate::compile(sources, self.campaign.as_ref(), &self.snippets)?;
        template.add_headers(&self.headers, &self.language)?;
        template.inlines_css = self.inlines_css;
        Ok(template)
    }

    fn text(&self, part: Part, tag: &str) -> Option<&str> {
        self.texts.get(tag)?.part(part)
    }

    fn language_of<'a>(&'a self, tag: &'a str) -> &'a str {
        match tag {
            "" => &self.language,
            tag => tag,
        }
    }
}

/// Checks the texts of one language as they are written, with every variant of the snippets in them.
///
/// # Errors
/// As [`MailTemplate::compile`].
pub fn check(
    texts: &Texts,
    language: &str,
    snippets: &Snippets,
    names: Option<&Names>,
) -> Result<Vec<Undefined>, TemplateError> {
    let mut undefined = Vec::new();
    let protected = Part::ALL.map(|part| texts.part(part).map(css_comment::protect));
    let parts = Part::ALL.map(|part| protected[part as usize].as_deref());
    for part in [Part::Sender, Part::ReplyTo] {
        if let Some(source) = parts[part as usize] {
            mailboxes::refuse_no_address(part, source)?;
        }
    }
    for variant in snippets.variants(language) {
        let source = |text| Source {
            text,
            language,
            snippets: &variant,
        };
        MailTemplate::compile(parts.map(|text| text.map(source)), None, snippets)?
            .refuse_wrong_mjml()?;
        for (part, text) in Part::ALL.into_iter().zip(parts) {
            if let (Some(names), Some(text)) = (names, text) {
                for found in names.undefined(part, source(text), snippets)? {
                    if !undefined.contains(&found) {
                        undefined.push(found);
                    }
                }
            }
        }
    }
    Ok(undefined)
}
