//! What to write instead of a tag of another template language.

use super::foreign_words::{STATEMENTS, known};

/// What to write instead of the tag in which a template does not compile.
pub(in crate::mail::template) fn for_tag(source: &str, offset: Option<usize>) -> Option<String> {
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
        return known(STATEMENTS, word)
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
