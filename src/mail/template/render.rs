//! From a compiled template and a row to text.

use minijinja::Environment;
use minijinja::value::Value;

use super::limits::{Limited, MAX_HEADER_BYTES, MAX_OUTPUT_BYTES, too_long};
use super::{Part, TemplateError, css_comment};
use crate::mail::message::is_forbidden_in_header;

/// Renders the template of a name; `place` gives line and column of an offset in it, or in a snippet of it.
pub(super) fn render_part(
    environment: &Environment<'static>,
    part: Part,
    name: &str,
    context: &Value,
    place: impl Fn(Option<&str>, usize) -> Option<(u32, u32)>,
) -> Result<String, TemplateError> {
    let wrong = |error| TemplateError::from_minijinja(part, &error, &place);
    let template = environment.get_template(name).map_err(wrong)?;
    let mut output = Limited::new(Vec::new(), MAX_OUTPUT_BYTES);
    let rendered = template
        .render_captured_to(context.clone(), &mut output)
        .map(drop);
    if output.is_full() {
        return Err(too_long(part, MAX_OUTPUT_BYTES));
    }
    rendered.map_err(wrong)?;
    String::from_utf8(output.into_inner())
        .map(css_comment::restore)
        .map_err(|error| TemplateError::new(part, error.to_string()))
}

/// Makes one line of the result of a template that becomes a header, as authors break long templates into lines, and rows
/// hold what a header may not (RFC 5322, section 2.2): such characters become a space.
pub(super) fn one_line(part: Part, text: String) -> Result<String, TemplateError> {
    let text = text.trim_matches(|c: char| c == ' ' || is_forbidden_in_header(c));
    let text = text
        .split(is_forbidden_in_header)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join(" ");
    match text.len() > MAX_HEADER_BYTES {
        true => Err(too_long(part, MAX_HEADER_BYTES)),
        false => Ok(text),
    }
}
