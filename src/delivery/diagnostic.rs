//! Why an attempt ended as it did: the reply of the server with its codes, or a text of our own (RFC 3464 calls it diagnostic).

use std::fmt;
use std::time::Duration;

use crate::smtp::{Scope, SendError, Verdict};

/// One line of text and, when it holds a reply of the server, the code of this reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub text: String,
    /// SMTP reply code (RFC 5321, section 4.2.1).
    pub code: Option<u16>,
    /// What the refusal is about, where it is one.
    pub verdict: Option<Verdict>,
    /// It asked not to be tried again before.
    pub retry_after: Option<Duration>,
}

impl Diagnostic {
    /// The server's reply as it came, on one line.
    pub fn reply(text: String) -> Self {
        let code = text.get(..3).and_then(|code| code.parse().ok());
        Diagnostic {
            text,
            code,
            verdict: None,
            retry_after: None,
        }
    }

    pub(super) fn is_about(&self, scope: Scope) -> bool {
        self.verdict.is_some_and(|verdict| verdict.scope == scope)
    }

    /// Enhanced status code (RFC 3463), which stands after the reply code and begins with the same digit (RFC 2034,
    /// section 4).
    pub fn status(&self) -> Option<&str> {
        let code = self.code?.to_string();
        let after = match self.text.strip_prefix(&code) {
            Some(after) => after,
            None => self.text.split_once(&format!(": {code}"))?.1,
        };
        let status = after
            .strip_prefix([' ', '-'])?
            .split(|c: char| c != '.' && !c.is_ascii_digit())
            .next()?;
        let parts: Vec<&str> = status.split('.').collect();
        let fits = matches!(parts[..], [class, subject, detail]
            if code.starts_with(class) && class.len() == 1
                && [subject, detail].iter().all(|part| (1..=3).contains(&part.len())));
        fits.then_some(status)
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl From<&SendError> for Diagnostic {
    fn from(error: &SendError) -> Self {
        Diagnostic {
            text: error.to_string(),
            code: error.code,
            verdict: error.verdict,
            retry_after: None,
        }
    }
}

impl From<String> for Diagnostic {
    fn from(text: String) -> Self {
        Diagnostic {
            text,
            code: None,
            verdict: None,
            retry_after: None,
        }
    }
}

impl From<&str> for Diagnostic {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_taken_apart() {
        let cases = [
            ("250 2.0.0 Ok: queued as 00000001", Some(250), Some("2.0.0")),
            ("250-2.1.5 fine", Some(250), Some("2.1.5")),
            ("250 Ok", Some(250), None),
            // Another class, too few or too many parts, too long a part.
            ("250 5.0.0 what", Some(250), None),
            ("250 2.0 what", Some(250), None),
            ("250 2.0.0.0 what", Some(250), None),
            ("250 2.0000.0 what", Some(250), None),
            ("250", Some(250), None),
            ("written to a file", None, None),
        ];
        for (text, code, status) in cases {
            let reason = Diagnostic::reply(text.to_owned());
            assert_eq!((reason.code, reason.status()), (code, status), "{text}");
        }
    }

    #[test]
    fn a_refusal_is_found_behind_the_step_that_it_answers() {
        let refused = Diagnostic {
            text: "RCPT TO: 550 5.1.1 no such user, see 450 4.2.0".to_owned(),
            code: Some(550),
            verdict: None,
            retry_after: None,
        };
        assert_eq!(refused.status(), Some("5.1.1"));
        assert_eq!(Diagnostic::from("template: 550 5.1.1").status(), None);
    }
}
