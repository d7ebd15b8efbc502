//! What a browser says beside the request: its name, that nobody has asked yet, what its reader wants.

use axum::http::HeaderMap;
use axum::http::header::{ACCEPT_LANGUAGE, USER_AGENT};

/// Longest user agent that is sent on, in characters; the database keeps no more.
const USER_AGENT_LENGTH: usize = 200;

/// Whether this is loaded in advance: `Sec-Purpose` of the Fetch Standard, or what Chromium, Safari and Firefox sent before it.
pub fn is_prefetch(headers: &HeaderMap) -> bool {
    ["sec-purpose", "purpose", "x-purpose", "x-moz"]
        .iter()
        .filter_map(|name| headers.get(*name)?.to_str().ok())
        // `prefetch;prerender` and the like; Safari's `preview` is the page in its list of favourites.
        .flat_map(|value| value.split([';', ',']))
        .any(|purpose| matches!(purpose.trim(), "prefetch" | "prerender" | "preview"))
}

/// Whether the reader has turned on Do Not Track (W3C Tracking Preference Expression) or Global Privacy Control.
pub fn wants_privacy(headers: &HeaderMap) -> bool {
    ["dnt", "sec-gpc"]
        .iter()
        .any(|name| headers.get(*name).is_some_and(|value| value == "1"))
}

/// The user agent, cut and reduced to ASCII: a character that the database's encoding lacks would fail a whole batch.
/// None of those who do not want to be tracked.
pub fn user_agent(headers: &HeaderMap) -> Option<String> {
    let value = headers
        .get(USER_AGENT)
        .filter(|_| !wants_privacy(headers))?;
    let printable = |byte: &u8| {
        if (b' '..=b'~').contains(byte) {
            char::from(*byte)
        } else {
            '?'
        }
    };
    Some(
        value
            .as_bytes()
            .iter()
            .take(USER_AGENT_LENGTH)
            .map(printable)
            .collect(),
    )
}

/// The language that a browser names first, which is the one it prefers.
pub fn preferred_language(headers: &HeaderMap) -> Option<String> {
    let languages = headers.get(ACCEPT_LANGUAGE)?.to_str().ok()?;
    let first = languages.split([',', ';']).next()?.trim();
    Some(first.to_owned())
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn saying(name: &'static str, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        )])
    }

    #[test]
    fn what_is_loaded_in_advance_is_known() {
        for (name, value) in [
            ("sec-purpose", "prefetch"),
            ("sec-purpose", "prefetch;prerender"),
            ("sec-purpose", "prefetch; anonymous-client-ip"),
            ("purpose", "prefetch"),
            ("x-purpose", "preview"),
            ("x-moz", "prefetch"),
        ] {
            assert!(is_prefetch(&saying(name, value)), "{name}: {value}");
        }
        assert!(!is_prefetch(&HeaderMap::new()));
        assert!(!is_prefetch(&saying("purpose", "prefetching")));
        assert!(!is_prefetch(&saying("sec-fetch-dest", "document")));
    }

    #[test]
    fn only_1_asks_for_privacy() {
        assert!(wants_privacy(&saying("dnt", "1")));
        assert!(wants_privacy(&saying("sec-gpc", "1")));
        assert!(!wants_privacy(&saying("dnt", "0")));
        assert!(!wants_privacy(&HeaderMap::new()));
    }
    #[test]
    fn user_agents_are_cut_and_harmless() {
        let mut headers = HeaderMap::new();
        assert_eq!(user_agent(&headers), None);
        headers.insert(
            USER_AGENT,
            HeaderValue::from_bytes(&[b'a', 0xff, b'\t', b'\'']).unwrap(),
        );
        assert_eq!(user_agent(&headers).as_deref(), Some("a??'"));
        headers.insert(
            USER_AGENT,
            HeaderValue::from_str(&"x".repeat(5000)).unwrap(),
        );
        assert_eq!(user_agent(&headers).unwrap().len(), USER_AGENT_LENGTH);
    }
}
