//! The preheader: text that mail programs show beside the subject, in the list of mails, and not in the mail itself.

use crate::mail::html_tokens::{Token, Tokens};

/// How many characters the preheader and what fills it up have: programs show up to about 140, and go on with the text of the body
/// where they find less.
const SHOWN: usize = 150;

/// A character of filling that no program shows or folds together: a space that does not break, between two that have no width.
const FILLING: &str = "&#847;&zwnj;&nbsp;";

/// Elements that may stand before the body of a document, whose own tag may be left out (HTML standard, section 13.1.2.4).
const BEFORE_BODY: [&str; 10] = [
    "html", "head", "title", "meta", "link", "style", "base", "script", "noscript", "template",
];

/// Puts the text, which is no HTML, in front of all that the body shows. An empty one changes nothing.
pub(crate) fn insert(mut html: String, text: &str) -> String {
    if text.is_empty() {
        return html;
    }
    let filling = FILLING.repeat(SHOWN.saturating_sub(text.chars().count()));
    let hidden = format!(
        r#"<div style="display:none;font-size:1px;line-height:1px;max-height:0;max-width:0;opacity:0;overflow:hidden;mso-hide:all">{}{filling}</div>"#,
        html_escape::encode_text(text)
    );
    html.insert_str(start_of_body(&html), &hidden);
    html
}

/// Finds where the body begins: behind its tag, or where a browser would put that.
fn start_of_body(html: &str) -> usize {
    let mut tokens = Tokens::new(html);
    while let Some((at, token)) = tokens.next() {
        let name = match token {
            Token::Text(text) if text.trim_ascii().is_empty() => continue,
            Token::Text(_) => return at,
            Token::Start(tag) if tag.name.eq_ignore_ascii_case("body") => return tokens.at(),
            Token::Start(tag) => tag.name,
            Token::End(name) => name,
        };
        if !BEFORE_BODY
            .iter()
            .any(|before| before.eq_ignore_ascii_case(name))
        {
            return at;
        }
    }
    html.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stands_in_front_of_all_that_the_body_shows() {
        for (html, before) in [
            (
                "<!doctype html><html><head><title>a</title></head><body class='>'>b</body></html>",
                66,
            ),
            (
                "<html><head><style>p > a {}</style></head>\n<p>b</p></html>",
                43,
            ),
            ("<!DOCTYPE html>\n<!-- <body> --><title>a</title><p>b", 47),
            ("<html><body>b<body>c", 12),
            ("<p>é</p>", 0),
            (" é", 0),
            ("<meta charset=utf-8>", 20),
            ("", 0),
        ] {
            let with = insert(html.to_owned(), "x");
            assert_eq!(
                with.find("<div style=\"display:none"),
                Some(before),
                "{html}"
            );
            assert_eq!(with.len() - html.len(), insert(String::new(), "x").len());
            assert_eq!(insert(html.to_owned(), ""), html);
        }
    }

    #[test]
    fn it_is_escaped_and_filled_up() {
        let of = |text: &str| {
            let html = insert(String::new(), text);
            let (start, end) = (html.find('>').unwrap() + 1, html.len() - "</div>".len());
            html[start..end].to_owned()
        };
        assert!(of("<b> & \"c\"").starts_with("&lt;b&gt; &amp; \"c\"&#847;&zwnj;&nbsp;&#847;"));
        let shown = |text: &str| {
            html_escape::decode_html_entities(&of(text))
                .matches('\u{a0}')
                .count()
        };
        assert_eq!(shown("Zoë"), 147);
        assert_eq!(shown(&"ë".repeat(149)), 1);
        assert_eq!(of(&"e".repeat(150)), "e".repeat(150));
        assert_eq!(of(&"e".repeat(400)), "e".repeat(400));
    }
}
