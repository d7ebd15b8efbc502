//! Which server a URL is of, and how much of it a template may make. Scheme, host and port stand in the template as they are, so that
//! whether its webhooks may go there is known when it is written.

use url::{Host, Url};

/// Scheme, host and port (RFC 6454).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    text: String,
    pub is_tls: bool,
    pub host: Host<String>,
    pub port: u16,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl Origin {
    /// Reads `https://host[:port]`.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text.trim()).map_err(|error| error.to_string())?;
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err("it has more than scheme, host and port".to_owned());
        }
        Self::of(&url)
    }

    fn of(url: &Url) -> Result<Self, String> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("its scheme is {}", url.scheme()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("it has a user name or a password".to_owned());
        }
        let host = url.host().ok_or("it has no host")?.to_owned();
        Ok(Origin {
            text: url.origin().ascii_serialization(),
            is_tls: url.scheme() == "https",
            host,
            port: url.port_or_known_default().ok_or("it has no port")?,
        })
    }

    /// The host as a header has it.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.text.split_once("://").map_or("", |(_, rest)| rest)
    }
}

/// What is fixed of the URLs that a template makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fixed {
    pub origin: Origin,
    /// The part of the path before the first expression, up to its last slash.
    directory: String,
}

impl Fixed {
    /// Reads what stands before the first expression of a template.
    ///
    /// # Errors
    /// Says why its server is not known before it is rendered, or what is wrong with it.
    pub fn of(template: &str) -> Result<Self, String> {
        let template = template.trim();
        let tags = ["{{", "{%", "{#"]
            .iter()
            .filter_map(|tag| template.find(tag));
        let end = tags.min().unwrap_or(template.len());
        let fixed = &template[..end];
        let authority = fixed.split_once("://").map(|(_, rest)| rest);
        if end < template.len() && !authority.is_some_and(|rest| rest.contains('/')) {
            return Err(
                "its scheme, host and port are not written out before the first expression"
                    .to_owned(),
            );
        }
        let url = Url::parse(fixed).map_err(|error| error.to_string())?;
        let origin = Origin::of(&url)?;
        let directory = match url.path().rfind('/') {
            Some(slash) => url.path()[..=slash].to_owned(),
            None => "/".to_owned(),
        };
        Ok(Fixed { origin, directory })
    }

    /// The path and the query of a rendered URL.
    ///
    /// # Errors
    /// Says why it is none of this template: what a row has given must not lead elsewhere.
    pub fn path_of(&self, rendered: &str) -> Result<String, String> {
        let url =
            Url::parse(rendered.trim()).map_err(|error| format!("its URL is none: {error}"))?;
        let origin = Origin::of(&url)?;
        if origin != self.origin || !url.path().starts_with(&self.directory) {
            return Err(format!(
                "its URL leads out of {}{}",
                self.origin, self.directory
            ));
        }
        Ok(match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_spelt_in_one_way() {
        for (text, origin) in [
            ("https://CRM.example", "https://crm.example"),
            ("https://crm.example:443/", "https://crm.example"),
            ("http://crm.example:8080", "http://crm.example:8080"),
            ("http://[::1]:80", "http://[::1]"),
            ("https://bücher.example", "https://xn--bcher-kva.example"),
            // The ways in which 127.0.0.1 is written.
            ("http://0x7f.1", "http://127.0.0.1"),
            ("http://2130706433", "http://127.0.0.1"),
        ] {
            assert_eq!(Origin::parse(text).unwrap().to_string(), origin, "{text}");
        }
        for text in [
            "crm.example",
            "ftp://crm.example",
            "https://crm.example/path",
            "https://crm.example?x",
            "https://me@crm.example",
            "https://",
            "",
        ] {
            assert!(Origin::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_template_says_its_server() {
        let origin = |text| Fixed::of(text).map(|fixed| fixed.origin.to_string());
        assert_eq!(
            origin("https://crm.example/hook").unwrap(),
            "https://crm.example"
        );
        assert_eq!(
            origin("https://crm.example/{{ record.id }}?a={{ record.a }}").unwrap(),
            "https://crm.example"
        );
        for text in [
            "{{ record.url }}",
            "https://{{ record.host }}/hook",
            "https://crm.example{{ record.rest }}",
            "https://crm.example:{{ record.port }}/",
            "{% if true %}https://crm.example/{% endif %}",
            "https://user:secret@crm.example/",
            "mailto:a@b.example",
        ] {
            assert!(origin(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_row_leads_nowhere_else() {
        let fixed = Fixed::of("https://crm.example/hooks/{{ record.id }}").unwrap();
        let path = |url: &str| fixed.path_of(url);
        assert_eq!(
            path("https://crm.example/hooks/7?x=1#y").unwrap(),
            "/hooks/7?x=1"
        );
        for url in [
            "https://crm.example/hooks/..",
            "https://crm.example/hooks/%2e%2e/admin",
            "https://crm.example/other",
            "https://crm.example:8443/hooks/7",
            "http://crm.example/hooks/7",
            "https://crm.example.evil.example/hooks/7",
            "https://crm.example@evil.example/hooks/7",
            "no URL",
        ] {
            assert!(path(url).is_err(), "{url}");
        }
    }
}
