//! Stand-ins for URLs that are known only after the links of a mail have ids.
//!
//! A placeholder is letters and digits only, so autoescaping, MJML and HTML rewriting leave it alone. It carries a
//! random number of this process: text that comes out of a customer's row cannot name a placeholder.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::mail::campaign::Campaign;

/// What stands before the payload of every placeholder: a fixed word and 128 random bits of this process.
static PREFIX: LazyLock<String> = LazyLock::new(|| {
    // RandomState takes its keys from the operating system's random numbers, and cannot fail.
    let [high, low] =
        [RandomState::new(), RandomState::new()].map(|state| state.hash_one("placeholder"));
    format!("ma{high:016x}{low:016x}")
});

/// Looks for it; what a search needs is made once, and not for each text of each mail.
static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(PREFIX.as_str()));

fn find(text: &str) -> Option<usize> {
    FINDER.find(text.as_bytes())
}

/// The URL that a placeholder stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A tracked link, by its index in `Rendered::links()`.
    Link(usize),
    /// The unsubscribe page, and the link to go to afterwards by its index in `Rendered::links()`.
    Unsubscribe(Option<usize>),
    /// The page on which topics are chosen.
    Preferences,
    /// The page that confirms a subscription.
    Confirm,
    /// The page that shows the mail in a browser.
    Browser,
    /// The 1×1 image that tells that the mail was opened.
    OpenImage,
    /// The link that no person sees.
    HiddenLink,
}

impl Target {
    /// Writes the placeholder of this target, e.g. `ma…L12E`.
    pub(crate) fn placeholder(self) -> String {
        let prefix = PREFIX.as_str();
        match self {
            Target::Link(index) => format!("{prefix}L{index}E"),
            Target::Unsubscribe(None) => format!("{prefix}UE"),
            Target::Unsubscribe(Some(page)) => format!("{prefix}U{page}E"),
            Target::Preferences => format!("{prefix}PE"),
            Target::Confirm => format!("{prefix}SE"),
            Target::Browser => format!("{prefix}VE"),
            Target::OpenImage => format!("{prefix}OE"),
            Target::HiddenLink => format!("{prefix}HE"),
        }
    }

    /// Reads the payload that follows the prefix; gives the target and the length of the payload.
    fn parse(payload: &str) -> Option<(Target, usize)> {
        let kind = *payload.as_bytes().first()?;
        let digits = payload
            .as_bytes()
            .iter()
            .skip(1)
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let end = 1 + digits;
        if payload.as_bytes().get(end) != Some(&b'E') {
            return None;
        }
        let index = match digits {
            0 => None,
            _ => Some(payload[1..end].parse().ok()?),
        };
        let target = match (kind, index) {
            (b'L', Some(index)) => Target::Link(index),
            (b'U', page) => Target::Unsubscribe(page),
            (b'P', None) => Target::Preferences,
            (b'S', None) => Target::Confirm,
            (b'V', None) => Target::Browser,
            (b'O', None) => Target::OpenImage,
            (b'H', None) => Target::HiddenLink,
            _ => return None,
        };
        Some((target, end + 1))
    }
}

/// What [`crate::mail::template`] writes into the source of a body, for the mails that come of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// A link that holds no expression, by its number.
    Known(usize),
    /// The beginning of a value of `href` that holds one.
    Begin { is_tracked: bool },
}

impl Mark {
    pub(crate) fn text(self) -> String {
        let prefix = PREFIX.as_str();
        match self {
            Mark::Known(index) => format!("{prefix}K{index}E"),
            Mark::Begin { is_tracked: true } => format!("{prefix}BE"),
            Mark::Begin { is_tracked: false } => format!("{prefix}NE"),
        }
    }
}

/// The end of what [`Mark::Begin`] begins.
pub(crate) fn end_mark() -> String {
    format!("{}FE", PREFIX.as_str())
}

/// Letters for a tag of a template.
pub(crate) fn tag(number: usize) -> String {
    format!("{}T{number}E", PREFIX.as_str())
}

/// Gives what stands before the next mark, the mark, and what stands behind it.
pub(crate) fn next_mark(text: &str) -> Option<(&str, Mark, &str)> {
    let prefix = PREFIX.as_str();
    let mut from = 0;
    loop {
        let at = from + find(&text[from..])?;
        from = at + prefix.len();
        let payload = &text[from..];
        let (kind, rest) = payload.split_at_checked(1)?;
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = rest.split_at(digits);
        let mark = match (kind, number) {
            ("B", "") => Mark::Begin { is_tracked: true },
            ("N", "") => Mark::Begin { is_tracked: false },
            ("K", number) => match number.parse() {
                Ok(index) => Mark::Known(index),
                Err(_) => continue,
            },
            _ => continue,
        };
        if let Some(after) = rest.strip_prefix('E') {
            return Some((&text[..at], mark, after));
        }
    }
}

/// Splits at the end mark.
pub(crate) fn until_end(text: &str) -> (&str, &str) {
    let end = end_mark();
    text.split_once(end.as_str()).unwrap_or((text, ""))
}

/// Tells whether the text holds a placeholder of this process.
pub(crate) fn contains(text: &str) -> bool {
    find(text).is_some()
}

/// Reads a text that is a placeholder of this process and nothing else.
pub(crate) fn exact(text: &str) -> Option<Target> {
    let payload = text.strip_prefix(PREFIX.as_str())?;
    let (target, length) = Target::parse(payload)?;
    (length == payload.len()).then_some(target)
}

/// The targets of all placeholders, in their order.
pub(crate) fn targets(text: &str) -> impl Iterator<Item = Target> {
    let places = FINDER.find_iter(text.as_bytes());
    places.filter_map(|at| Some(Target::parse(&text[at + PREFIX.len()..])?.0))
}

