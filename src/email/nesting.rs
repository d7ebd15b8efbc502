//! A bound on how deep HTML is nested, before parsers see it that look at all open elements again and again.

use std::collections::HashMap;

/// Deepest nesting. Layouts of nested tables reach a few dozen.
const MAX_DEPTH: usize = 256;

/// Most tags times depth: the time and the memory of HTML parsing can grow with this product.
const MAX_WORK: usize = 4_000_000;

/// Elements without end tag, or whose end tag is usually left out: they do not add to the depth.
const SHALLOW: [&[u8]; 30] = [
    b"area",
    b"base",
    b"br",
    b"col",
    b"embed",
    b"hr",
    b"img",
    b"input",
    b"link",
    b"meta",
    b"param",
    b"source",
    b"track",
    b"wbr",
    b"p",
    b"li",
    b"dt",
    b"dd",
    b"tr",
    b"td",
    b"th",
    b"thead",
    b"tbody",
    b"tfoot",
    b"colgroup",
    b"caption",
    b"option",
    b"optgroup",
    b"rp",
    b"rt",
];

/// Checks HTML; cheap, so that every mail can be checked.
///
/// # Errors
/// Says that the document is nested too deep.
pub(crate) fn check(html: &str) -> Result<(), String> {
    let bytes = html.as_bytes();
    let mut open: HashMap<Vec<u8>, usize> = HashMap::new();
    let (mut depth, mut deepest, mut tags) = (0usize, 0usize, 0usize);
    let mut at = 0;
    while let Some(start) = html.get(at..).and_then(|rest| rest.find('<')) {
        at += start + 1;
        let is_end = bytes.get(at) == Some(&b'/');
        let name_start = at + usize::from(is_end);
        let length = bytes[name_start..]
            .iter()
            .take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'-')
            .count();
        let name = bytes[name_start..name_start + length].to_ascii_lowercase();
        if !name.first().is_some_and(u8::is_ascii_alphabetic) {
            continue;
        }
        tags += 1;
        if SHALLOW.contains(&name.as_slice()) {
            continue;
        }
        let count = open.entry(name).or_default();
        if is_end {
            depth -= usize::from(*count > 0);
            *count = count.saturating_sub(1);
        } else {
            *count += 1;
            depth += 1;
            deepest = deepest.max(depth);
        }
    }
    match deepest > MAX_DEPTH || tags.saturating_mul(deepest) > MAX_WORK {
        true => Err(format!(
            "{tags} tags are nested {deepest} levels deep, which is too deep to lay out"
        )),
        false => Ok(()),
    }
}
