//! URLs of the tracking proxy, and the check on where it may send a reader.

use std::net::IpAddr;

use thiserror::Error;
use url::Url;

/// The setting `marketing_automation.automation_base`: where recipients reach the tracking proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl {
    /// Scheme, host and a port that is not the default one; no slash at the end.
    origin: String,
}

/// Why a text is no base URL.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BaseUrlError {
    #[error("\"{0}\" is no URL: {1}")]
    Syntax(String, url::ParseError),
    #[error("\"{0}\" must begin with http:// or https://")]
    Scheme(String),
    #[error("\"{0}\" must not contain spaces, control characters or backslashes")]
    Character(String),
    #[error("the base URL must not contain a user name or password")]
    UserInfo,
    #[error(
        "\"{0}\" must be scheme, host and optionally a port, without a path, query or fragment"
    )]
    Path(String),
}

impl BaseUrl {
    /// Parses scheme, host and optional port, such as `https://mail.example.org`; one slash at the end is allowed.
    /// International host names become ASCII.
    pub fn parse(text: &str) -> Result<Self, BaseUrlError> {
        // The parser silently repairs these (WHATWG URL, section 4.4); in a setting they are mistakes.
        if text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\') {
            return Err(BaseUrlError::Character(text.to_owned()));
        }
        let lower = text.to_ascii_lowercase();
        if !lower.starts_with("http://") && !lower.starts_with("https://") {
            return Err(BaseUrlError::Scheme(text.to_owned()));
        }
        if text.contains('@') {
            return Err(BaseUrlError::UserInfo);
        }
        let url = Url::parse(text).map_err(|error| BaseUrlError::Syntax(text.to_owned(), error))?;
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(BaseUrlError::Path(text.to_owned()));
        }
        Ok(Self {
            origin: url.origin().ascii_serialization(),
        })
    }

    /// Whether links would cross a network in clear: http to another machine.
    pub fn is_in_clear(&self) -> bool {
        let Some(authority) = self.origin.strip_prefix("http://") else {
            return false;
        };
        let host = authority
            .rsplit_once(':')
            .filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()))
            .map_or(authority, |(host, _)| host);
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
        !(host == "localhost"
            || host.ends_with(".localhost")
            || address.is_ok_and(|address| address.is_loopback()))
    }

    /// The URL of the open image.
    pub fn open(&self, token: &str) -> String {
        format!("{}/o/{token}", self.origin)
    }

    /// The short URL of a link.
    pub fn click(&self, token: &str) -> String {
        format!("{}/c/{token}", self.origin)
    }

    /// The unsubscribe URL: page by GET, one-click by POST.
    pub fn unsubscribe(&self, token: &str) -> String {
        format!("{}/u/{token}", self.origin)
    }

    /// The page on which a recipient chooses topics. It takes the token of the unsubscribe URL: who may leave may choose.
    pub fn preferences(&self, token: &str) -> String {
        format!("{}/p/{token}", self.origin)
    }

    /// The page that confirms a subscription.
    pub fn confirm(&self, token: &str) -> String {
        format!("{}/s/{token}", self.origin)
    }

    /// The page that shows the mail in a browser.
    pub fn browser(&self, token: &str) -> String {
        format!("{}/v/{token}", self.origin)
    }
}

