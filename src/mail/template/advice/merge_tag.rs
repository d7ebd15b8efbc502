//! Merge tags of mail services, which to minijinja are text.

/// One of them in a template.
pub(in crate::mail::template) struct MergeTag {
    pub(in crate::mail::template) offset: usize,
    pub(in crate::mail::template) tag: String,
}

/// How merge tags of other services begin and end, and what their names are made of beside letters and digits.
const MERGE_TAGS: [(&str, &str, &str); 7] = [
    ("*|", "|*", "_:=-. "),
    ("%%", "%%", "_.-"),
    ("[[", "]]", "_.- |"),
    ("${", "}", "_.-[]'\"()"),
    ("<%", "%>", "_.-= |'\"()[]@"),
    ("{!", "}", "_.$"),
    ("[%", "%]", "_.-= |"),
];

/// Finds the merge tags of other services in text.
pub(in crate::mail::template) fn merge_tags(text: &str) -> Vec<MergeTag> {
    let mut found = Vec::new();
    for (open, close, signs) in MERGE_TAGS {
        let mut from = 0;
        while let Some(at) = text[from..].find(open).map(|at| from + at) {
            from = at + open.len();
            let rest = &text[from..];
            let Some(name) = rest.find(close).map(|end| &rest[..end]) else {
                break;
            };
            let is_name = name.len() <= 80
                && name.contains(|c: char| c.is_alphabetic())
                && name
                    .chars()
                    .all(|c| c.is_alphanumeric() || signs.contains(c));
            if is_name {
                let tag = &text[at..from + name.len() + close.len()];
                found.push(MergeTag {
                    offset: at,
                    tag: tag.to_owned(),
                });
                from += name.len() + close.len();
            }
        }
    }
    // %FIRST_NAME% and %recipient.name%, but not what is encoded in URLs.
    let mut pieces = text.split('%');
    let mut at = pieces.next().map_or(0, str::len);
    for piece in pieces {
        let is_closed = text[at + 1 + piece.len()..].starts_with('%');
        let is_name = piece.contains(['_', '.'])
            && piece.starts_with(|c: char| c.is_ascii_alphabetic())
            && piece
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'));
        let is_byte = piece.bytes().take(2).all(|byte| byte.is_ascii_hexdigit())
            && text[..at].ends_with(|c: char| c.is_ascii_alphanumeric());
        if is_closed && is_name && !is_byte && !text[..at].ends_with('%') {
            found.push(MergeTag {
                offset: at,
                tag: format!("%{piece}%"),
            });
        }
        at += 1 + piece.len();
    }
    found.sort_by_key(|tag| tag.offset);
    found
}

/// What to write instead of a merge tag.
pub(in crate::mail::template) fn for_merge_tag(tag: &str) -> String {
    let name: String = tag
        .chars()
        .map(|c| {
            if c.is_alphanumeric() || c == '_' {
                c.to_ascii_lowercase()
            } else {
                ' '
            }
        })
        .collect();
    let name = name
        .split_whitespace()
        .last()
        .unwrap_or("column")
        .to_owned();
    match name.as_str() {
        name if name.contains("unsub") => {
            "Write <a href=\"unsubscribe\">, or {{ unsubscribe_url }}.".to_owned()
        }
        "fname" | "firstname" | "first_name" => {
            "Write {{ record.first_name }}, with the name of the column.".to_owned()
        }
        "lname" | "lastname" | "last_name" => {
            "Write {{ record.last_name }}, with the name of the column.".to_owned()
        }
        "email" | "email_address" | "emailaddress" => "Write {{ party.email }}.".to_owned(),
        name => format!("Write {{{{ record.{name} }}}}, with the name of the column."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merge_tags_of_services_are_found_and_other_signs_are_not() {
        let tags = |text: &str| -> Vec<String> {
            merge_tags(text).into_iter().map(|tag| tag.tag).collect()
        };
        assert_eq!(
            tags(
                "*|FNAME|* %%first%% [[name]] ${user.name} <%= name %> {!Contact.Name} [% x %] %FIRST_NAME% %recipient.name%"
            ),
            [
                "*|FNAME|*",
                "%%first%%",
                "[[name]]",
                "${user.name}",
                "<%= name %>",
                "{!Contact.Name}",
                "[% x %]",
                "%FIRST_NAME%",
                "%recipient.name%"
            ]
        );
        for text in [
            "100%% sure, 5 % off and 7%!",
            "a{color:red}",
            "https://a.example/%C3%A9_x%20y",
            "[[1]] $5 {} <p>",
            "x[0] * | y",
            "<!--[if mso]>x<![endif]-->",
            "width:100%;height:50.5%",
            "50%_off",
        ] {
            assert_eq!(tags(text), [""; 0], "{text}");
        }
    }
}
