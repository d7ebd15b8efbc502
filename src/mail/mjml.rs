//! MJML to HTML.

use htmlparser::{ElementEnd, Token, Tokenizer};
use mrml::prelude::parser::ParserOptions;
use mrml::prelude::render::RenderOptions;

/// Deepest nesting: mrml calls itself for each level, and a stack overflow would end the server process.
const MAX_DEPTH: usize = 150;

/// Most elements in one mail; what mrml writes for one is up to 1 KB.
const MAX_ELEMENTS: usize = 2_000;

/// Most images in all carousels: mrml writes styles for each pair of them.
const MAX_CAROUSEL_IMAGES: usize = 20;

/// Elements that mrml does not descend into, although they have no end tag.
const VOID: [&str; 14] = [
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source",
    "track", "wbr",
];

/// Tells whether a rendered body is MJML: its first element is `<mjml`.
pub fn is_mjml(body: &str) -> bool {
    without_prolog(body)
        .strip_prefix("<mjml")
        .is_some_and(|rest| rest.starts_with(|c: char| c == '>' || c == '/' || c.is_whitespace()))
}

/// Skips what editors put before the first element: byte order mark, white space, comments and XML declaration.
fn without_prolog(body: &str) -> &str {
    let mut rest = body;
    loop {
        rest = rest.trim_start_matches(|c: char| c == '\u{feff}' || c.is_whitespace());
        let skipped = [("<!--", "-->"), ("<?", "?>")]
            .iter()
            .find_map(|(open, close)| rest.strip_prefix(open)?.split_once(close));
        match skipped {
            Some((_, after)) => rest = after,
            None => return rest,
        }
    }
}

/// Turns MJML into HTML. `mj-include` loads nothing: there is no loader.
///
/// # Errors
/// A limit that the markup exceeds, or the parser's or renderer's message.
pub fn to_html(body: &str) -> Result<String, String> {
    let body = without_prolog(body);
    check_limits(body)?;
    let parsed = mrml::parse_with_options(body, &ParserOptions::default())
        .map_err(|error| format!("mjml: {error}"))?;
    parsed
        .element
        .render(&RenderOptions::default())
        .map_err(|error| format!("mjml: {error}"))
}

/// Counts depth as mrml does: any end tag ends the innermost element.
fn check_limits(body: &str) -> Result<(), String> {
    let (mut depth, mut elements, mut carousel_images) = (0usize, 0usize, 0usize);
    let mut is_void = false;
    for token in Tokenizer::from(body) {
        match token {
            Ok(Token::ElementStart { local, .. }) => {
                is_void = VOID.contains(&local.as_str());
                depth += 1;
                elements += 1;
                carousel_images += usize::from(local.as_str() == "mj-carousel-image");
            }
            Ok(Token::ElementEnd {
                end: ElementEnd::Open,
                ..
            }) if !is_void => {}
            Ok(Token::ElementEnd { .. }) => depth = depth.saturating_sub(1),
            Ok(_) => {}
            // mrml stops here too.
            Err(_) => break,
        }
        let limits = [
            (depth, MAX_DEPTH, "levels of nested elements"),
            (elements, MAX_ELEMENTS, "elements"),
            (
                carousel_images,
                MAX_CAROUSEL_IMAGES,
                "elements mj-carousel-image",
            ),
        ];
        if let Some((_, most, what)) = limits.iter().find(|(count, most, _)| count > most) {
            return Err(format!("mjml: more than {most} {what}"));
        }
    }
    Ok(())
}
