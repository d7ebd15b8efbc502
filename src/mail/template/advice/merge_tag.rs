//! Merge tags of mail services, which to minijinja are text.

/// One of them in a template.
pub(in crate::mail::template) struct MergeTag {
    pub(in crate::mail::template) offset: usize,
    pub(in crate::mail::template) tag: String,
}

/// How a service marks what it fills in.
struct Dialect {
    open: &'static str,
    close: &'static str,
    /// What names are made of beside letters and digits.
    signs: &'static str,
    /// Whether a name is meant, where texts have such signs for other reasons.
    is_meant: fn(&str) -> bool,
}

const fn dialect(open: &'static str, close: &'static str, signs: &'static str) -> Dialect {
    Dialect {
        open,
        close,
        signs,
        is_meant: is_trimmed,
    }
}

const DIALECTS: [Dialect; 18] = [
    dialect("*|", "|*", "_:=-. "),
    dialect("%%", "%%", "_.-=()@ "),
    dialect("[[", "]]", "_.-:| \"'"),
    dialect("${", "}", "_.-[]'\"()"),
    dialect("$[", "]$", "_.-:"),
    dialect("{$", "}", "_.->[]'\"()|"),
    dialect("{!", "}", "_.$!-> "),
    dialect("{if ", "}", "_.$=! '\""),
    dialect("[%", "%]", "_.-= |:\""),
    Dialect {
        is_meant: |_| true,
        ..dialect("<%", "%>", "_.-= |'\"()[]@/")
    },
    dialect("<#", ">", "_.= '\"?!()"),
    dialect("&#123;&#123;", "&#125;&#125;", "_.-| "),
    Dialect {
        is_meant: |name| {
            is_of_person(name) || name.contains(['_', '=']) && name.starts_with(char::is_alphabetic)
        },
        ..dialect("{", "}", "_.=|")
    },
    Dialect {
        is_meant: |name| name.contains(",fallback=") || is_upper(name) && is_of_person(name),
        ..dialect("[", "]", "_,= ")
    },
    Dialect {
        is_meant: |name| {
            let known = ["unsubscribe", "webversion", "preferences"];
            known.iter().any(|tag| tag.eq_ignore_ascii_case(name))
        },
        ..dialect("<", ">", "")
    },
    Dialect {
        is_meant: |name| is_upper(name) && name.len() > 3,
        ..dialect("@", "@", "_")
    },
    Dialect {
        is_meant: |name| name.contains('_') && name.starts_with(char::is_alphabetic),
        ..dialect("$", "$", "_")
    },
    Dialect {
        is_meant: |name| {
            name.contains('.') && name.starts_with(char::is_uppercase) && is_trimmed(name)
        },
        ..dialect("~", "~", "._ ")
    },
];

/// Longest name.
const MAX_NAME: usize = 80;

fn is_trimmed(name: &str) -> bool {
    name.trim() == name || name.starts_with(' ') && name.ends_with(' ')
}

fn is_upper(name: &str) -> bool {
    !name.contains(char::is_lowercase)
}

/// Whether a word is one of those that services have for who gets the mail, and for the links of a mail.
fn is_of_person(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["name", "email", "unsub", "webview", "webversion"]
        .iter()
        .any(|word| name.contains(word))
}

/// Finds the merge tags of other services in text.
pub(in crate::mail::template) fn merge_tags(text: &str) -> Vec<MergeTag> {
    let mut found: Vec<MergeTag> = DIALECTS
        .iter()
        .flat_map(|dialect| of_dialect(text, dialect))
        .chain(between_per_cent_signs(text))
        .collect();
    found.sort_by_key(|tag| (tag.offset, std::cmp::Reverse(tag.tag.len())));
    let mut end = 0;
    // "${user.name}" is not "{user.name}", too.
    found.retain(|tag| {
        let is_apart = tag.offset >= end;
        end = end.max(tag.offset + tag.tag.len());
        is_apart
    });
    found
}

fn of_dialect(text: &str, dialect: &Dialect) -> Vec<MergeTag> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = text[from..].find(dialect.open).map(|at| from + at) {
        from = at + dialect.open.len();
        let end = text.floor_char_boundary(from + MAX_NAME + dialect.close.len());
        let Some(name) = text[from..end].split_once(dialect.close) else {
            continue;
        };
        let name = name.0;
        let is_name = name.contains(char::is_alphabetic)
            && name
                .chars()
                .all(|c| c.is_alphanumeric() || dialect.signs.contains(c))
            && (dialect.is_meant)(name);
        if is_name {
            let end = from + name.len() + dialect.close.len();
            found.push(MergeTag {
                offset: at,
                tag: text[at..end].to_owned(),
            });
            from = end;
        }
    }
    found
}

/// `%FIRST_NAME%`, `%FIRSTNAME%` and `%recipient.name%`, but not what is encoded in URLs.
fn between_per_cent_signs(text: &str) -> Vec<MergeTag> {
    let mut found = Vec::new();
    let mut pieces = text.split('%');
    let mut at = pieces.next().map_or(0, str::len);
    for piece in pieces {
        let is_closed = text[at + 1 + piece.len()..].starts_with('%');
        let is_name = (piece.contains(['_', '.']) || piece.len() > 3 && is_upper(piece))
            && piece.starts_with(|c: char| c.is_ascii_alphabetic())
            && piece
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'));
        let is_byte = piece.bytes().take(2).all(|byte| byte.is_ascii_hexdigit())
            && text[..at].ends_with(|c: char| c.is_ascii_alphanumeric());
        // "100%COTTON%".
        let is_share = text[..at].ends_with(|c: char| c.is_ascii_digit());
        if is_closed && is_name && !is_byte && !is_share && !text[..at].ends_with('%') {
            found.push(MergeTag {
                offset: at,
                tag: format!("%{piece}%"),
            });
        }
        at += 1 + piece.len();
    }
    found
}

