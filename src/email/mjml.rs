//! MJML to HTML.

use mrml::prelude::parser::ParserOptions;
use mrml::prelude::render::RenderOptions;

/// Deepest nesting that is parsed: mrml calls itself for each level, and a stack overflow would end the server.
const MAX_DEPTH: usize = 200;

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

/// Counts the deepest nesting of tags; elements that HTML leaves unclosed count as if they were open, which errs high.
fn depth(body: &str) -> usize {
    let bytes = body.as_bytes();
    let (mut depth, mut deepest) = (0usize, 0usize);
    for (at, &byte) in bytes.iter().enumerate() {
        match (byte, bytes.get(at + 1)) {
            (b'<', Some(b'/')) | (b'/', Some(b'>')) => depth = depth.saturating_sub(1),
            (b'<', Some(next)) if next.is_ascii_alphabetic() => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            _ => {}
        }
    }
    deepest
}
