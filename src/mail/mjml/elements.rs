//! The elements of MJML and their attributes, as the validator of the npm package mjml 4.18 has them.

mod composed;
mod content;
mod document;
mod element;
mod layout;

use element::Element;

/// Attributes that every element may have.
pub(super) const COMMON: [&str; 2] = ["css-class", "mj-class"];

/// All elements.
pub(super) fn elements() -> impl Iterator<Item = &'static Element> {
    document::ELEMENTS
        .iter()
        .chain(&layout::ELEMENTS)
        .chain(&content::ELEMENTS)
        .chain(&composed::ELEMENTS)
}
