//! Rewrites the links of a mail, and puts the open image in.

use std::borrow::Cow;
use std::cell::RefCell;
use std::ops::Range;
use std::sync::LazyLock;

use lol_html::html_content::{Attribute, Element};
use lol_html::{ElementContentHandlers, HtmlRewriter, MemorySettings, Selector, Settings};

use crate::email::markup::{Token, Tokens};
use crate::email::placeholder::{self, Links, Mark, Target, trackable_url};

/// Memory that the parser may use, in bytes: four times the longest body.
pub(crate) const MEMORY: usize = 4 * 1024 * 1024;

/// An author's attribute: this link stays as it is written.
const NO_TRACK: &str = "data-no-track";

/// Elements that a reader can follow.
static LINKS: LazyLock<Selector> = LazyLock::new(|| {
    "a[href], area[href]"
        .parse()
        .expect("the constant is a valid CSS selector")
});

/// The `href` of a link, by its place in the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Href {
    /// The value, with its quotes where it has some.
    pub(crate) value: Range<usize>,
    pub(crate) is_tracked: bool,
    /// The attribute that says that it is not, with the space before it.
    pub(crate) no_track: Option<Range<usize>>,
}

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
        if let Some(replaced) = Replaced::read(&html[href.value.clone()], href.is_tracked)? {
            edits.push((href.value, replaced.text(links)));
        }
        edits.extend(href.no_track.map(|range| (range, String::new())));
    }
    Ok(splice(html, edits))
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

/// Finds the links of a document.
///
/// lol_html only looks: what it writes itself has its own spaces between the attributes of a changed tag.
fn hrefs(html: &str) -> Result<Vec<Href>, String> {
    let found = RefCell::new(Vec::new());
    let handler = ElementContentHandlers::default().element(|link: &mut Element| {
        found.borrow_mut().extend(href(html, link.attributes()));
        Ok(())
    });
    let settings = Settings::new()
        .append_element_content_handler((Cow::Borrowed(&*LINKS), handler))
        .with_memory_settings(MemorySettings::new().with_max_allowed_memory_usage(MEMORY))
        // Ambiguous markup can at worst leave a link untracked; that is no reason to hold the mail back.
        .with_strict(false);
    let mut rewriter = HtmlRewriter::new(settings, |_: &[u8]| {});
    rewriter
        .write(html.as_bytes())
        .and_then(|()| rewriter.end())
        .map_err(|error| format!("html: {error}"))?;
    Ok(found.into_inner())
}

/// The `href` among the attributes of a link; None: it has no value.
pub(crate) fn href(html: &str, attributes: &[Attribute<'_>]) -> Option<Href> {
    let named = |name| attributes.iter().find(|attribute| attribute.name() == name);
    let no_track = named(NO_TRACK);
    Some(Href {
        value: quoted_value(html, named("href")?)?,
        is_tracked: no_track.is_none(),
        no_track: no_track.and_then(|attribute| {
            let name = attribute.name_source_location()?.bytes();
            let end = quoted_value(html, attribute).map_or(name.end, |value| value.end);
            let start = html[..name.start].trim_ascii_end().len();
            Some(start..end)
        }),
    })
}

/// Where the value of an attribute stands, with its quotes.
pub(crate) fn quoted_value(html: &str, attribute: &Attribute<'_>) -> Option<Range<usize>> {
    let value = attribute.value_source_location()?.bytes();
    let before = value.start.checked_sub(1)?;
    match html.as_bytes().get(before)? {
        b'"' | b'\'' => Some(before..value.end + 1),
        _ => Some(value),
    }
}

/// Where a link leads.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Destination {
    Link(String),
    /// With the page to go to afterwards.
    Unsubscribe(Option<String>),
    /// By a placeholder that is there already.
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
        let quote = written.chars().next().filter(|c| matches!(c, '"' | '\''));
        let value = match quote {
            Some(quote) => written[1..].strip_suffix(quote).unwrap_or(&written[1..]),
            None => written,
        };
        // Character references without a semicolon stay: `&copy=1` is a parameter that nobody escaped.
        let href = html_escape::decode_html_entities(value);
        let destination = match unsubscribe(&href) {
            Some(None) => Destination::Unsubscribe(None),
            Some(Some(page)) => unsubscribe_by(page)?,
            None if !is_tracked || placeholder::contains(&href) => return Ok(None),
            None => match trackable_url(href.trim()) {
                Some(url) => Destination::Link(url),
                None => return Ok(None),
            },
        };
        Ok(Some(Replaced {
            destination,
            quote: quote.unwrap_or('"'),
        }))
    }

    /// What stands instead.
    fn text(&self, links: &mut Links) -> String {
        let target = match &self.destination {
            Destination::Link(url) => Target::Link(links.intern(url)),
            Destination::Unsubscribe(page) => {
                Target::Unsubscribe(page.as_ref().map(|page| links.intern(page)))
            }
            Destination::Given(target) => *target,
        };
        let quote = self.quote;
        format!("{quote}{}{quote}", target.placeholder())
    }
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
                    None => tracked.push_str(written),
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

/// Puts the open image before the last `</body>`, or at the end of a document without one.
pub(crate) fn insert_open_image(mut html: String) -> String {
    let at = end_of_body(&html).unwrap_or(html.len());
    html.insert_str(at, &open_image());
    html
}

/// The open image as it stands in the HTML.
pub(crate) fn open_image() -> String {
    format!(
        r#"<img src="{}" width="1" height="1" alt="" style="display:block;border:0;width:1px;height:1px">"#,
        Target::OpenImage.placeholder()
    )
}

/// The link that no person sees and no screen reader reads, which only programs follow.
pub(crate) fn hidden_link() -> String {
    format!(
        r#"<a href="{}" aria-hidden="true" tabindex="-1" rel="nofollow" style="display:none;font-size:0"></a>"#,
        Target::HiddenLink.placeholder()
    )
}

/// Finds the last `</body>` that is markup, not part of a comment (also of a conditional one for Outlook) or a script.
fn end_of_body(html: &str) -> Option<usize> {
    let ends = Tokens::new(html).filter(
        |(_, token)| matches!(token, Token::End(name) if name.eq_ignore_ascii_case("body")),
    );
    ends.last().map(|(at, _)| at)
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

    #[test]
    fn open_image_goes_before_the_last_end_of_body_outside_comments() {
        let at = |html: &str| {
            let with = placeholder::fill(&insert_open_image(html.to_owned()), |_| "I".into());
            assert_eq!(with.matches("<img ").count(), 1);
            with.find("<img ").unwrap()
        };
        assert_eq!(at("<body>a</body><body>b</BODY ></html>"), 21);
        assert_eq!(at("<body>a</body><!-- </body> --></html>"), 7);
        assert_eq!(at("<p>é</p>"), 9);
        assert_eq!(at("<body>a</bodywork>"), 18);
        assert_eq!(at("<body>a<!-- </body>"), 19);
    }
}
