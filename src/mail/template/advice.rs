//! What to write instead of what authors bring along from other template languages.

use super::jinja2;

/// Filters of Jinja2, Django, Liquid and Twig that do not exist here.
const FILTERS: [(&[&str], &str); 17] = [
    (
        &["money", "currency", "money_format", "format_money"],
        "an amount is {{ record.amount | format_currency(\"EUR\") }}",
    ),
    (
        &[
            "number_format",
            "floatformat",
            "intcomma",
            "number",
            "delimit",
        ],
        "a number is {{ record.number | format_number(2) }}",
    ),
    (
        &[
            "date",
            "strftime",
            "format_time",
            "localtime",
            "datetime",
            "date_format",
        ],
        "a date is {{ record.date | format_date(\"long\") }}",
    ),
    (
        &["time"],
        "a time is {{ record.at | format_datetime(\"short\") }}",
    ),
    (
        &["timesince", "timeuntil"],
        "an interval is {{ record.interval | format_timedelta }}",
    ),
    (&["upcase", "uppercase"], "it is {{ … | upper }}"),
    (&["downcase", "lowercase"], "it is {{ … | lower }}"),
    (&["size", "len"], "it is {{ … | length }}"),
    (
        &["raw", "mark_safe", "safeseq", "html_safe", "html"],
        "markup that is not to be escaped is {{ … | safe }}",
    ),
    (&["strip", "lstrip", "rstrip"], "it is {{ … | trim }}"),
    (
        &[
            "url_encode",
            "iriencode",
            "url",
            "uri_encode",
            "url_param_escape",
        ],
        "it is {{ … | urlencode }}",
    ),
    (
        &["json", "json_encode", "to_json", "escapejs", "jsonify"],
        "it is {{ … | tojson }}",
    ),
    (
        &["append", "prepend", "add", "concat", "merge"],
        "texts are put together by ~, numbers and lists are added by +",
    ),
    (
        &["plus", "minus", "times", "divided_by", "modulo", "ceil"],
        "numbers are calculated with by + - * / // %, and | round(0, \"ceil\")",
    ),
    (
        &[
            "urlize",
            "linebreaks",
            "linebreaksbr",
            "nl2br",
            "newline_to_br",
            "xmlattr",
        ],
        "markup is written out: <a href=\"{{ … }}\">, {% for line in … | lines %}{{ line }}<br>{% endfor %}",
    ),
    (
        &["default_if_none", "fallback", "coalesce", "ifempty"],
        "it is {{ … | default(\"friend\") }}, which stands for null too",
    ),
    (
        &["where", "filter", "compact", "random", "shuffle"],
        "lists are chosen from by | selectattr(\"name\", \"eq\", value), | first, | sort",
    ),
];

/// Methods of Python that do not exist here.
const METHODS: [(&[&str], &str); 5] = [
    (
        &["strftime", "isoformat", "date", "time", "strptime"],
        "a date is {{ record.date | format_date(\"long\") }}, a time | format_datetime",
    ),
    (
        &[
            "append", "extend", "insert", "pop", "update", "add", "remove",
        ],
        "lists are made by +: {% set list = list + [value] %}, in a loop with a namespace",
    ),
    (&["encode", "decode"], "for a URL it is {{ … | urlencode }}"),
    (&["length", "size", "len"], "it is {{ … | length }}"),
    (
        &["sort", "reverse", "index"],
        "lists are sorted by | sort and turned by | reverse",
    ),
];

/// Functions of Python and statements of other languages that stand where a value is expected.
const VARIABLES: [(&[&str], &str); 8] = [
    (&["len"], "Write {{ … | length }}."),
    (&["str"], "Write {{ … | string }}."),
    (
        &[
            "int", "float", "round", "abs", "sum", "min", "max", "sorted", "list",
        ],
        "It is a filter: {{ … | round(2) }}, {{ … | sum }}.",
    ),
    (&["enumerate"], "Write {% for item in … %} and loop.index."),
    (
        &["now", "today", "datetime", "date"],
        "A mail has no clock: let the model's relation have a column for it.",
    ),
    (
        &["else", "elif", "elseif"],
        "Write {% else %} and {% elif record.column %}, without a second brace.",
    ),
    (
        &["this"],
        "Write {% for item in record.items %}{{ item.name }}{% endfor %}.",
    ),
    (
        &[
            "FNAME",
            "LNAME",
            "EMAIL",
            "contact",
            "subscriber",
            "user",
            "customer",
            "recipient",
            "person",
            "lead",
            "member",
        ],
        "The row is record, whoever gets the mail is party: {{ record.column }}, {{ party.name }}.",
    ),
];

