//! The client of a request: the address of the reader, seen through reverse proxies, and the id of the request.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use axum::http::{Extensions, HeaderMap, HeaderValue};
use ipnet::IpNet;
use serde::Deserialize;
use uuid::Uuid;

use crate::program::listener::Peer;

pub const REQUEST_ID: &str = "x-request-id";
const LONGEST_REQUEST_ID: usize = 64;
/// A longer way is none that a reader's request takes.
const MOST_HOPS: usize = 32;

/// The header in which reverse proxies say whom they ask for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ForwardedHeader {
    #[default]
    XForwardedFor,
    /// RFC 7239.
    Forwarded,
}

/// Whose word is taken for the address of a reader.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// Networks of our own reverse proxies; what others claim is not believed.
    pub proxies: Vec<IpNet>,
    pub header: ForwardedHeader,
}

impl Trust {
    fn covers(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.proxies
            .iter()
            .any(|network| network.contains(&address))
    }

    fn trusts(&self, peer: Peer) -> bool {
        match peer {
            Peer::Tcp(address) => self.covers(address),
            Peer::Unix => true,
        }
    }

    /// The address of the reader: the last one on the way that is none of our proxies. None: it is not known.
    pub fn address(&self, extensions: &Extensions, headers: &HeaderMap) -> Option<IpAddr> {
        let peer = *extensions.get::<Peer>()?;
        let mut address = match peer {
            Peer::Tcp(address) => Some(address.to_canonical()),
            Peer::Unix => None,
        };
        if !self.trusts(peer) {
            return address;
        }
        let hops = match self.header {
            ForwardedHeader::XForwardedFor => elements(headers, "x-forwarded-for", Some),
            ForwardedHeader::Forwarded => elements(headers, "forwarded", forwarded_for),
        };
        for hop in hops.into_iter().rev() {
            // A hop that names no address (RFC 7239 has `unknown` and made-up names) hides who came before.
            let hop = parse_address(hop?)?;
            address = Some(hop);
            if !self.covers(hop) {
                break;
            }
        }
        address
    }

    /// The id under which a request is found in logs: the reverse proxy's, where it is ours and has given one, or a new one.
    pub fn request_id(&self, extensions: &Extensions, headers: &HeaderMap) -> HeaderValue {
        let harmless = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
        let given = headers.get(REQUEST_ID).filter(|id| {
            (1..=LONGEST_REQUEST_ID).contains(&id.len()) && id.as_bytes().iter().all(harmless)
        });
        match given {
            Some(id) if extensions.get().is_some_and(|peer| self.trusts(*peer)) => id.clone(),
            _ => {
                let mut text = [0; uuid::fmt::Simple::LENGTH];
                Uuid::now_v7().simple().encode_lower(&mut text);
                HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static("-"))
            }
        }
    }
}

/// The comma-separated elements of a header, from all its lines, the nearest last; None for one without an address.
fn elements<'a>(
    headers: &'a HeaderMap,
    name: &str,
    address: impl Fn(&'a str) -> Option<&'a str>,
) -> Vec<Option<&'a str>> {
    let mut elements = Vec::new();
    for line in headers.get_all(name) {
        match line.to_str() {
            Ok(line) => elements.extend(line.split(',').map(|element| address(element.trim()))),
            Err(_) => elements.push(None),
        }
    }
    let surplus = elements.len().saturating_sub(MOST_HOPS);
    elements.split_off(surplus)
}

/// The `for` of an element of `Forwarded`, without quotes.
fn forwarded_for(element: &str) -> Option<&str> {
    element.split(';').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        key.trim()
            .eq_ignore_ascii_case("for")
            .then(|| value.trim().trim_matches('"'))
    })
}

