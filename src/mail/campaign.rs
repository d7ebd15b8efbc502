//! Parameters of a campaign (`utm_source=…`) for the links of a mail that lead to hosts of its sender.

use std::sync::Arc;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use url::{Host, Url};

/// What an author may write in a query as it is, but for what begins a fragment; `%` is part of what is encoded already.
const WRITTEN: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'\'')
    .add(b'<')
    .add(b'>');

/// Longest that all of them may be, in bytes: browsers and servers take addresses of 2,000.
const MAX_BYTES: usize = 1_000;

/// Hosts whose links get the parameters, each with those below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hosts(Vec<String>);

impl Hosts {
    /// Reads names with spaces or commas between them.
    ///
    /// # Errors
    /// The first that is no host name, or that there is none.
    pub fn parse(list: &str) -> Result<Hosts, String> {
        let names = list.split(|c: char| c == ',' || c.is_whitespace());
        let hosts = names
            .filter(|name| !name.is_empty())
            .map(|name| match Host::parse(name) {
                Ok(Host::Domain(host)) if !host.starts_with('.') && !host.contains('*') => {
                    Ok(host.trim_end_matches('.').to_owned())
                }
                Ok(Host::Ipv4(address)) => Ok(address.to_string()),
                _ => Err(format!("{name:?} is no host name")),
            })
            .collect::<Result<Vec<String>, String>>()?;
        match hosts.is_empty() {
            true => Err("there is no host name".to_owned()),
            false => Ok(Hosts(hosts)),
        }
    }

    fn has(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.');
        self.0.iter().any(|own| {
            host.strip_suffix(own.as_str())
                .is_some_and(|above| above.is_empty() || above.ends_with('.'))
        })
    }
}

/// The parameters of one mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Campaign {
    /// Name and value, encoded.
    parameters: Vec<(String, String)>,
    hosts: Arc<Hosts>,
}

impl Campaign {
    /// Reads `utm_source=shop&utm_campaign=spring`. Parameters without a value are left out.
    ///
    /// # Errors
    /// The first piece that is no such parameter, or that they are too long.
    pub fn parse(query: &str, hosts: Arc<Hosts>) -> Result<Campaign, String> {
        let parameters = parameters(query)?;
        Ok(Campaign { parameters, hosts })
    }

    /// The address with those of the parameters that it has not, before its fragment; None: it stays as it is.
    pub fn tag(&self, url: &str) -> Option<String> {
        let parsed = Url::parse(url).ok()?;
        if !matches!(parsed.scheme(), "http" | "https") || !self.hosts.has(parsed.host_str()?) {
            return None;
        }
        let (address, fragment) = match url.split_once('#') {
            Some((address, fragment)) => (address, Some(fragment)),
            None => (url, None),
        };
        let query = address.split_once('?').map(|(_, query)| query);
        let has = |name: &str| {
            query.is_some_and(|query| {
                query
                    .split('&')
                    .any(|pair| pair.split('=').next().is_some_and(|own| own == name))
            })
        };
        let mut tagged = address.to_owned();
        let mut separator = match query {
            None => "?",
            Some(query) if query.is_empty() || query.ends_with('&') => "",
            Some(_) => "&",
        };
        for (name, value) in &self.parameters {
            if !has(name) {
                tagged.push_str(separator);
                tagged.push_str(name);
                tagged.push('=');
                tagged.push_str(value);
                separator = "&";
            }
        }
        if tagged == address {
            return None;
        }
        if let Some(fragment) = fragment {
            tagged.push('#');
            tagged.push_str(fragment);
        }
        Some(tagged)
    }
}

fn parameters(query: &str) -> Result<Vec<(String, String)>, String> {
    let mut parameters: Vec<(String, String)> = Vec::new();
    for piece in query.trim().trim_start_matches('?').split('&') {
        let piece = piece.trim();
        if piece.is_empty() {
            continue;
        }
        let (name, value) = piece
            .split_once('=')
            .filter(|(name, _)| is_name(name))
            .ok_or_else(|| format!("{piece:?} is no parameter utm_…=value"))?;
        if !is_encoded(value) {
            return Err(format!("{piece:?} has a % that encodes nothing: write %25"));
        }
        if parameters.iter().any(|(known, _)| known == name) {
            return Err(format!("{name} is there twice"));
        }
        if !value.trim().is_empty() {
            let value = utf8_percent_encode(value.trim(), WRITTEN).to_string();
            parameters.push((name.to_owned(), value));
        }
    }
    let length: usize = parameters
        .iter()
        .map(|(name, value)| name.len() + value.len() + 2)
        .sum();
    match length > MAX_BYTES {
        true => Err(format!("it is longer than {MAX_BYTES} bytes")),
        false => Ok(parameters),
    }
}

