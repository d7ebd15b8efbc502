//! What a browser says beside the request: that nobody has asked yet, or that its reader wants to be left alone.

use axum::http::HeaderMap;

/// Whether this is loaded in advance: `Sec-Purpose` of the Fetch Standard, or what Chromium, Safari and Firefox sent before it.
pub(super) fn is_prefetch(headers: &HeaderMap) -> bool {
    ["sec-purpose", "purpose", "x-purpose", "x-moz"]
        .iter()
        .filter_map(|name| headers.get(*name)?.to_str().ok())
        // `prefetch;prerender` and the like; Safari's `preview` is the page in its list of favourites.
        .flat_map(|value| value.split([';', ',']))
        .any(|purpose| matches!(purpose.trim(), "prefetch" | "prerender" | "preview"))
}

/// Whether the reader has turned on Do Not Track (W3C Tracking Preference Expression) or Global Privacy Control.
pub(super) fn wants_privacy(headers: &HeaderMap) -> bool {
    ["dnt", "sec-gpc"]
        .iter()
        .any(|name| headers.get(*name).is_some_and(|value| value == "1"))
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
}
