//! Attributes that mrml takes and writes nowhere. They travel through it behind a mark, in another attribute that it writes to the
//! element they are for; those that are styles, in the value of another style.

use super::defaults::{Defaults, each_element};
use super::icon_position::{ICON_POSITION, move_icons};
use super::prepare::referenced;
use crate::mail::edits::Edit;

/// A byte that no attribute keeps, and what Debug makes of it.
const MARK: char = '\u{7f}';
const WRITTEN_MARK: &str = "\\u{7f}";

/// An element, the attribute that carries, its value if nobody has given one, what it carries, and whether these are styles.
type Carrier = (
    &'static str,
    &'static str,
    Option<&'static str>,
    &'static [&'static str],
    bool,
);
const CARRIERS: [Carrier; 8] = [
    ("mj-button", "name", None, &["title"], false),
    // mrml gives the title to the picture only.
    ("mj-image", "name", None, &["title"], false),
    ("mj-image", "usemap", None, &["sizes"], false),
    (
        "mj-social-element",
        "title",
        None,
        &["srcset", "sizes"],
        false,
    ),
    (
        "mj-social-element",
        "css-class",
        None,
        &[ICON_POSITION],
        false,
    ),
    ("mj-table", "cellpadding", Some("0"), &["role"], false),
    (
        "mj-hero",
        "vertical-align",
        Some("top"),
        &["border-radius"],
        true,
    ),
    (
        "mj-accordion-title",
        "font-size",
        Some("13px"),
        &["font-weight"],
        true,
    ),
];

/// The edits that put them behind the mark: what is added, and what stands in the place of an attribute.
pub(super) fn edits(document: &str) -> (Vec<Edit>, Vec<Edit>) {
    let (mut added, mut replaced) = (Vec::new(), Vec::new());
    // Text that looks as if mrml had written the mark.
    if document.contains(WRITTEN_MARK) {
        return (added, replaced);
    }
    let defaults = Defaults::read(document);
    each_element(document, |element| {
        let its = CARRIERS.iter().filter(|(name, ..)| *name == element.name);
        for (_, carrier, own, carried, are_styles) in its {
            let value = |name| defaults.value(&element, name);
            let lost: String = carried
                .iter()
                .filter_map(|name| {
                    let value = value(name)?;
                    // On the left it is anyway.
                    (*name != ICON_POSITION || value == "right").then_some(())?;
                    Some(match are_styles {
                        true => format!(";{name}:{}", referenced(value)),
                        false => format!("{MARK}{name}={}", referenced(value)),
                    })
                })
                .collect();
            if element.is_default || lost.is_empty() {
                continue;
            }
            let kept = value(carrier).or(*own).unwrap_or_default();
            let text = format!(" {carrier}=\"{}{lost}\"", referenced(kept));
            let written = element
                .attributes
                .iter()
                .position(|(name, _)| name == carrier);
            match written {
                Some(at) => {
                    let edit = Edit::replace(element.places[at].clone(), text);
                    replaced.push(edit);
                }
                None => added.push(Edit::replace(element.end..element.end, text)),
            }
        }
    });
    (added, replaced)
}

/// Makes attributes of their own of those that stand behind the mark.
pub(super) fn write_out(html: String) -> String {
    let mut parts = html.split(WRITTEN_MARK);
    let mut written = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let names = CARRIERS.iter().flat_map(|(_, _, _, carried, _)| *carried);
        let mut value = names.filter_map(|name| {
            let value = part.strip_prefix(name)?.strip_prefix('=')?;
            Some((*name, value))
        });
        match value.next_back() {
            Some((name, value)) => {
                // The carrier is not there for its own sake.
                match written.ends_with("=\"") {
                    true => written.truncate(written.rfind(' ').unwrap_or(written.len())),
                    false => written.push('"'),
                }
                written.push_str(&format!(" {name}=\"{value}"));
            }
            None => {
                written.push_str(WRITTEN_MARK);
                written.push_str(part);
            }
        }
    }
    move_icons(written, MARK)
}
