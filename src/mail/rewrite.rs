//! Rewrites the links of a mail: each target becomes a placeholder for a tracked URL.

pub(crate) mod href;

use std::borrow::Cow;
use std::ops::Range;

use crate::mail::html_tokens::{Token, Tokens};
use crate::mail::placeholder::{self, Links, Mark, Target, trackable_url};
use href::hrefs;

/// Replaces the `href` of every `<a>` and `<area>` that leads to http or https by a placeholder.
///
/// `unsubscribe` and `unsubscribe|https://…` become the unsubscribe URL. Everything else keeps its bytes.
///
/// # Errors
/// Markup that needs more memory than allowed, a page after `unsubscribe|` that is no http or https URL, or
/// `unsubscribe` inside a conditional comment.
pub(crate) fn track_links(html: &str, links: &mut Links) -> Result<String, String> {
    check_conditional_comments(html)?;
    let mut edits = Vec::new();
    for href in hrefs(html)? {
        let written = &html[href.value.clone()];
        let text = match Replaced::read(written, href.is_tracked)? {
            Some(replaced) => Some(replaced.text(links)),
            None => tagged(written, links),
        };
        edits.extend(text.map(|text| (href.value, text)));
        edits.extend(href.no_track.map(|range| (range, String::new())));
    }
    Ok(splice(html, edits))
}

/// Whether a source may have links that are not tracked.
pub(crate) fn has_untracked(source: &str) -> bool {
    source.to_ascii_lowercase().contains(href::NO_TRACK)
}

/// Replaces ranges that do not overlap.
pub(crate) fn splice(text: &str, mut edits: Vec<(Range<usize>, String)>) -> String {
    edits.sort_by_key(|(range, _)| range.start);
    let mut spliced = String::with_capacity(text.len() + text.len() / 8);
    let mut done = 0;
    for (range, replacement) in edits {
        spliced.push_str(&text[done..range.start]);
        spliced.push_str(&replacement);
        done = range.end;
    }
    spliced.push_str(&text[done..]);
    spliced
}

/// Where a link leads.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Destination {
    Link(String),
    /// With the page to go to afterwards.
    Unsubscribe(Option<String>),
    /// It was given by a placeholder that is there already.
    Given(Target),
}

/// A value of `href` that is to be replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Replaced {
    destination: Destination,
    quote: char,
}

impl Replaced {
    /// Reads a value as it is written, with its quotes; None: it stays.
    ///
    /// # Errors
    /// A page after `unsubscribe|` that is no http or https URL.
    pub(crate) fn read(written: &str, is_tracked: bool) -> Result<Option<Replaced>, String> {
        let (quote, href) = read_value(written);
        let destination = match unsubscribe(&href) {
            Some(None) => Destination::Unsubscribe(None),
            Some(Some(page)) => unsubscribe_by(page)?,
            None if !is_tracked || placeholder::contains(&href) => return Ok(None),
            None => match trackable_url(href.trim()) {
                Some(url) => Destination::Link(url),
                None => return Ok(None),
            },
        };
        Ok(Some(Replaced { destination, quote }))
    }

    /// The value that replaces it.
    fn text(&self, links: &mut Links) -> String {
        let target = match &self.destination {
            Destination::Link(url) => Target::Link(links.intern(url)),
            Destination::Unsubscribe(page) => {
                Target::Unsubscribe(page.as_ref().map(|page| links.intern_as_written(page)))
            }
            Destination::Given(target) => *target,
        };
        let quote = self.quote;
        format!("{quote}{}{quote}", target.placeholder())
    }
}

/// Takes the quotes of a value of `href` away, and its character references; gives the quote to write it with.
fn read_value(written: &str) -> (char, Cow<'_, str>) {
    let quote = written.chars().next().filter(|c| matches!(c, '"' | '\''));
    let value = match quote {
        Some(quote) => written[1..].strip_suffix(quote).unwrap_or(&written[1..]),
        None => written,
    };
    // Character references without a semicolon stay: `&copy=1` is a parameter that nobody escaped.
    (
        quote.unwrap_or('"'),
        html_escape::decode_html_entities(value),
    )
}

/// A value of `href` that is not tracked, with the parameters of the campaign; None: it stays.
fn tagged(written: &str, links: &Links) -> Option<String> {
    if !links.has_campaign() {
        return None;
    }
    let (quote, href) = read_value(written);
    if placeholder::contains(&href) {
        return None;
    }
    let url = links.tagged(&trackable_url(href.trim())?)?;
    let url = html_escape::encode_quoted_attribute(&url);
    Some(format!("{quote}{url}{quote}"))
}