/// Statements of other languages, by their first word.
const STATEMENTS: [(&[&str], &str); 9] = [
    (
        &["unless", "endunless", "ifnot"],
        "Write {% if not record.column %} … {% endif %}.",
    ),
    (
        &["elsif", "elseif", "else if"],
        "Write {% elif record.column %}.",
    ),
    (
        &["assign", "capture", "endcapture"],
        "Write {% set name = value %}.",
    ),
    (
        &["case", "when", "endcase", "switch"],
        "Write {% if … %} … {% elif … %} … {% else %} … {% endif %}.",
    ),
    (&["comment", "endcomment"], "A comment is {# … #}."),
    (
        &["render", "partial", "section", "includes"],
        "Write {% include \"name\" %}, with the name of a snippet.",
    ),
    (
        &[
            "load",
            "url",
            "static",
            "csrf_token",
            "trans",
            "blocktrans",
            "endblocktrans",
            "translate",
        ],
        "Links are written out, and translations are rows of marketing_automation.activity_translation.",
    ),
    (
        &["foreach", "each", "endforeach", "endeach"],
        "Write {% for item in record.items %} … {% endfor %}.",
    ),
    (
        &["verbatim", "endverbatim", "literal"],
        "Write {% raw %} … {% endraw %}.",
    ),
];

fn known(
    table: &'static [(&'static [&'static str], &'static str)],
    name: &str,
) -> Option<&'static str> {
    let found = table.iter().find(|(names, _)| names.contains(&name));
    found.map(|(_, advice)| *advice)
}

/// The name that differs by the fewest letters, by at most a third of them.
pub(super) fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    names
        .into_iter()
        .filter(|known| !known.starts_with('_'))
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .filter(|(distance, _)| *distance <= name.chars().count().div_ceil(3))
        .min()
        .map(|(_, known)| known)
}

/// All filters that there are, for those that are misspelt.
const OWN_FILTERS: [&str; 62] = [
    "abs",
    "attr",
    "batch",
    "bool",
    "capitalize",
    "center",
    "chain",
    "count",
    "d",
    "default",
    "dictsort",
    "e",
    "escape",
    "filesizeformat",
    "first",
    "float",
    "forceescape",
    "format",
    "format_currency",
    "format_date",
    "format_datetime",
    "format_number",
    "format_timedelta",
    "groupby",
    "indent",
    "int",
    "items",
    "join",
    "last",
    "length",
    "lines",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "pluralize",
    "pprint",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "safe",
    "select",
    "selectattr",
    "slice",
    "sort",
    "split",
    "string",
    "striptags",
    "sum",
    "title",
    "tojson",
    "trim",
    "truncate",
    "unique",
    "upper",
    "urlencode",
    "wordcount",
    "wordwrap",
    "zip",
];

const TESTS: [&str; 30] = [
    "boolean",
    "defined",
    "divisibleby",
    "endingwith",
    "eq",
    "equalto",
    "escaped",
    "even",
    "false",
    "filter",
    "float",
    "ge",
    "gt",
    "in",
    "integer",
    "iterable",
    "le",
    "lower",
    "lt",
    "mapping",
    "ne",
    "none",
    "number",
    "odd",
    "safe",
    "sameas",
    "sequence",
    "startingwith",
    "string",
    "true",
];

pub(super) fn for_filter(name: &str) -> Option<String> {
    match known(&FILTERS, &name.to_ascii_lowercase()) {
        Some(advice) => Some(format!("Here {advice}.")),
        None => nearest(name, OWN_FILTERS).map(did_you_mean),
    }
}

pub(super) fn for_test(name: &str) -> Option<String> {
    match name {
        "empty" | "blank" | "null" | "nil" => {
            Some("Write {% if not record.column %}, or {% if record.column is none %}.".to_owned())
        }
        _ => nearest(name, TESTS.into_iter().chain(["undefined", "upper"])).map(did_you_mean),
    }
}

pub(super) fn for_method(name: &str) -> Option<String> {
    match known(&METHODS, name) {
        Some(advice) => Some(format!("Here {advice}.")),
        None => nearest(name, jinja2::methods()).map(did_you_mean),
    }
}

pub(super) fn for_variable(name: &str) -> Option<String> {
    known(&VARIABLES, name).map(str::to_owned)
}

fn did_you_mean(name: &str) -> String {
    format!("Did you mean {name}?")
}

/// What to write instead of the tag in which a template does not compile.
pub(super) fn for_tag(source: &str, offset: Option<usize>) -> Option<String> {
    let within = offset.and_then(|offset| {
        let end = source.floor_char_boundary(offset + 3);
        let last = |open: &str| source[..end].rfind(open);
        // "{{#" is no comment.
        let comment = last("{#").filter(|at| !source[..*at].ends_with('{'));
        tag_at(source, last("{{").max(last("{%")).max(comment)?)
    });
    within.or_else(|| {
        source
            .match_indices("{{")
            .find_map(|(at, _)| tag_at(source, at))
    })
}

