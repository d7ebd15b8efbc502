//! What mrml gets wrong in a document is written otherwise before it sees it.

use htmlparser::{ElementEnd, StrSpan, Token, Tokenizer};

use crate::mail::edits::{Edit, Edited};

/// Elements that mrml does not descend into, although they have no end tag.
pub(super) const VOID: [&str; 14] = [
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source",
    "track", "wbr",
];

/// Elements that the npm package gives an empty alternative text.
const IMAGES: [&str; 3] = ["mj-image", "mj-carousel-image", "mj-social-element"];

/// Writes attributes so that mrml leaves them alone, and names of elements as it knows them.
///
/// mrml writes attributes by Rust's Debug: a no-break space becomes `\u{a0}`, quotes and backslashes get a backslash.
/// References of HTML go through as they are, and mean the same wherever it puts them. What `taken` takes out of the
/// document needs nothing else, `added` is what other files correct.
pub(super) fn prepare(document: &str, added: Vec<Edit>, taken: Vec<Edit>) -> Edited {
    let mut edits = Vec::new();
    // The image that is open, and whether it has an alternative text.
    let mut image: Option<bool> = None;
    let mut in_defaults = false;
    // Defaults would lose against what is written at the element.
    let has_default = has_default_alternative(document);
    for token in Tokenizer::from(document).map_while(Result::ok) {
        match token {
            Token::ElementStart { local, .. } => {
                edits.extend(lower_case(&local));
                let name = local.as_str().to_ascii_lowercase();
                in_defaults |= name == "mj-attributes";
                image = (IMAGES.contains(&name.as_str()) && !in_defaults && !has_default)
                    .then_some(false);
            }
            Token::Attribute { local, value, .. } => {
                if local.as_str() == "alt" {
                    image = image.map(|_| true);
                }
                if local.as_str().contains("padding") {
                    edits.extend(value.and_then(|value| with_unit(&value)));
                }
                if local.as_str() == "mode" {
                    edits.extend(value.and_then(|value| fluid(&value)));
                }
                edits.extend(value.and_then(|value| escaped(&value)));
            }
            Token::ElementEnd { end, span } => {
                if let ElementEnd::Close(_, local) = end {
                    edits.extend(lower_case(&local));
                    in_defaults &= !local.as_str().eq_ignore_ascii_case("mj-attributes");
                } else if image.take() == Some(false) {
                    edits.push(Edit::replace(
                        span.start()..span.start(),
                        " alt=\"\"".to_owned(),
                    ));
                }
            }
            _ => {}
        }
    }
    edits.extend(added);
    edits.retain(|edit| {
        let is_inside = |taken: &Edit| {
            taken.range.start <= edit.range.start && edit.range.end <= taken.range.end
        };
        !taken.iter().any(is_inside)
    });
    edits.extend(taken);
    Edited::new(document, edits)
}

fn has_default_alternative(document: &str) -> bool {
    let lower = document.to_ascii_lowercase();
    lower.split_once("<mj-attributes").is_some_and(|(_, rest)| {
        let defaults = rest.split("</mj-attributes").next().unwrap_or_default();
        defaults.contains(" alt=") || defaults.contains("\nalt=") || defaults.contains("\talt=")
    })
}

/// MJML's own names are known in lower case only, as are elements without an end: `<BR/>` would become `<BR></BR>`, which
/// browsers show as two.
fn lower_case(name: &StrSpan<'_>) -> Option<Edit> {
    let lower = name.as_str().to_ascii_lowercase();
    let is_known = lower == "mjml" || lower.starts_with("mj-") || VOID.contains(&lower.as_str());
    (is_known && lower != name.as_str()).then(|| Edit::replace(name.start()..name.end(), lower))
}

/// The mode of a hero that MJML calls `fluid-height`.
fn fluid(mode: &StrSpan<'_>) -> Option<Edit> {
    (mode.as_str() == "fluid-height")
        .then(|| Edit::replace(mode.start()..mode.end(), "fluid".to_owned()))
}

/// A padding whose zeros have a unit: mrml takes `30px 0` for none when it calculates widths and heights.
fn with_unit(value: &StrSpan<'_>) -> Option<Edit> {
    let sides: Vec<&str> = value.as_str().split_ascii_whitespace().collect();
    let sides_with_unit: Vec<&str> = sides
        .iter()
        .map(|side| if *side == "0" { "0px" } else { side })
        .collect();
    (sides != sides_with_unit)
        .then(|| Edit::replace(value.start()..value.end(), sides_with_unit.join(" ")))
}

/// What Debug would write otherwise, as references.
fn escaped(value: &StrSpan<'_>) -> Option<Edit> {
    let text = value.as_str();
    (!text.chars().all(is_kept))
        .then(|| Edit::replace(value.start()..value.end(), referenced(text)))
}

fn is_kept(c: char) -> bool {
    c.is_ascii_graphic() && c != '"' && c != '\\' || c == ' '
}

/// The value of an attribute with references for what Debug would write otherwise; line ends and tabs as spaces, as XML has it.
pub(super) fn referenced(text: &str) -> String {
    let mut written = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            c if is_kept(c) => written.push(c),
            '"' => written.push_str("&quot;"),
            '\n' | '\r' | '\t' => written.push(' '),
            // As many as it takes: letters of all languages go through.
            c if c == '\\' || c.escape_debug().count() > 1 => {
                written.push_str(&format!("&#{};", u32::from(c)));
            }
            c => written.push(c),
        }
    }
    written
}
