//! The links of a plain text, which are addresses written out: each becomes a placeholder for a tracked URL, as those of the HTML do.

use crate::mail::placeholder::{self, Links, trackable_url};

/// What an address ends before, where a sentence goes on behind it.
const PUNCTUATION: [char; 8] = ['.', ',', ';', ':', '!', '?', '\'', '*'];

/// Brackets belong to an address that has them in pairs.
const BRACKETS: [(char, char); 3] = [('(', ')'), ('[', ']'), ('{', '}')];

/// Replaces every absolute http or https URL by a placeholder. All else keeps its bytes.
pub(crate) fn track(text: &str, links: &mut Links) -> String {
    let mut tracked = String::with_capacity(text.len());
    let mut done = 0;
    let mut from = 0;
    while let Some(found) = text[from..].find("://") {
        let colon = from + found;
        from = colon + "://".len();
        let before = &text[done..colon];
        let Some(start) = ["https", "http"].iter().find_map(|scheme| {
            let start = before.len().checked_sub(scheme.len())?;
            let is_word = !before.get(..start)?.ends_with(char::is_alphanumeric);
            (is_word && before[start..].eq_ignore_ascii_case(scheme)).then_some(done + start)
        }) else {
            continue;
        };
        let url = url_at_start(&text[start..]);
        from = (start + url.len()).max(from);
        // One that holds another is not known before that is.
        if placeholder::contains(url) {
            continue;
        }
        if let Some(target) = trackable_url(url) {
            tracked.push_str(&text[done..start]);
            tracked.push_str(&links.placeholder(&target));
            done = start + url.len();
        }
    }
    tracked.push_str(&text[done..]);
    tracked
}

/// The URL with which a text begins, without what a sentence has put behind it.
fn url_at_start(text: &str) -> &str {
    let end = text.find(|c: char| {
        !(c.is_alphanumeric() || c.is_ascii_graphic()) || matches!(c, '<' | '>' | '"' | '`')
    });
    let mut url = &text[..end.unwrap_or(text.len())];
    loop {
        let without = url.trim_end_matches(PUNCTUATION);
        let count = |bracket| without.matches(bracket).count();
        let unpaired = BRACKETS
            .iter()
            .find(|(open, close)| without.ends_with(*close) && count(*close) > count(*open));
        match unpaired {
            Some(_) => url = &without[..without.len() - 1],
            None => return without,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tracked(text: &str) -> (String, Vec<String>) {
        let mut links = Links::default();
        let text = track(text, &mut links);
        let urls = links.into_urls();
        let shown = placeholder::fill(&text, |target| format!("{target:?}"));
        (shown, urls)
    }

    #[test]
    fn addresses_are_found_and_what_is_around_them_is_kept() {
        for (text, shown, urls) in [
            ("", "", vec![]),
            (
                "no link: a://b, http:// or https",
                "no link: a://b, http:// or https",
                vec![],
            ),
            ("https://a.example", "Link(0)", vec!["https://a.example"]),
            (
                "See HTTPS://a.example/x, or (http://b.example/y_(z)?q=1&r=2#f).\r\nBye",
                "See Link(0), or (Link(1)).\r\nBye",
                vec!["HTTPS://a.example/x", "http://b.example/y_(z)?q=1&r=2#f"],
            ),
            (
                "<https://a.example/>\"http://a.example/b\"https://a.example/",
                "<Link(0)>\"Link(1)\"Link(0)",
                vec!["https://a.example/", "http://a.example/b"],
            ),
            (
                "[words](https://a.example/b)… *https://a.example/c*",
                "[words](Link(0))… *Link(1)*",
                vec!["https://a.example/b", "https://a.example/c"],
            ),
            (
                "Bücher: https://bücher.example/ä?\u{3000}é",
                "Bücher: Link(0)?\u{3000}é",
                vec!["https://xn--bcher-kva.example/%C3%A4"],
            ),
            (
                "xhttps://a.example mailto:a@b.example éhttp://c.example",
                "xhttps://a.example mailto:a@b.example éhttp://c.example",
                vec![],
            ),
            (
                "https://a.example/?to=https://b.example/",
                "Link(0)",
                vec!["https://a.example/?to=https://b.example/"],
            ),
            ("https://", "https://", vec![]),
            ("https://.", "https://.", vec![]),
        ] {
            let urls = urls.into_iter().map(str::to_owned).collect::<Vec<_>>();
            assert_eq!(tracked(text), (shown.to_owned(), urls), "{text}");
        }
    }

    #[test]
    fn what_is_tracked_already_stays() {
        let mut links = Links::default();
        let inner = links.placeholder("https://a.example/");
        let text = format!("{inner} https://b.example/?to={inner}");
        assert_eq!(track(&text, &mut links), text);
        assert_eq!(links.into_urls(), ["https://a.example/"]);
    }
}