/// An address with or without a port, an IPv6 one with or without brackets.
fn parse_address(text: &str) -> Option<IpAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text);
    IpAddr::from_str(bare)
        .or_else(|_| SocketAddr::from_str(text).map(|socket| socket.ip()))
        .ok()
        .map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(peer: Peer, header: ForwardedHeader, lines: &[&str]) -> Option<String> {
        let trust = Trust {
            proxies: vec![
                "10.0.0.0/8".parse().unwrap(),
                "2001:db8:a::/48".parse().unwrap(),
            ],
            header,
        };
        let mut extensions = Extensions::new();
        extensions.insert(peer);
        let name = match header {
            ForwardedHeader::XForwardedFor => "x-forwarded-for",
            ForwardedHeader::Forwarded => "forwarded",
        };
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name, HeaderValue::from_str(line).unwrap());
        }
        trust
            .address(&extensions, &headers)
            .map(|address| address.to_string())
    }

    #[test]
    fn the_last_hop_that_is_not_ours_is_the_reader() {
        use ForwardedHeader::{Forwarded, XForwardedFor};
        let ours = Peer::Tcp("10.1.2.3".parse().unwrap());
        let mapped = Peer::Tcp("::ffff:10.1.2.3".parse().unwrap());
        let stranger = Peer::Tcp("203.0.113.9".parse().unwrap());
        for (peer, header, lines, expected) in [
            (
                stranger,
                XForwardedFor,
                &["198.51.100.1"][..],
                Some("203.0.113.9"),
            ),
            (ours, XForwardedFor, &["198.51.100.1"], Some("198.51.100.1")),
            (
                mapped,
                XForwardedFor,
                &["198.51.100.1"],
                Some("198.51.100.1"),
            ),
            (
                ours,
                XForwardedFor,
                &["1.1.1.1, 198.51.100.1, 10.9.9.9"],
                Some("198.51.100.1"),
            ),
            (
                ours,
                XForwardedFor,
                &["1.1.1.1", "198.51.100.1:443"],
                Some("198.51.100.1"),
            ),
            (ours, XForwardedFor, &["1.1.1.1, unknown"], None),
            (ours, XForwardedFor, &["1.1.1.1, , 10.9.9.9"], None),
            (ours, XForwardedFor, &["10.9.9.9"], Some("10.9.9.9")),
            (ours, XForwardedFor, &[], Some("10.1.2.3")),
            (
                Peer::Unix,
                XForwardedFor,
                &["2001:db8::7"],
                Some("2001:db8::7"),
            ),
            (Peer::Unix, XForwardedFor, &[], None),
            (
                ours,
                Forwarded,
                &["for=1.1.1.1, For=\"[2001:db8::7]:4711\";proto=https;by=10.0.0.1"],
                Some("2001:db8::7"),
            ),
            (ours, Forwarded, &["for=1.1.1.1, for=_hidden"], None),
            (ours, Forwarded, &["proto=https"], None),
            (
                ours,
                Forwarded,
                &["for=198.51.100.1, for=\"[2001:db8:a::1]\""],
                Some("198.51.100.1"),
            ),
        ] {
            assert_eq!(
                address(peer, header, lines).as_deref(),
                expected,
                "{peer:?} {lines:?}"
            );
        }
    }

    #[test]
    fn request_ids_are_taken_from_our_proxies_only_and_are_harmless() {
        let trust = Trust::default();
        let id = |peer, given: &str| {
            let mut extensions = Extensions::new();
            extensions.insert(peer);
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_str(given).unwrap());
            trust
                .request_id(&extensions, &headers)
                .to_str()
                .unwrap()
                .to_owned()
        };
        assert_eq!(id(Peer::Unix, "a-1_b.2"), "a-1_b.2");
        for (peer, given) in [
            (Peer::Tcp("203.0.113.9".parse().unwrap()), "a-1"),
            (Peer::Unix, ""),
            (Peer::Unix, "a b"),
            (Peer::Unix, "<script>"),
            (Peer::Unix, &"a".repeat(65)),
        ] {
            let own = id(peer, given);
            assert_eq!(own.len(), 32, "{given}");
            assert_ne!(own, id(peer, given));
        }
    }
}