/// What to write instead of the tag that begins here.
fn tag_at(source: &str, at: usize) -> Option<String> {
    let tag = &source[at..];
    if tag.starts_with("{#") {
        let advice = "{# begins a comment, up to #}. Where it is text, as in CSS, write {% raw %}{#{% endraw %}.";
        return Some(advice.to_owned());
    }
    let is_print = tag.starts_with("{{");
    let end = tag
        .find(if is_print { "}}" } else { "%}" })
        .unwrap_or(tag.len().min(200));
    let inside = tag.get(2..end)?.trim_start_matches(['-', '~', '+']).trim();
    let word = inside
        .split(|c: char| c.is_whitespace())
        .next()
        .unwrap_or_default();
    if !is_print {
        return known(&STATEMENTS, word)
            .map(str::to_owned)
            .or_else(|| of_expression(inside, false));
    }
    // What comes before, where braces are three.
    if inside.starts_with('{') || source[..at].ends_with('{') {
        return Some(
            "What is not to be escaped is {{ record.column | safe }}, without a third brace."
                .to_owned(),
        );
    }
    let advice = match word.chars().next()? {
        '#' | '^' => match word.trim_start_matches(['#', '^']) {
            "each" | "for" | "foreach" => "Write {% for item in record.items %} … {% endfor %}.",
            "unless" => "Write {% if not record.column %} … {% endif %}.",
            "with" => "Write {% with name = record.column %} … {% endwith %}.",
            "" if inside.contains("each") => "Write {% for item in record.items %} … {% endfor %}.",
            _ if word.starts_with('^') => "Write {% if not record.column %} … {% endif %}.",
            _ => {
                "Write {% if record.column %} … {% endif %}, and for a list {% for item in record.items %} … {% endfor %}."
            }
        },
        '/' => "Write {% endif %}, {% endfor %}.",
        '>' => "Write {% include \"name\" %}, with the name of a snippet.",
        '!' => "A comment is {# … #}, and \"not\" is {% if not record.column %}.",
        '&' => "What is not to be escaped is {{ record.column | safe }}.",
        '@' => "In a loop there are loop.index, loop.index0, loop.first and loop.last.",
        '$' => "A column is {{ record.column }}, without a dollar.",
        '.' => "A column is {{ record.column }}.",
        '=' => "It is {{ record.column }}.",
        _ => return of_expression(inside, true),
    };
    Some(advice.to_owned())
}

/// What other languages write in an expression.
fn of_expression(inside: &str, is_print: bool) -> Option<String> {
    let has = |sign: &str| inside.contains(sign);
    let advice = match () {
        () if has("&&") || has("||") || has("===") || has("!==") => {
            "Conditions are put together by and, or, not; they are compared by == and !=."
        }
        () if has("??") || has("?:") => "Write {{ record.column | default(\"friend\") }}.",
        () if has(" ? ") => "Write {{ a if condition else b }}.",
        () if has("=>") || has("->") || has("$") => "A column is {{ record.column }}.",
        () if inside.split('|').skip(1).any(|filter| {
            filter.trim_start().find(':').is_some_and(|at| {
                filter.trim_start()[..at]
                    .trim_end()
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            })
        }) =>
        {
            "What a filter is given stands in brackets: {{ record.column | default(\"friend\") }}."
        }
        () if inside.starts_with(['"', '\'']) && inside.contains("&quot;") => return quotes(),
        () if has("&quot;")
            || has("&#39;")
            || has("&amp;")
            || has("&gt;")
            || has("&lt;")
            || has("&nbsp;") =>
        {
            return quotes();
        }
        () if has("“") || has("”") || has("‘") || has("’") => return quotes(),
        () if is_print
            && inside
                .split_whitespace()
                .nth(1)
                .is_some_and(|word| word.starts_with(|c: char| c.is_alphabetic()))
            && !has("|")
            && !has(" if ")
            && !has(" in ")
            && !has(" is ")
            && !has(" and ")
            && !has(" or ") =>
        {
            "A name with blanks is {{ record[\"First name\"] }}."
        }
        () => return None,
    };
    Some(advice.to_owned())
}

fn quotes() -> Option<String> {
    Some("An editor has changed the quotes or signs of the expression: write \" ' < > & as they are.".to_owned())
}

/// A merge tag of a mail service that to minijinja is text.
pub(super) struct MergeTag {
    pub(super) offset: usize,
    pub(super) tag: String,
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
pub(super) fn merge_tags(text: &str) -> Vec<MergeTag> {
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
pub(super) fn for_merge_tag(tag: &str) -> String {
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
    use crate::mail::template::environment;

    #[test]
    fn every_name_that_is_proposed_exists() {
        let environment = environment::environment();
        let mut state = environment.empty_state();
        for filter in OWN_FILTERS {
            let error = state
                .apply_filter(filter, &[])
                .map_err(|error| error.kind());
            assert_ne!(error, Err(minijinja::ErrorKind::UnknownFilter), "{filter}");
        }
        for test in TESTS {
            let error = state.perform_test(test, &[]).map_err(|error| error.kind());
            assert_ne!(error, Err(minijinja::ErrorKind::UnknownTest), "{test}");
        }
    }

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