/// Whether each `%` has two hexadecimal digits behind it.
fn is_encoded(value: &str) -> bool {
    value.split('%').skip(1).all(|rest| {
        let digits = rest.bytes().take(2);
        digits.filter(u8::is_ascii_hexdigit).count() == 2
    })
}

/// Names of campaigns are what reports of links know: see `link_pattern()`.
fn is_name(name: &str) -> bool {
    name.strip_prefix("utm_").is_some_and(|rest| {
        !rest.is_empty()
            && rest
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_stand_before_the_fragment_and_are_not_repeated() {
        let hosts = Hosts::parse("shop.example, Bücher.example").unwrap();
        let campaign = Campaign::parse(
            "utm_source=mail&utm_medium=&utm_campaign=été 1&",
            Arc::new(hosts),
        )
        .unwrap();
        let both = "utm_source=mail&utm_campaign=%C3%A9t%C3%A9%201";
        for (url, tagged) in [
            (
                "https://shop.example",
                format!("https://shop.example?{both}"),
            ),
            (
                "HTTPS://Shop.Example/a?",
                format!("HTTPS://Shop.Example/a?{both}"),
            ),
            (
                "http://www.shop.example:81/a?b=1",
                format!("http://www.shop.example:81/a?b=1&{both}"),
            ),
            (
                "https://shop.example/a?b=1&#c?d",
                format!("https://shop.example/a?b=1&{both}#c?d"),
            ),
            (
                "https://shop.example/#/a?utm_source=x",
                format!("https://shop.example/?{both}#/a?utm_source=x"),
            ),
            (
                "https://shop.example/?utm_campaign=own&UTM_source=x",
                "https://shop.example/?utm_campaign=own&UTM_source=x&utm_source=mail".to_owned(),
            ),
            (
                "https://shop.example/?utm_campaign",
                "https://shop.example/?utm_campaign&utm_source=mail".to_owned(),
            ),
            (
                "https://user@xn--bcher-kva.example./",
                format!("https://user@xn--bcher-kva.example./?{both}"),
            ),
        ] {
            assert_eq!(campaign.tag(url).as_deref(), Some(tagged.as_str()), "{url}");
            assert_eq!(campaign.tag(&tagged), None, "{url}");
        }
        for url in [
            "https://other.example/",
            "https://myshop.example/",
            "https://shop.example.org/",
            "https://other.example/?to=https://shop.example/",
            "https://shop.example@other.example/",
            "mailto:help@shop.example",
            "/a",
            "",
        ] {
            assert_eq!(campaign.tag(url), None, "{url}");
        }
    }

    #[test]
    fn what_is_no_parameter_of_a_campaign_is_named() {
        let hosts = Arc::new(Hosts::parse("shop.example").unwrap());
        for (query, error) in [
            ("source=mail", "\"source=mail\" is no parameter utm_…=value"),
            ("utm_source", "\"utm_source\" is no parameter utm_…=value"),
            ("utm_=x", "\"utm_=x\" is no parameter utm_…=value"),
            ("utm_a b=x", "\"utm_a b=x\" is no parameter utm_…=value"),
            (
                "utm_a=50%",
                "\"utm_a=50%\" has a % that encodes nothing: write %25",
            ),
            ("utm_a=1&utm_a=2", "utm_a is there twice"),
        ] {
            assert_eq!(
                Campaign::parse(query, Arc::clone(&hosts)).unwrap_err(),
                error
            );
        }
        let long = format!("utm_a={}", "é".repeat(300));
        assert_eq!(
            Campaign::parse(&long, hosts).unwrap_err(),
            "it is longer than 1000 bytes"
        );
        for (list, error) in [
            ("", "there is no host name"),
            (" , ", "there is no host name"),
            (
                "shop.example https://shop.example/",
                "\"https://shop.example/\" is no host name",
            ),
            ("*.shop.example", "\"*.shop.example\" is no host name"),
            (".shop.example", "\".shop.example\" is no host name"),
        ] {
            assert_eq!(Hosts::parse(list).unwrap_err(), error);
        }
    }
}
