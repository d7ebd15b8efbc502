//! Rewrites the links of a mail, and puts the open image in.

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::LazyLock;

use lol_html::html_content::Element;
use lol_html::{ElementContentHandlers, MemorySettings, Selector, Settings, rewrite_str};

use crate::email::markup::{Token, Tokens};
use crate::email::placeholder::{self, Links, Target, trackable_url};

/// Memory that the rewriter may use beside its output, in bytes: four times the longest body.
const MEMORY: usize = 4 * 1024 * 1024;

/// An author's attribute: this link stays as it is written.
const NO_TRACK: &str = "data-no-track";

/// Elements that a reader can follow.
static LINKS: LazyLock<Selector> = LazyLock::new(|| {
    "a[href], area[href]"
        .parse()
        .expect("the constant is a valid CSS selector")
});

/// Replaces the `href` of every `<a>` and `<area>` that leads to http or https by a placeholder.
///
/// `unsubscribe` and `unsubscribe|https://…` become the unsubscribe URL. Everything else keeps its bytes.
///
/// # Errors
/// Markup that needs more memory than allowed, a page after `unsubscribe|` that is no http or https URL, or
/// `unsubscribe` inside a conditional comment.
pub(crate) fn track_links(html: &str, links: &mut Links) -> Result<String, String> {
    check_conditional_comments(html)?;
    let links = RefCell::new(links);
    let handler = ElementContentHandlers::default().element(|link: &mut Element| {
        rewrite_link(link, &mut links.borrow_mut()).map_err(Into::into)
    });
    let settings = Settings::new()
        .append_element_content_handler((Cow::Borrowed(&*LINKS), handler))
        .with_memory_settings(MemorySettings::new().with_max_allowed_memory_usage(MEMORY))
        // Ambiguous markup can at worst leave a link untracked; that is no reason to hold the mail back.
        .with_strict(false);
    rewrite_str(html, settings).map_err(|error| format!("html: {error}"))
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

fn rewrite_link(link: &mut Element, links: &mut Links) -> Result<(), String> {
    let is_tracked = !link.has_attribute(NO_TRACK);
    if !is_tracked {
        link.remove_attribute(NO_TRACK);
    }
    let Some(href) = link.get_attribute("href") else {
        return Ok(());
    };
    // Character references without a semicolon stay: `&copy=1` is a parameter that nobody escaped.
    let href = html_escape::decode_html_entities(&href);
    let target = match unsubscribe(&href) {
        Some(None) => Target::Unsubscribe(None),
        Some(Some(page)) => unsubscribe_by(page, links)?,
        None if !is_tracked || placeholder::contains(&href) => return Ok(()),
        None => match trackable_url(href.trim()) {
            Some(url) => Target::Link(links.intern(&url)),
            None => return Ok(()),
        },
    };
    link.set_attribute("href", &target.placeholder())
        .map_err(|error| error.to_string())
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

fn unsubscribe_by(page: &str, links: &mut Links) -> Result<Target, String> {
    match (placeholder::exact(page), trackable_url(page)) {
        (Some(Target::Link(index)), _) => Ok(Target::Unsubscribe(Some(index))),
        (Some(Target::Unsubscribe(page)), _) => Ok(Target::Unsubscribe(page)),
        (None, Some(url)) if !placeholder::contains(page) => {
            Ok(Target::Unsubscribe(Some(links.intern(&url))))
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
    let image = format!(
        r#"<img src="{}" width="1" height="1" alt="" style="display:block;border:0;width:1px;height:1px">"#,
        Target::OpenImage.placeholder()
    );
    let at = end_of_body(&html).unwrap_or(html.len());
    html.insert_str(at, &image);
    html
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
            r#"<A HREF="Link(0)">1</A><a class="b" href="Link(1)">2</a><area href="Link(0)">"#
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
