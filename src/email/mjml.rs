//! MJML to HTML.

use htmlparser::{ElementEnd, Token, Tokenizer};
use mrml::prelude::parser::ParserOptions;
use mrml::prelude::render::RenderOptions;

/// Deepest nesting: mrml calls itself for each level, and a stack overflow would end the server process.
const MAX_DEPTH: usize = 150;

/// Elements that mrml does not descend into, although they have no end tag.
const VOID: [&str; 14] = [
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source",
    "track", "wbr",
];

/// Tells whether a rendered body is MJML: it begins with `<mjml`.
pub fn is_mjml(body: &str) -> bool {
    let body = body.trim_start();
    body.strip_prefix("<mjml")
        .is_some_and(|rest| rest.starts_with(|c: char| c == '>' || c == '/' || c.is_whitespace()))
}

/// Turns MJML into HTML. `mj-include` loads nothing: there is no loader.
///
/// # Errors
/// The parser's or renderer's message, without the prefix `mjml`.
pub fn to_html(body: &str) -> Result<String, String> {
    if depth(body) > MAX_DEPTH {
        return Err(format!(
            "mjml: elements are nested deeper than {MAX_DEPTH} levels"
        ));
    }
    let parsed = mrml::parse_with_options(body.trim_start(), &ParserOptions::default())
        .map_err(|error| format!("mjml: {error}"))?;
    parsed
        .element
        .render(&RenderOptions::default())
        .map_err(|error| format!("mjml: {error}"))
}

/// Counts as mrml does: any end tag ends the innermost element.
fn depth(body: &str) -> usize {
    let (mut depth, mut deepest, mut is_void) = (0usize, 0usize, false);
    for token in Tokenizer::from(body) {
        match token {
            Ok(Token::ElementStart { local, .. }) => {
                is_void = VOID.contains(&local.as_str());
                depth += 1;
                deepest = deepest.max(depth);
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
    }
    deepest
}
