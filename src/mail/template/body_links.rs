//! The links of a body in the order in which they stand, and what readers see of them: for reports of what was clicked.

use super::dead_links::{TAG, without_tags};
use crate::mail::html_tokens::{Tag, Token, Tokens};
use crate::mail::placeholder::trackable_url;

/// Longest text of a link that is shown, in characters.
const LABEL: usize = 80;

/// A link whose clicks are recorded.
#[derive(Debug, PartialEq, Eq)]
pub struct BodyLink {
    /// Its address as a pattern of SQL's LIKE: % where the template writes something.
    pub pattern: String,
    /// The text in it, or that of its image; … where the template writes something.
    pub label: String,
}

/// Finds the links of a body, HTML or MJML, that lead to a web page and are tracked.
pub fn body_links(source: &str) -> Vec<BodyLink> {
    let html = without_tags(source);
    let mut found: Vec<BodyLink> = Vec::new();
    // The element whose text is read, and where its link is.
    let mut open: Option<(String, usize)> = None;
    for (_, token) in Tokens::new(&html) {
        match token {
            Token::Start(tag) => {
                let name = tag.name.to_ascii_lowercase();
                let (has_text, has_href) = match name.as_str() {
                    "a" | "mj-button" | "mj-navbar-link" | "mj-social-element" => (true, true),
                    "area" | "mj-image" | "mj-carousel-image" => (false, true),
                    _ => (false, false),
                };
                if has_text {
                    open = None;
                }
                if has_href && let Some(pattern) = pattern(&tag) {
                    let label = tag.attribute("alt").unwrap_or_default().into_owned();
                    found.push(BodyLink { pattern, label });
                    if has_text {
                        open = Some((name, found.len() - 1));
                    }
                } else if name == "img"
                    && let Some((_, index)) = &open
                    && let Some(alt) = tag.attribute("alt")
                {
                    push(&mut found[*index].label, &alt);
                }
            }
            Token::Text(text) => {
                if let Some((_, index)) = &open {
                    push(
                        &mut found[*index].label,
                        &html_escape::decode_html_entities(text),
                    );
                }
            }
            Token::End(name) => {
                open = open.filter(|(opened, _)| !name.eq_ignore_ascii_case(opened));
            }
        }
    }
    for link in &mut found {
        link.label = shown(&link.label);
    }
    found
}

/// Text of two elements is not one word.
fn push(label: &mut String, text: &str) {
    if !label.is_empty() {
        label.push(' ');
    }
    label.push_str(text);
}

/// The address of a link; None: its clicks are not recorded.
fn pattern(tag: &Tag<'_>) -> Option<String> {
    if tag.attribute("data-no-track").is_some() {
        return None;
    }
    let address = tag.attribute("href")?;
    let address = address.trim();
    let is_written = !address.contains(TAG);
    if is_written {
        return trackable_url(address).map(|url| escaped(&url));
    }
    let lower = address.to_ascii_lowercase();
    let is_page =
        lower.starts_with(TAG) || lower.starts_with("http://") || lower.starts_with("https://");
    is_page.then(|| {
        let parts: Vec<String> = address
            .split(TAG)
            .enumerate()
            // A tag is as many marks as it has bytes.
            .filter(|(index, part)| *index == 0 || !part.is_empty())
            .map(|(_, part)| escaped(part))
            .collect();
        let mut pattern = parts.join("%");
        if address.ends_with(TAG) {
            pattern.push('%');
        }
        pattern
    })
}

/// A text that LIKE takes as it is.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('%', "\\%")
        .replace('_', "\\_")
}

fn shown(label: &str) -> String {
    let mut text = String::new();
    for character in label.chars() {
        match character {
            TAG if text.ends_with('…') => {}
            TAG => text.push('…'),
            other => text.push(other),
        }
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(LABEL).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(source: &str) -> Vec<(String, String)> {
        body_links(source)
            .into_iter()
            .map(|link| (link.pattern, link.label))
            .collect()
    }

    fn one(pattern: &str, label: &str) -> (String, String) {
        (pattern.to_owned(), label.to_owned())
    }

    #[test]
    fn links_come_in_the_order_in_which_they_stand_with_their_text() {
        let found = links(
            "<p>Hello</p><a href=\"https://a.example/x?a=1&amp;b=2\">The <b>first</b>\n one</a> \
             <a href='unsubscribe'>leave</a><a href=\"mailto:a@b.example\">write</a>\
             <a href=\"https://a.example/no\" data-no-track>not</a>\
             <a href=https://b.example/><img src=x alt=\"Second &amp; image\"></a>after",
        );
        assert_eq!(
            found,
            [
                one("https://a.example/x?a=1&b=2", "The first one"),
                one("https://b.example/", "Second & image")
            ]
        );
    }

    #[test]
    fn what_a_template_writes_may_be_anything() {
        let found = links(
            "<a href=\"https://a.example/{{ record.id }}/50%_\\x?u={{ record.u }}\">Order {{ record.id }} now</a>\
             <a href=\"{{ record.url }}\">{{ record.name }}</a><a href=\"/{{ record.path }}\">dead</a>",
        );
        assert_eq!(
            found,
            [
                one("https://a.example/%/50\\%\\_\\\\x?u=%", "Order … now"),
                one("%", "…")
            ]
        );
    }

    #[test]
    fn mjml_has_links_too() {
        let found = links(
            "<mjml><mj-body><mj-button href=\"https://a.example/\">Buy</mj-button>\
             <mj-image href=\"https://a.example/i\" src=\"i.png\" alt=\"A shoe\" /><mj-text>no link</mj-text></mj-body></mjml>",
        );
        assert_eq!(
            found,
            [
                one("https://a.example/", "Buy"),
                one("https://a.example/i", "A shoe")
            ]
        );
    }

    #[test]
    fn a_link_that_is_not_closed_ends_with_the_next_one_and_labels_are_cut() {
        let found = links(&format!(
            "<a href=\"https://a.example/1\">one<a href=\"https://a.example/2\">{}",
            "x".repeat(500)
        ));
        assert_eq!(found[0].1, "one");
        assert_eq!(found[1].1.len(), LABEL);
        assert_eq!(links("<a href="), []);
    }
}
