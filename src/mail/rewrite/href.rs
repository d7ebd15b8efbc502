//! Finds the links of a document.

use std::borrow::Cow;
use std::cell::RefCell;
use std::ops::Range;
use std::sync::LazyLock;

use lol_html::errors::RewritingError;
use lol_html::html_content::{Attribute, Element};
use lol_html::{ElementContentHandlers, HtmlRewriter, MemorySettings, Selector, Settings};

/// Memory that the parser may use, in bytes: four times the longest body.
const MEMORY: usize = 4 * 1024 * 1024;

/// An author's attribute: this link stays as it is written.
pub(super) const NO_TRACK: &str = "data-no-track";

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

/// Finds the links of a document.
pub(super) fn hrefs(html: &str) -> Result<Vec<Href>, String> {
    let found = RefCell::new(Vec::new());
    let handler = ElementContentHandlers::default().element(|link: &mut Element| {
        found.borrow_mut().extend(href(html, link.attributes()));
        Ok(())
    });
    let settings = Settings::new()
        .append_element_content_handler((Cow::Borrowed(&*LINKS), handler))
        // Ambiguous markup can at worst leave a link untracked; that is no reason to hold the mail back.
        .with_strict(false);
    visit(html, settings).map_err(|error| format!("html: {error}"))?;
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
            let end = match quoted_value(html, attribute) {
                Some(value) => value.end,
                // Also the equals sign of a value that is not there.
                None => match html[name.end..].trim_ascii_start().strip_prefix('=') {
                    Some(rest) => html.len() - rest.len(),
                    None => name.end,
                },
            };
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

/// Shows a document to handlers that only look, in bounded memory.
///
/// lol_html changes nothing: what it writes itself has its own spaces between the attributes of a changed tag.
pub(crate) fn visit(html: &str, settings: Settings<'_, '_>) -> Result<(), RewritingError> {
    let memory = MemorySettings::new().with_max_allowed_memory_usage(MEMORY);
    let mut rewriter = HtmlRewriter::new(settings.with_memory_settings(memory), |_: &[u8]| {});
    rewriter.write(html.as_bytes())?;
    rewriter.end()
}
