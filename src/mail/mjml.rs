//! MJML to HTML.

mod angle_bracket;
mod behind_end;
mod broken;
mod carried;
mod conditional;
mod corrections;
mod css;
mod defaults;
mod depth;
mod elements;
mod file_start;
mod finish;
mod head;
mod icon_position;
mod idle;
mod mistake;
mod mistakes;
mod prepare;
mod room;

use htmlparser::{ElementEnd, Token, Tokenizer};
use mrml::prelude::parser::{Error, ParserOptions};
use mrml::prelude::render::RenderOptions;

pub(crate) use broken::{first_break, first_break_in_piece};
pub(crate) use css::{Rule, Sheet};
pub(crate) use depth::{Change, changes};
pub(crate) use finish::inline_styles;
pub(crate) use idle::idle_attributes;
pub(crate) use mistake::Mistake;
pub(crate) use mistakes::{first_mistake, first_mistake_in_piece};

/// What `mj-include` says wherever it stands.
const NO_INCLUDE: &str = "mj-include loads nothing: use {% include \"snippet\" %}";

/// Deepest nesting: mrml calls itself for each level, and a stack overflow would end the server process. In a debug build
/// 2 MB of stack are enough for 145.
const MAX_DEPTH: usize = 100;

/// Most elements in one mail; what mrml writes for one is up to 1 KB.
const MAX_ELEMENTS: usize = 2_000;

/// Most images in all carousels: mrml writes styles for each pair of them.
const MAX_CAROUSEL_IMAGES: usize = 20;

/// Tells whether a rendered body is MJML: its first element is `<mjml`.
pub fn is_mjml(body: &str) -> bool {
    let body = without_prolog(body);
    body.split_at_checked("<mjml".len())
        .filter(|(name, _)| name.eq_ignore_ascii_case("<mjml"))
        .is_some_and(|(_, rest)| {
            rest.starts_with(|c: char| c == '>' || c == '/' || c.is_whitespace())
        })
}

/// Skips what editors put before the first element: byte order mark, white space, comments, XML declaration and
/// document type.
fn without_prolog(body: &str) -> &str {
    let mut rest = body;
    loop {
        rest = rest.trim_start_matches(|c: char| c == '\u{feff}' || c.is_whitespace());
        let skipped = [("<!--", "-->"), ("<?", "?>")]
            .iter()
            .find_map(|(open, close)| rest.strip_prefix(open)?.split_once(close));
        let is_type = rest
            .get(.."<!doctype".len())
            .is_some_and(|start| start.eq_ignore_ascii_case("<!doctype"));
        match skipped.or_else(|| is_type.then(|| rest.split_once('>'))?) {
            Some((_, after)) => rest = after,
            None => return rest,
        }
    }
}

/// Turns MJML into HTML. `mj-include` loads nothing: there is no loader.
///
/// # Errors
/// A limit that the markup exceeds, or the parser's or renderer's message, with line and column where they are known.
pub fn to_html(body: &str) -> Result<String, String> {
    let document = without_prolog(body);
    let before = body.len() - document.len();
    let at = |offset: usize, message: &str| {
        let (line, column) = position(body, before + offset);
        format!("mjml: line {line}, column {column}: {message}")
    };
    let document = angle_bracket::protect(document);
    if let Some(offset) = conditional::broken(&document) {
        return Err(at(offset, conditional::BROKEN));
    }
    check_limits(&document).map_err(|(offset, message)| at(offset, &message))?;
    let head = head::read(&document).map_err(|(offset, message)| at(offset, &message))?;
    let mut added = defaults::written_out(&document);
    added.extend(room::edits(&document));
    let (carried, mut replaced) = carried::edits(&document);
    let is_carried = !carried.is_empty() || !replaced.is_empty();
    added.extend(carried);
    replaced.extend(head.edits);
    let (taken, before) = file_start::take(&document);
    replaced.extend(taken);
    let prepared = prepare::prepare(&document, added, replaced);
    let parsed =
        mrml::parse_with_options(&prepared.text, &ParserOptions::default()).map_err(|error| {
            match end_of_parsing(&error, &prepared.text) {
                Some(offset) => {
                    let offset = prepared.original(offset);
                    at(offset, &reason(&error, &document, offset))
                }
                None => format!("mjml: {error}"),
            }
        })?;
    let wrong = |message| format!("mjml: {message}");
    let html = parsed
        .element
        .render(&RenderOptions::default())
        .map_err(|error| wrong(error.to_string()))?;
    let html = match is_carried {
        true => carried::write_out(html),
        false => html,
    };
    let html = corrections::correct(html);
    let html = finish::set_attributes(html, &head.attributes).map_err(wrong)?;
    let html = finish::inline_styles(html, &head.rules).map_err(wrong)?;
    Ok(before + &angle_bracket::restore(html))
}

/// Where the parser stopped.
fn end_of_parsing(error: &Error, document: &str) -> Option<usize> {
    match error {
        Error::UnexpectedElement { position, .. }
        | Error::UnexpectedToken { position, .. }
        | Error::MissingAttribute { position, .. }
        | Error::InvalidAttribute { position, .. }
        | Error::InvalidFormat { position, .. }
        | Error::IncludeLoaderError { position, .. } => Some(position.start),
        // The tokenizer tells it by line and column only.
        Error::ParserError { .. } | Error::EndOfStream { .. } => {
            let mut end = 0;
            for token in Tokenizer::from(document).map_while(Result::ok) {
                end = match token {
                    Token::ElementStart { span, .. }
                    | Token::ElementEnd { span, .. }
                    | Token::Attribute { span, .. }
                    | Token::Comment { span, .. } => span.end(),
                    Token::Text { text } => text.end(),
                    _ => end,
                };
            }
            Some(end)
        }
        _ => None,
    }
}

/// Line and column in characters, both from 1.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..text.floor_char_boundary(offset)).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}

fn reason(error: &Error, text: &str, offset: usize) -> String {
    let found: String = text
        .get(text.floor_char_boundary(offset)..)
        .unwrap_or_default()
        .chars()
        .take_while(|c| !c.is_whitespace() && *c != '>')
        .take(40)
        .collect();
    match error {
        Error::UnexpectedElement { .. } => format!("{found:?} does not belong there"),
        Error::UnexpectedToken { .. } | Error::InvalidFormat { .. } => {
            format!("{found:?} is not understood there")
        }
        Error::MissingAttribute { name, .. } => format!("{found:?} needs the attribute {name:?}"),
        Error::InvalidAttribute { .. } => format!("{found:?} is no attribute that belongs there"),
        Error::IncludeLoaderError { .. } => NO_INCLUDE.to_owned(),
        Error::ParserError { source, .. } => source.to_string(),
        _ => "the document ends too early".to_owned(),
    }
}

/// Counts depth as mrml does: any end tag ends the innermost element.
fn check_limits(body: &str) -> Result<(), (usize, String)> {
    let (mut depth, mut elements, mut carousel_images) = (0usize, 0usize, 0usize);
    let mut is_void = false;
    let mut last = 0;
    for token in Tokenizer::from(body) {
        match token {
            Ok(Token::ElementStart { local, .. }) => {
                last = local.start();
                is_void = prepare::VOID
                    .iter()
                    .any(|name| name.eq_ignore_ascii_case(&local));
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
            return Err((last, format!("more than {most} {what}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
