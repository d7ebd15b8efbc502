//! A mail for one recipient: first with placeholders, then with its final URLs.

use std::borrow::Cow;

pub use crate::mail::placeholder::Target;

use crate::mail::{placeholder, tracking_pixel};

/// A rendered mail whose tracked URLs are still placeholders.
#[derive(Debug, Clone)]
pub struct Rendered {
    pub(crate) sender: Option<String>,
    pub(crate) reply_to: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) subject: String,
    pub(crate) html: String,
    pub(crate) text: String,
    pub(crate) links: Vec<String>,
}

/// What may be recorded of what a recipient does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Consent {
    pub opens: bool,
    pub clicks: bool,
}

/// A mail with its final URLs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assembled {
    /// The From mailbox, when the activity or its translation has one.
    pub sender: Option<String>,
    /// The mailboxes that replies go to, when its template has given any.
    pub reply_to: Option<String>,
    /// Names and values of the headers that the author adds.
    pub headers: Vec<(String, String)>,
    pub subject: String,
    pub html: String,
    /// The plain-text alternative, of a template of its own or derived from the HTML.
    pub text: String,
}

impl Rendered {
    /// Gives the distinct target URLs, in the order in which they first appeared.
    pub fn links(&self) -> &[String] {
        &self.links
    }

    /// Names the first link that is for one reader alone; None: it has none.
    pub fn personal_link(&self) -> Option<&'static str> {
        let headers = self.headers.iter().map(|(_, value)| value);
        let texts = [&self.html, &self.text, &self.subject].into_iter();
        let texts = texts
            .chain(&self.reply_to)
            .chain(&self.sender)
            .chain(headers);
        let mut targets = texts.flat_map(|text| placeholder::targets(text));
        targets.find_map(|target| match target {
            Target::Unsubscribe(_) => Some("a link to unsubscribe"),
            Target::Preferences => Some("a link to choose topics"),
            Target::Confirm => Some("a link to confirm a subscription"),
            // All have what the page shows.
            Target::Link(_) | Target::Browser | Target::OpenImage | Target::HiddenLink => None,
        })
    }

    /// Puts the real URLs in.
    ///
    /// Without consent to opens the HTML has no open image, without consent to clicks the links lead where their author
    /// wrote and no `hidden_link` is set as a trap for robots. `url_of` must give absolute http or https URLs; they are
    /// HTML-escaped where they land in the HTML.
    pub fn assemble(
        &self,
        consent: Consent,
        hidden_link: bool,
        url_of: impl Fn(Target) -> String,
    ) -> Assembled {
        let known = |target: Target| match target {
            Target::Link(index) | Target::Unsubscribe(Some(index)) if index >= self.links.len() => {
                String::new()
            }
            Target::Link(index) if !consent.clicks => self.links[index].clone(),
            _ => url_of(target),
        };
        let html = match (consent.opens, hidden_link && consent.clicks) {
            (true, false) => Cow::Borrowed(self.html.as_str()),
            (opens, hidden) => {
                let image = tracking_pixel::open_image();
                let mut end = String::new();
                if hidden {
                    end.push_str(&tracking_pixel::hidden_link());
                }
                if opens {
                    end.push_str(&image);
                }
                Cow::Owned(self.html.replace(&image, &end))
            }
        };
        let plain = |text: &str| placeholder::fill(text, known);
        Assembled {
            sender: self.sender.as_deref().map(plain),
            reply_to: self.reply_to.as_deref().map(plain),
            headers: self
                .headers
                .iter()
                .map(|(name, value)| (name.clone(), plain(value)))
                .collect(),
            subject: plain(&self.subject),
            html: placeholder::fill(&html, |target| {
                html_escape::encode_quoted_attribute(&known(target)).into_owned()
            }),
            text: plain(&self.text),
        }
    }
}
