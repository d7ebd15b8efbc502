//! Comments for one mail program, `<!--[if mso]>…<![endif]-->`: the tokenizer panics at those that do not end as it expects.

/// How they begin, and what may follow the next `]`.
const BEGINNINGS: [&str; 4] = ["<!--[if", "<![if", "<![endif", "<!--<![endif"];
const ENDS: [&str; 2] = [">", "-->"];

pub(super) const BROKEN: &str =
    "a conditional comment does not end; it is written <!--[if mso]>…<![endif]-->";

/// Where the first one begins that is broken.
pub(super) fn broken(document: &str) -> Option<usize> {
    document.match_indices("<!").map(|(at, _)| at).find(|&at| {
        let rest = &document[at..];
        let Some(beginning) = BEGINNINGS.iter().find(|text| rest.starts_with(**text)) else {
            return false;
        };
        let ends = rest[beginning.len()..].split_once(']');
        !ends.is_some_and(|(inside, after)| {
            // Nothing is between <![endif and its bracket.
            (inside.is_empty() || *beginning != "<![endif")
                && ENDS.iter().any(|end| after.starts_with(end))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_end_are_left_alone() {
        for whole in [
            "<!--[if mso]>x<![endif]-->",
            "<!--[if mso | IE]><![endif]-->",
            "<!--[if !mso]><!-->x<!--<![endif]-->",
            "<![if !IE]>x<![endif]>",
            "<!-- [if -->",
        ] {
            assert_eq!(broken(whole), None, "{whole}");
        }
        for (part, at) in [
            ("<p><!--[if", 3),
            ("<!--[if mso]x-->", 0),
            ("<!--[if mso]>x<![endif]", 14),
            ("<!--[if mso]>é<!--<![endif", 15),
            ("<!--[if mso]>x<![endif }]-->", 14),
            ("<p><![endif }]>", 3),
        ] {
            assert_eq!(broken(part), Some(at), "{part}");
        }
    }
}