/// What to write instead of a merge tag.
pub(in crate::mail::template) fn for_merge_tag(tag: &str) -> String {
    let plain: String = tag
        .replace("&#123;", " ")
        .replace("&#125;", " ")
        .chars()
        .map(|c| match c.is_alphanumeric() || c == '_' {
            true => c.to_ascii_lowercase(),
            false => ' ',
        })
        .collect();
    let words: Vec<&str> = plain.split_whitespace().collect();
    // What follows is to be printed where there is no name.
    let has_default = words
        .iter()
        .any(|word| matches!(*word, "fallback" | "default" | "or"));
    let name = match has_default {
        true => words.first(),
        false => words.last(),
    };
    let name = name.copied().unwrap_or("column");
    match (words.first().copied().unwrap_or_default(), name) {
        ("if", _) => "Write {% if record.column %} … {% endif %}.".to_owned(),
        ("list" | "foreach", _) => {
            "Write {% for item in record.items %} … {% endfor %}.".to_owned()
        }
        (_, name) if name.contains("unsub") => {
            "Write <a href=\"unsubscribe\">, or {{ unsubscribe_url }}.".to_owned()
        }
        (_, name) if name.contains("webv") => "Write {{ browser_url }}.".to_owned(),
        (_, "preferences") => "Write {{ preferences_url }}.".to_owned(),
        (_, "fname" | "firstname" | "first_name") => {
            "Write {{ record.first_name }}, with the name of the column.".to_owned()
        }
        (_, "lname" | "lastname" | "last_name") => {
            "Write {{ record.last_name }}, with the name of the column.".to_owned()
        }
        (_, "email" | "email_address" | "emailaddress") => "Write {{ party.email }}.".to_owned(),
        (_, name) => format!("Write {{{{ record.{name} }}}}, with the name of the column."),
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
        for tag in [
            "%%=v(@name)=%%",
            "%%FIRST NAME%%",
            "[[data:firstname:\"\"]]",
            "[[FIRSTNAME OR \"x\"]]",
            "[firstname,fallback=there]",
            "[UNSUBSCRIBEURL]",
            "[FIRST_NAME]",
            "%FIRSTNAME%",
            "{contactfield=firstname}",
            "{unsubscribe_url}",
            "{name}",
            "{$name}",
            "{$user->name}",
            "{!! $name !!}",
            "{if $name}",
            "$[FNAME]$",
            "$[LI:UNSUBSCRIBE]$",
            "@FIRSTNAME@",
            "~Contact.FirstName~",
            "$FIRST_NAME$",
            "[% member:first_name default=\"x\" %]",
            "<%@ include view='x' %>",
            "<#if name>",
            "<unsubscribe>",
            "&#123;&#123; name &#125;&#125;",
        ] {
            assert_eq!(tags(&format!("<p>Hi {tag}, you</p>")), [tag]);
        }
        for text in [
            "100%% sure, 5 % off and 7%!",
            "a{color:red}",
            "https://a.example/%C3%A9_x%20y",
            "[[1]] $5 {} <p>",
            "x[0] * | y",
            "<!--[if mso]>x<![endif]-->",
            "width:100%;height:50.5%",
            "50%_off",
            "100%COTTON% and 5%WOOL",
            "100%% sure 5%% off",
            "a{color:red}@media screen{b{margin:0}}",
            "[WERBUNG] {sic} [1] a[href=x]{} [Note]",
            "ada@SHOP.example or bob@shop.example",
            "$5 and $10_000, about ~3 and ~4.5",
            "<style>a > b</style><p>preferences</p>",
            "{\"@type\":\"Offer\",\"name\":\"x\"}",
        ] {
            assert_eq!(tags(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn a_merge_tag_is_told_what_to_write_instead() {
        for (tag, advice) in [
            ("{contactfield=firstname}", "{{ record.first_name }}"),
            ("[firstname,fallback=there]", "{{ record.first_name }}"),
            ("$[LI:UNSUBSCRIBE]$", "{{ unsubscribe_url }}"),
            ("<webversion>", "{{ browser_url }}"),
            ("*|IF:FNAME|*", "{% if"),
            ("{if $name}", "{% if"),
            ("<#list items as item>", "{% for"),
            ("&#123;&#123;city&#125;&#125;", "{{ record.city }}"),
            ("%EMAIL%", "{{ party.email }}"),
        ] {
            let found = for_merge_tag(tag);
            assert!(found.contains(advice), "{tag}: {found}");
        }
    }

    #[test]
    fn looking_takes_no_longer_for_a_text_full_of_signs() {
        for sign in ["[", "{", "<", "$", "@", "~", "%", "*|", "[["] {
            let text = sign.repeat(256 * 1024 / sign.len());
            let began = std::time::Instant::now();
            merge_tags(&text);
            assert!(began.elapsed().as_secs() < 5, "{sign}");
        }
    }
}
