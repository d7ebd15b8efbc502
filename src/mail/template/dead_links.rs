//! Links that lead nowhere: a mail has no address of its own, so that what is relative to one is dead.

use minijinja::machinery::{Token as TemplateToken, tokenize};
use minijinja::syntax::SyntaxConfig;

use crate::mail::html_tokens::{Token, Tokens};
use crate::mail::placeholder::trackable_url;

/// Stands for each byte of a tag of the template.
pub(super) const TAG: char = '\u{1}';

const UNSUBSCRIBE: &str = "unsubscribe";

/// Schemes that a misspelt one is compared with.
const SCHEMES: [&str; 5] = ["https", "http", "mailto", "tel", "sms"];

/// A link to look at again.
pub(super) struct DeadLink {
    pub(super) offset: usize,
    pub(super) message: String,
    pub(super) hint: String,
}

/// Finds what cannot be followed in a body, as far as it is written out.
pub(super) fn dead_links(source: &str) -> Vec<DeadLink> {
    let html = without_tags(source);
    let mut found = Vec::new();
    for (offset, token) in Tokens::new(&html) {
        let Token::Start(tag) = token else { continue };
        for &attribute in addresses(&tag.name.to_ascii_lowercase()) {
            let Some(value) = tag.attribute(attribute) else {
                continue;
            };
            // A network's own name makes a link to share of the address.
            if attribute == "href"
                && tag.name.eq_ignore_ascii_case("mj-social-element")
                && tag
                    .attribute("name")
                    .is_some_and(|name| !name.ends_with("-noshare"))
            {
                continue;
            }
            if let Some(hint) = advice(value.trim(), attribute != "href") {
                let mut shown: Vec<char> = value.trim().chars().collect();
                shown.dedup_by(|next, before| *next == TAG && *before == TAG);
                let shown: String = shown.into_iter().take(80).collect();
                let shown = shown.replace(TAG, "…");
                let what = match attribute {
                    "href" => "leads nowhere",
                    _ => "loads nothing",
                };
                found.push(DeadLink {
                    offset,
                    message: format!("{attribute} {shown:?} {what} in a mail"),
                    hint,
                });
            }
        }
    }
    found
}

/// The attributes of an element of HTML or MJML that hold an address: `href` leads somewhere, the others load an image.
fn addresses(element: &str) -> &'static [&'static str] {
    match element {
        "a" | "area" | "mj-button" | "mj-navbar-link" => &["href"],
        "img" => &["src"],
        "mj-image" | "mj-carousel-image" | "mj-social-element" => &["href", "src"],
        "body" | "table" | "td" | "th" => &["background"],
        "mj-section" | "mj-wrapper" | "mj-hero" => &["background-url"],
        _ => &[],
    }
}

/// The source with its tags blotted out, byte by byte.
pub(super) fn without_tags(source: &str) -> String {
    let mut html = String::with_capacity(source.len());
    for (token, span) in tokenize(source, false, SyntaxConfig::default()).map_while(Result::ok) {
        if let TemplateToken::TemplateData(text) = token {
            let start = usize::try_from(span.start_offset).unwrap_or(source.len());
            html.extend(std::iter::repeat_n(TAG, start.saturating_sub(html.len())));
            html.push_str(text);
        }
    }
    html
}

