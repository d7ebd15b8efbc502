//! The document and what stands in its head.

use super::element::Element;

pub(super) const ELEMENTS: [Element; 14] = [
    ("mjml", Some(&["owa", "lang", "dir", "version", "xmlns"])),
    ("mj-head", Some(&[])),
    ("mj-attributes", Some(&[])),
    ("mj-all", None),
    ("mj-class", None),
    ("mj-breakpoint", Some(&["width"])),
    ("mj-font", Some(&["name", "href"])),
    ("mj-html-attribute", Some(&["name"])),
    ("mj-html-attributes", Some(&[])),
    ("mj-include", Some(&["path", "type", "css-inline"])),
    ("mj-preview", Some(&[])),
    ("mj-selector", Some(&["path"])),
    ("mj-style", Some(&["inline"])),
    ("mj-title", Some(&[])),
];
