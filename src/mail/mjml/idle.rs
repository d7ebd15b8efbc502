//! Attributes that MJML has, and that neither the npm package nor mrml reads.

use super::Mistake;
use super::mistakes::each_attribute;

/// Elements and such attributes of theirs.
const IDLE: [(&str, &str); 2] = [
    ("mj-social", "table-layout"),
    ("mj-social", "vertical-align"),
];

/// Finds them; `tag` stands for each byte of an expression.
pub(crate) fn idle_attributes(document: &str, tag: char) -> Vec<Mistake> {
    let mut found = Vec::new();
    each_attribute(document, tag, |element, depth, name, offset| {
        let is_idle = IDLE.contains(&(element, name))
            || (element, name) == ("mj-raw", "position") && depth != 1;
        if is_idle {
            let hint = match element {
                "mj-raw" => {
                    "It counts directly inside of <mjml> only: leave it out, or move the element there."
                }
                _ => "Leave it out.",
            };
            let message = format!("{name} of <{element}> does nothing");
            found.push(Mistake::new(offset, &message, Some(hint.to_owned())));
        }
    });
    found
}