/// Replaces the links that were marked in the templates, in a mail that they have made.
///
/// # Errors
/// As [`track_links`].
pub(crate) fn track_marked(
    html: &str,
    known: &[Replaced],
    links: &mut Links,
) -> Result<String, String> {
    let mut tracked = String::with_capacity(html.len() + html.len() / 8);
    let mut rest = html;
    while let Some((before, mark, after)) = placeholder::next_mark(rest) {
        tracked.push_str(before);
        rest = after;
        match mark {
            Mark::Known(index) => {
                if let Some(replaced) = known.get(index) {
                    tracked.push_str(&replaced.text(links));
                }
            }
            Mark::Begin { is_tracked } => {
                let (written, after) = placeholder::until_end(rest);
                rest = after;
                match Replaced::read(written, is_tracked)? {
                    Some(replaced) => tracked.push_str(&replaced.text(links)),
                    None => match tagged(written, links) {
                        Some(tagged) => tracked.push_str(&tagged),
                        None => tracked.push_str(written),
                    },
                }
            }
        }
    }
    tracked.push_str(rest);
    check_conditional_comments(&tracked)?;
    Ok(tracked)
}

/// Refuses `unsubscribe` where Outlook reads markup that to us is a comment: it would become a dead link.
fn check_conditional_comments(html: &str) -> Result<(), String> {
    let mut rest = html;
    while let Some((_, after)) = rest.split_once("<!--[") {
        let (comment, tail) = after.split_once("-->").unwrap_or((after, ""));
        rest = tail;
        for (_, token) in Tokens::new(comment) {
            if let Token::Start(tag) = token
                && let Some(href) = tag.attribute("href")
                && unsubscribe(&href).is_some()
            {
                let condition = comment.split('>').next().unwrap_or_default();
                let start = html.len() - after.len();
                let line = html[..start].matches('\n').count() + 1;
                return Err(format!(
                    "html: href {href:?} in <!--[{condition}> at line {line} would be a dead link in Outlook; write \
                     {{{{ unsubscribe_url }}}} there"
                ));
            }
        }
    }
    Ok(())
}

/// Recognises `unsubscribe` and `unsubscribe|page`; gives the page.
fn unsubscribe(href: &str) -> Option<Option<&str>> {
    let (word, page) = match href.split_once('|') {
        Some((word, page)) => (word, Some(page.trim())),
        None => (href, None),
    };
    word.trim()
        .eq_ignore_ascii_case("unsubscribe")
        .then_some(page)
}