/// What to write instead of an address; None: it may be good.
fn advice(address: &str, is_image: bool) -> Option<String> {
    let written: &str = address.split(TAG).next().unwrap_or_default();
    let has_tag = written.len() < address.len();
    if written.is_empty() || address.starts_with('#') {
        return None;
    }
    let word = address
        .split(['|', '?', '/', '#'])
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    let is_page = address
        .split_once('|')
        .is_some_and(|(before, _)| before.trim().eq_ignore_ascii_case(UNSUBSCRIBE));
    if !is_image
        && !is_page
        && !address.eq_ignore_ascii_case(UNSUBSCRIBE)
        && !has_tag
        && (word == UNSUBSCRIBE || strsim::damerau_levenshtein(&word, UNSUBSCRIBE) <= 2)
    {
        return Some("The link to unsubscribe is href=\"unsubscribe\", alone or as \"unsubscribe|https://…\".".to_owned());
    }
    if is_page || address.eq_ignore_ascii_case(UNSUBSCRIBE) {
        return None;
    }
    // What a tag goes on with may be anything.
    if has_tag && !written.contains(['/', '.', ':', '@']) {
        return None;
    }
    let scheme = written
        .split_once(':')
        .map(|(scheme, _)| scheme)
        .filter(|scheme| {
            scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"+.-".contains(&byte))
        });
    match scheme.map(str::to_ascii_lowercase).as_deref() {
        Some("http" | "https") => {
            let is_whole = !has_tag && trackable_url(address).is_none();
            let is_begun = has_tag
                && !written
                    .to_ascii_lowercase()
                    .split_once(':')
                    .is_some_and(|(_, rest)| "//".starts_with(rest) || rest.starts_with("//"));
            (is_whole || is_begun || has_no_host(written, has_tag))
                .then(|| "Write it as https://host/path.".to_owned())
        }
        Some("javascript" | "vbscript" | "file" | "about" | "ftp") => {
            Some("No mail program follows it: write https://…".to_owned())
        }
        Some("mailto" | "tel" | "sms") if !has_tag && written.trim_end().ends_with(':') => {
            Some(format!("Write whom it is to: {written}…"))
        }
        Some(scheme) if !scheme.contains('.') => {
            let near = SCHEMES
                .iter()
                .map(|known| (strsim::damerau_levenshtein(scheme, known), *known))
                .filter(|(distance, known)| (1..=known.len().div_ceil(3)).contains(distance))
                .min()
                .map(|(_, known)| known)?;
            Some(format!(
                "Did you mean {near}:{}?",
                if near.starts_with("http") { "//" } else { "" }
            ))
        }
        // A port, as in shop.example:8080.
        _ if address.starts_with("//") => Some(format!("Write https:{written}…")),
        _ if !address.contains('/') && address.contains('@') => {
            Some(format!("Write mailto:{written}"))
        }
        _ => {
            let host = address
                .split(['/', '?', '#', ':'])
                .next()
                .unwrap_or_default();
            let is_file = [
                ".html", ".htm", ".php", ".asp", ".aspx", ".png", ".jpg", ".jpeg", ".gif", ".svg",
                ".webp", ".pdf",
            ]
            .iter()
            .any(|ending| host.to_ascii_lowercase().ends_with(ending));
            match host.contains('.') && !host.starts_with('.') && !is_file && !host.contains(TAG) {
                true => Some(format!("Write https://{host}/…")),
                false => Some(
                    "A mail has no address of its own: write it whole, as https://host/path."
                        .to_owned(),
                ),
            }
        }
    }
}

