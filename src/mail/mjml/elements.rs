//! The elements of MJML and their attributes, as the validator of the npm package mjml 4.18 has them.

mod composed;
mod content;
mod document;
mod layout;

/// A name and the attributes that the element has of its own; None: any.
type Element = (&'static str, Option<&'static [&'static str]>);

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