fn unsubscribe_by(page: &str) -> Result<Destination, String> {
    match (placeholder::exact(page), trackable_url(page)) {
        (Some(Target::Link(index)), _) => Ok(Destination::Given(Target::Unsubscribe(Some(index)))),
        (Some(Target::Unsubscribe(page)), _) => Ok(Destination::Given(Target::Unsubscribe(page))),
        (None, Some(url)) if !placeholder::contains(page) => {
            Ok(Destination::Unsubscribe(Some(url)))
        }
        _ => {
            let page = placeholder::fill(page, |_| "…".to_owned());
            Err(format!(
                "href \"unsubscribe|{page}\": {page:?} is no absolute http or https URL"
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(html: &str) -> (String, Vec<String>) {
        let mut links = Links::default();
        let html = track_links(html, &mut links).unwrap();
        (
            placeholder::fill(&html, |target| format!("{target:?}")),
            links.into_urls(),
        )
    }

    #[test]
    fn http_links_become_placeholders_and_each_url_is_stored_once() {
        let (html, links) = rewritten(
            r#"<A HREF=' https://a.example/?x=1&amp;y=2 '>1</A><a class="b" href=https://b.example>2</a><area href="https://a.example/?x=1&#38;y=2">"#,
        );
        assert_eq!(
            html,
            r#"<A HREF='Link(0)'>1</A><a class="b" href="Link(1)">2</a><area href="Link(0)">"#
        );
        assert_eq!(links, ["https://a.example/?x=1&y=2", "https://b.example"]);
    }

    #[test]
    fn other_schemes_and_relative_links_keep_their_bytes() {
        let html = concat!(
            r##"<a href="mailto:a@b">m</a><a href='tel:1'>t</a><a href=sms:1>s</a><a href="#top">h</a><a href="">e</a>"##,
            r#"<a href="cid:1">c</a><a href="/x">r</a><a href="//example.org">p</a><a name=x>n</a><link href="https://x.example">"#,
            r#"<img src="https://x.example"><!--[if mso]><a href="https://mso.example">x</a><![endif]--><![if !mso]><p>y</p><![endif]>"#,
            "<P  CLASS=x >é&nbsp;&copy</p\n><br/><script>'<a href=\"https://x.example\">'</script>",
        );
        assert_eq!(rewritten(html), (html.to_owned(), Vec::new()));
    }

    #[test]
    fn unsubscribe_with_and_without_a_page() {
        let (html, links) = rewritten(
            r#"<a href="unsubscribe">1</a><a href=" Unsubscribe | https://a.example/bye ">2</a>"#,
        );
        assert_eq!(
            html,
            r#"<a href="Unsubscribe(None)">1</a><a href="Unsubscribe(Some(0))">2</a>"#
        );
        assert_eq!(links, ["https://a.example/bye"]);
        let mut links = Links::default();
        let error = track_links(
            r#"<a href="unsubscribe|javascript:alert(1)">x</a>"#,
            &mut links,
        )
        .unwrap_err();
        assert!(error.contains("javascript:alert(1)"), "{error}");
    }

    #[test]
    fn unsubscribe_takes_a_placeholder_as_page_and_nothing_else() {
        let link = Target::Link(3).placeholder();
        let url = Target::Unsubscribe(None).placeholder();
        assert_eq!(
            rewritten(&format!(
                r#"<a href="unsubscribe|{link}">1</a><a data-no-track href="unsubscribe | {url}">2</a>"#
            ))
            .0,
            r#"<a href="Unsubscribe(Some(3))">1</a><a href="Unsubscribe(None)">2</a>"#
        );
        let image = Target::OpenImage.placeholder();
        for page in [
            "",
            "/bye",
            "bye.example",
            "mailto:a@b",
            &image,
            &format!("{link}?x=1"),
            &format!("https://a.example/{link}"),
        ] {
            let html = format!("<a href='unsubscribe|{page}'>x</a>");
            let error = track_links(&html, &mut Links::default()).unwrap_err();
            assert!(error.contains("no absolute http or https URL"), "{error}");
            assert!(!error.contains(&link) && !error.contains(&image), "{error}");
        }
    }

    #[test]
    fn unsubscribe_in_a_conditional_comment_is_an_error() {
        for href in ["unsubscribe", " Unsubscribe|https://a.example"] {
            let html = format!(
                "<p>\n<!--[if mso]><a href='https://a.example'>x</a><v:rect href='{href}'><![endif]-->"
            );
            let error = track_links(&html, &mut Links::default()).unwrap_err();
            assert!(error.contains("<!--[if mso]> at line 2"), "{error}");
        }
        let kept = format!(
            "<!--[if mso]><a href='{}'>x</a><![endif]--><!-- <a href='unsubscribe'> -->",
            Target::Unsubscribe(None).placeholder()
        );
        assert_eq!(track_links(&kept, &mut Links::default()).unwrap(), kept);
    }

    #[test]
    fn no_track_leaves_the_link_and_goes_away() {
        let (html, links) = rewritten(r#"<a Data-No-Track href="https://a.example">1</a>"#);
        assert_eq!(html, r#"<a href="https://a.example">1</a>"#);
        assert!(links.is_empty());
        for value in ["=", " = ", "=''", " = \"\"", "=x"] {
            let html =
                format!("<a data-no-track{value}>0</a><a href='/x' data-no-track{value}>1</a>");
            let expected = format!(
                "<a data-no-track{value}>0</a><a href='/x'{}>1</a>",
                if value == " = " { " " } else { "" }
            );
            assert_eq!(rewritten(&html).0, expected);
        }
    }

    #[test]
    fn placeholders_are_not_wrapped_again() {
        let html = format!(r#"<a href="{}?x=1">1</a>"#, Target::Link(0).placeholder());
        let mut links = Links::default();
        assert_eq!(track_links(&html, &mut links).unwrap(), html);
    }

    #[test]
    fn escaped_urls_of_a_template_are_decoded() {
        let (_, links) = rewritten(
            r#"<a href="https:&#x2f;&#x2f;a.example&#x2f;?q=&quot;&lt;&copy=1&amp;b">1</a>"#,
        );
        assert_eq!(links, ["https://a.example/?q=\"<&copy=1&b"]);
    }
}