/// Whether what stands for the host can be none: `https://https://shop.example`, `https://www,shop.example`. What a tag goes on with
/// is not looked at.
fn has_no_host(written: &str, has_tag: bool) -> bool {
    let Some((_, rest)) = written.split_once("//") else {
        return false;
    };
    let end = rest.find(['/', '?', '#', '\\']);
    if has_tag && end.is_none() {
        return false;
    }
    let authority = &rest[..end.unwrap_or(rest.len())];
    let host = authority.rsplit('@').next().unwrap_or_default();
    let host = host.split(':').next().unwrap_or_default();
    host.starts_with('.')
        || host.contains("..")
        || host.contains([',', ';'])
        || ["http", "https"]
            .iter()
            .any(|scheme| host.eq_ignore_ascii_case(scheme))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_that_lead_nowhere_are_told_and_others_are_not() {
        for (href, hint) in [
            ("www.shop.example", "https://www.shop.example/"),
            ("shop.example/a?b=1", "https://shop.example/"),
            ("/rel", "no address of its own"),
            ("page.html", "no address of its own"),
            ("../x", "no address of its own"),
            ("//shop.example/x", "https://shop.example"),
            ("htp://shop.example", "http://"),
            ("htps://shop.example", "https://"),
            ("http//shop.example", "whole"),
            ("https:shop.example", "https://host"),
            ("http://", "https://host"),
            ("mailot:a@b.example", "mailto:"),
            ("mailto:", "whom it is to"),
            ("tel: ", "whom it is to"),
            ("ann@shop.example", "mailto:ann"),
            ("unsubcribe", "href=\"unsubscribe\""),
            ("unsubscribe?x=1", "href=\"unsubscribe\""),
            ("Unsubscribe/", "href=\"unsubscribe\""),
            ("javascript:alert(1)", "No mail program"),
            ("ftp://shop.example", "No mail program"),
            ("https://https://shop.example", "https://host"),
            ("https://www,shop.example/", "https://host"),
            ("https://shop..example?x", "https://host"),
            ("https://.example/{{ record.id }}", "https://host"),
            ("/order/{{ record.id }}", "no address of its own"),
            (
                "www.shop.example/{{ record.id }}",
                "https://www.shop.example/",
            ),
        ] {
            let found = dead_links(&format!("é<p>{{{{ x }}}}<a class=b href='{href}'>x</a>"));
            assert_eq!(found.len(), 1, "{href}");
            assert!(found[0].hint.contains(hint), "{href}: {}", found[0].hint);
            assert_eq!(found[0].offset, "é<p>{{ x }}".len(), "{href}");
        }
        for href in [
            "https://shop.example",
            "HTTP://shop.example/?a=1&amp;b",
            "https://{{ record.host }}/x",
            "{{ record.url }}",
            "https://shop.example/{{ record.id }}",
            "#top",
            "",
            "mailto:a@b",
            "mailto:{{ record.email }}",
            "mailto:?subject=x",
            "tel:+32",
            "sms:1",
            "cid:1",
            "shopapp://x",
            "unsubscribe",
            " Unsubscribe ",
            "unsubscribe|https://shop.example/bye",
            "unsubscribe|{{ record.url }}",
            "{{ unsubscribe_url }}",
            "{% if a %}https://a.example{% endif %}",
            "whatsapp://send?text=x",
            "https://shop.example:8080/a,b;c..d",
            "https://shop.{{ record.host }},",
            "http{{ 's' }}://x",
        ] {
            let found = dead_links(&format!("<a href=\"{href}\">x</a><link href='/x'>"));
            assert!(found.is_empty(), "{href}: {}", found[0].message);
        }
        let shown = &dead_links("<a href='/{{ record.id }}/{{ record.id }}x'>")[0].message;
        assert!(shown.contains("\"/…/…x\""), "{shown}");
        assert_eq!(
            dead_links("<img src='/logo.png'><mj-image src='x.png' href='/a' /><img src='cid:1'>")
                .len(),
            3
        );
        for dead in [
            "<mj-navbar-link href='/x'>",
            "<mj-social-element name='facebook-noshare' href='www.x.example'>",
            "<mj-social-element src='/x.png'>",
            "<mj-carousel-image src='x.png'>",
            "<mj-section background-url='/x.png'>",
            "<mj-hero background-url='x.png'>",
            "<td background=/x.png>",
        ] {
            assert_eq!(dead_links(dead).len(), 1, "{dead}");
        }
        for good in [
            "<mj-social-element name='facebook' href='/x'>",
            "<mj-navbar-link href='https://x.example'>",
            "<td background='{{ record.image }}'>",
            "<mj-text background-url='/x.png'>",
        ] {
            assert!(dead_links(good).is_empty(), "{good}");
        }
        assert_eq!(
            dead_links("<!-- <a href='/x'> --><a name=x><a href='/y{% raw %}z{% endraw %}'>").len(),
            1
        );
    }
}
