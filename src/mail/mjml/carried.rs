//! Attributes of links, pictures and tables that mrml takes and writes nowhere. They travel through it behind a mark, in another
//! attribute that it writes to the element they are for.

use super::defaults::{Defaults, each_element};
use super::prepare::referenced;
use crate::mail::edits::Edit;

/// A byte that no attribute keeps, and what Debug makes of it.
const MARK: char = '\u{7f}';
const WRITTEN_MARK: &str = "\\u{7f}";

/// An element, the attribute that carries, its value if nobody has given one, and what it carries.
type Carrier = (
    &'static str,
    &'static str,
    Option<&'static str>,
    &'static [&'static str],
);
const CARRIERS: [Carrier; 5] = [
    ("mj-button", "name", None, &["title"]),
    // mrml gives the title to the picture only.
    ("mj-image", "name", None, &["title"]),
    ("mj-image", "usemap", None, &["sizes"]),
    ("mj-social-element", "title", None, &["srcset", "sizes"]),
    ("mj-table", "cellpadding", Some("0"), &["role"]),
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
        for (_, carrier, own, carried) in CARRIERS.iter().filter(|(name, ..)| *name == element.name)
        {
            let value = |name| defaults.value(&element, name);
            let lost: String = carried
                .iter()
                .filter_map(|name| Some(format!("{MARK}{name}={}", referenced(value(name)?))))
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
        let names = CARRIERS.iter().flat_map(|(.., carried)| *carried);
        let mut value = names.filter_map(|name| {
            let value = part.strip_prefix(name)?.strip_prefix('=')?;
            Some((name, value))
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
    written
}