/// Returns the `Location` for a stored target, or `None` unless it is an absolute http or https URL with a host.
///
/// The result is the serialised URL: ASCII, without line breaks, so that it cannot smuggle a header.
pub fn redirect_target(stored: &str) -> Option<String> {
    let url = Url::parse(stored).ok()?;
    (matches!(url.scheme(), "http" | "https") && url.has_host()).then(|| url.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_base_purpose_and_token() {
        let base = BaseUrl::parse("https://m.example.org").unwrap();
        assert_eq!(base.open("T-_0"), "https://m.example.org/o/T-_0");
        assert_eq!(base.click("T-_0"), "https://m.example.org/c/T-_0");
        assert_eq!(base.unsubscribe("T-_0"), "https://m.example.org/u/T-_0");
        assert_eq!(base.preferences("T-_0"), "https://m.example.org/p/T-_0");
        assert_eq!(base.confirm("T-_0"), "https://m.example.org/s/T-_0");
        assert_eq!(base.browser("T-_0"), "https://m.example.org/v/T-_0");
    }

    #[test]
    fn base_urls_are_normalised() {
        for (text, open) in [
            ("http://localhost:8080/", "http://localhost:8080/o/t"),
            ("HTTPS://M.Example.org:443", "https://m.example.org/o/t"),
            (
                "https://bücher.example",
                "https://xn--bcher-kva.example/o/t",
            ),
            ("http://[::1]:8080", "http://[::1]:8080/o/t"),
        ] {
            assert_eq!(BaseUrl::parse(text).unwrap().open("t"), open);
        }
    }

    #[test]
    fn http_is_for_this_machine_only() {
        for (base, in_clear) in [
            ("https://m.example.org", false),
            ("http://m.example.org", true),
            ("http://m.example.org:8080", true),
            ("http://192.0.2.1:8080", true),
            ("http://[2001:db8::1]", true),
            ("http://localhost:8080", false),
            ("http://127.0.0.1", false),
            ("http://[::1]:8080", false),
            ("http://[::1]", false),
        ] {
            assert_eq!(
                BaseUrl::parse(base).unwrap().is_in_clear(),
                in_clear,
                "{base}"
            );
        }
    }

    #[test]
    fn anything_but_scheme_host_and_port_is_refused() {
        let path = |text: &str| BaseUrlError::Path(text.to_owned());
        for text in [
            "https://a.example/mail",
            "https://a.example//",
            "https://a.example/?",
            "https://a.example#",
        ] {
            assert_eq!(BaseUrl::parse(text), Err(path(text)));
        }
        for text in [
            "",
            "a.example",
            "//a.example",
            "ftp://a.example",
            "https:a.example",
            "javascript:alert(1)",
        ] {
            assert_eq!(
                BaseUrl::parse(text),
                Err(BaseUrlError::Scheme(text.to_owned()))
            );
        }
        for text in [
            " https://a.example",
            "https://a.ex\nample",
            "https:\\\\a.example",
            "https://a.example\t",
        ] {
            assert_eq!(
                BaseUrl::parse(text),
                Err(BaseUrlError::Character(text.to_owned()))
            );
        }
        for text in [
            "https://u@a.example",
            "https://u:p@a.example",
            "https://@a.example",
        ] {
            assert_eq!(BaseUrl::parse(text), Err(BaseUrlError::UserInfo));
        }
        for text in ["https://", "https://a.example:99999", "https://[::1"] {
            assert!(
                matches!(BaseUrl::parse(text), Err(BaseUrlError::Syntax(..))),
                "{text}"
            );
        }
    }

    #[test]
    fn a_password_is_not_repeated_in_the_error() {
        let error = BaseUrl::parse("https://u:secret@a.example").unwrap_err();
        assert!(!error.to_string().contains("secret"));
    }

    #[test]
    fn only_web_targets_are_redirected_to() {
        for (stored, location) in [
            (
                "https://shop.example/a?b=c#d",
                "https://shop.example/a?b=c#d",
            ),
            ("http://shop.example", "http://shop.example/"),
            (
                "https://shop.example/größe",
                "https://shop.example/gr%C3%B6%C3%9Fe",
            ),
            (
                "https://shop.example/a\r\nSet-Cookie: x",
                "https://shop.example/aSet-Cookie:%20x",
            ),
        ] {
            assert_eq!(redirect_target(stored).as_deref(), Some(location));
        }
        for stored in [
            "",
            "/relative",
            "//shop.example",
            "javascript:alert(1)",
            "data:text/html,x",
            "file:///etc/passwd",
            "mailto:a@b.example",
            "https://",
        ] {
            assert_eq!(redirect_target(stored), None, "{stored}");
        }
    }
}