/// Replaces every placeholder in one pass over the text.
pub(crate) fn fill(text: &str, url_of: impl Fn(Target) -> String) -> String {
    let mut filled = String::with_capacity(text.len() + text.len() / 4);
    let mut rest = text;
    while let Some(start) = find(rest) {
        let payload = start + PREFIX.len();
        filled.push_str(&rest[..start]);
        match Target::parse(&rest[payload..]) {
            Some((target, length)) => {
                filled.push_str(&url_of(target));
                rest = &rest[payload + length..];
            }
            None => {
                // A template cut its own placeholder to pieces; what is left of it must not show the random number.
                rest = &rest[payload..];
            }
        }
    }
    filled.push_str(rest);
    filled
}

/// The distinct URLs of one mail, in the order in which they first appeared.
#[derive(Debug, Default)]
pub(crate) struct Links {
    urls: Vec<String>,
    index: HashMap<String, usize>,
    campaign: Option<Campaign>,
}

impl Links {
    /// Gives the index of the URL with the parameters of the campaign, adding it when it is new.
    pub(crate) fn intern(&mut self, url: &str) -> usize {
        match self.tagged(url) {
            Some(tagged) => self.intern_as_written(&tagged),
            None => self.intern_as_written(url),
        }
    }

    /// Gives the placeholder of a tracked link to the URL.
    pub(crate) fn placeholder(&mut self, url: &str) -> String {
        Target::Link(self.intern(url)).placeholder()
    }

    /// What the links from now on get.
    pub(crate) fn set_campaign(&mut self, campaign: Campaign) {
        self.campaign = Some(campaign);
    }

    pub(crate) fn has_campaign(&self) -> bool {
        self.campaign.is_some()
    }

    /// The URL with the parameters of the campaign; None: it stays as it is.
    pub(crate) fn tagged(&self, url: &str) -> Option<String> {
        self.campaign.as_ref()?.tag(url)
    }

    /// As [`Links::intern`], of a page that is no link of the mail.
    pub(crate) fn intern_as_written(&mut self, url: &str) -> usize {
        if let Some(&index) = self.index.get(url) {
            return index;
        }
        let index = self.urls.len();
        self.urls.push(url.to_owned());
        self.index.insert(url.to_owned(), index);
        index
    }

    pub(crate) fn into_urls(self) -> Vec<String> {
        self.urls
    }
}

/// Checks that the text is an absolute http or https URL with a host, and gives the form to store and redirect to.
///
/// The author's spelling is kept, unless it holds characters that an HTTP `Location` header cannot carry (RFC 9110,
/// section 10.2.2): then it is the WHATWG serialisation, percent-encoded and with the host in punycode.
pub(crate) fn trackable_url(text: &str) -> Option<String> {
    let text = text.trim_matches(|c: char| c.is_ascii_whitespace() || c.is_ascii_control());
    let scheme_end = text.find("://")?;
    let scheme = &text[..scheme_end];
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return None;
    }
    let parsed = url::Url::parse(text).ok()?;
    parsed.host_str()?;
    if text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Some(text.to_owned())
    } else {
        Some(parsed.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_survives_its_placeholder() {
        for target in [
            Target::Link(0),
            Target::Link(12),
            Target::Unsubscribe(None),
            Target::Unsubscribe(Some(3)),
            Target::Preferences,
            Target::Confirm,
            Target::Browser,
            Target::OpenImage,
            Target::HiddenLink,
        ] {
            let text = format!("a{}b", target.placeholder());
            assert_eq!(
                fill(&text, |found| format!("<{found:?}>")),
                format!("a<{target:?}>b")
            );
            assert_eq!(targets(&text).collect::<Vec<_>>(), [target]);
        }
    }

    #[test]
    fn placeholder_is_letters_and_digits_and_differs_from_guesses() {
        let placeholder = Target::Link(7).placeholder();
        assert!(placeholder.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert!(!contains("ma00000000000000000000000000000000L0E"));
        assert_eq!(
            fill("ma00000000000000000000000000000000L0E", |_| "x".into()),
            "ma00000000000000000000000000000000L0E"
        );
    }

    #[test]
    fn mangled_placeholder_leaks_no_random_number() {
        let placeholder = Target::Link(7).placeholder();
        let cut = &placeholder[..placeholder.len() - 1];
        assert_eq!(fill(&format!("x{cut} y"), |_| "u".into()), "xL7 y");
    }

    #[test]
    fn links_are_distinct_and_ordered() {
        let mut links = Links::default();
        assert_eq!(
            [links.intern("b"), links.intern("a"), links.intern("b")],
            [0, 1, 0]
        );
        assert_eq!(links.into_urls(), ["b", "a"]);
    }

    #[test]
    fn only_absolute_http_urls_are_trackable() {
        assert_eq!(
            trackable_url(" https://example.org/a?b=1&c=2 ").as_deref(),
            Some("https://example.org/a?b=1&c=2")
        );
        assert_eq!(
            trackable_url("HTTP://Example.org").as_deref(),
            Some("HTTP://Example.org")
        );
        assert_eq!(
            trackable_url("https://exämple.org/ü").as_deref(),
            Some("https://xn--exmple-cua.org/%C3%BC")
        );
        assert_eq!(
            trackable_url("https://example.org/a\nb").as_deref(),
            Some("https://example.org/ab")
        );
        for refused in [
            "",
            "#top",
            "/a",
            "//example.org",
            "mailto:a@b",
            "javascript://x/%0aalert(1)",
            "http://",
            "http:example.org",
        ] {
            assert_eq!(trackable_url(refused), None, "{refused}");
        }
    }
}
