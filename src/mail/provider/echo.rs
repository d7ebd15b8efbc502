//! Headers by which a provider says of which mail of ours an event is: some write a Message-ID of their own, and echo others' only
//! where a header asks for it.

use thiserror::Error;

use super::{Provider, brevo, postmark, sendgrid};

/// Providers that have such a header.
const ECHOING: [Provider; 3] = [Provider::SendGrid, Provider::Postmark, Provider::Brevo];

/// No such provider, or one that needs no header.
#[derive(Debug, Error)]
#[error("\"{0}\" is no provider that needs a header: it is sendgrid, postmark or brevo")]
pub struct NoHeader(String);

/// The providers that mails have a header for.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Echo(Vec<Provider>);

impl Echo {
    /// Reads their names, with commas between them.
    ///
    /// # Errors
    /// The first name that is none.
    pub fn parse(text: &str) -> Result<Self, NoHeader> {
        let names = text
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty());
        let providers = names.map(|name| {
            let known = ECHOING
                .into_iter()
                .find(|provider| provider.name().eq_ignore_ascii_case(name));
            known.ok_or_else(|| NoHeader(name.to_owned()))
        });
        providers.collect::<Result<_, _>>().map(Echo)
    }

    /// Names and values of the headers. `id`: what stands before the `@` of the Message-ID.
    #[must_use]
    pub fn headers(&self, id: &str) -> Vec<(String, String)> {
        let header = |provider: &Provider| match provider {
            Provider::SendGrid => Some(sendgrid::header(id)),
            Provider::Postmark => Some(postmark::header(id)),
            Provider::Brevo => Some((brevo::HEADER.to_owned(), id.to_owned())),
            Provider::Ses | Provider::Mailgun => None,
        };
        self.0.iter().filter_map(header).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_provider_has_its_header() {
        let echo = Echo::parse(" SendGrid,postmark, ,brevo ").unwrap();
        let headers = echo.headers("uuid.17");
        let expected = [
            (
                "X-SMTPAPI",
                r#"{"unique_args":{"marketing_message_id":"uuid.17"}}"#,
            ),
            ("X-PM-Metadata-message-id", "uuid.17"),
            ("X-Mailin-custom", "uuid.17"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(headers, expected);
        assert!(Echo::parse("").unwrap().headers("uuid.17").is_empty());
    }

    #[test]
    fn others_need_none() {
        for text in ["ses", "mailgun", "sendgrid postmark", "x"] {
            let error = Echo::parse(text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("\"{text}\" is no provider")));
        }
    }
}
