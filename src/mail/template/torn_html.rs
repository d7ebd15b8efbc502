//! HTML that only one branch of a template leaves open: such mails arrive, and look torn.

use std::collections::HashMap;

use super::balance::{Markup, first_unbalanced};
use super::css_comment;
use super::dead_links::without_tags;
use super::scan::scan;
use crate::mail::html_tokens::{Token, Tokens};
use crate::mail::mjml::{self, Change};

/// Elements whose end no other element brings about.
const CLOSED: [&str; 31] = [
    "a",
    "article",
    "b",
    "blockquote",
    "center",
    "code",
    "del",
    "div",
    "em",
    "font",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "i",
    "ins",
    "main",
    "ol",
    "pre",
    "s",
    "section",
    "small",
    "span",
    "strong",
    "sub",
    "sup",
    "table",
    "u",
];

/// Looks for it in a body that includes nothing: where it is, what, and what to do.
pub(super) fn torn_html(source: &str) -> Option<(usize, String, String)> {
    let source = &*css_comment::protect(source);
    let html = without_tags(source);
    // That is an error of its own.
    if mjml::is_mjml(&html) || !scan(source).references.is_empty() {
        return None;
    }
    let changes = Tokens::new(&html)
        .filter_map(|(offset, token)| {
            let (begins, name) = match token {
                Token::Start(tag) => (true, tag.name),
                Token::End(name) => (false, name),
                Token::Text(_) => return None,
            };
            let name = name.to_ascii_lowercase();
            CLOSED.contains(&name.as_str()).then_some(Change {
                offset,
                begins,
                name,
            })
        })
        .collect();
    let markup = Markup {
        text: source,
        changes,
    };
    let sources = HashMap::from([("body", markup)]);
    let found = first_unbalanced("body", &sources, "body/", false)?;
    let hint = "Every branch closes what it opens, and nothing else.";
    Some((found.offset, found.message, hint.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_branch_leaves_open_is_told() {
        for (body, offset) in [
            ("<p>{% if record.x %}<b>{% endif %}x", Some(20)),
            (
                "{% for x in record.y %}<table><tr><td>{{ x }}{% endfor %}",
                Some(23),
            ),
            (
                "{% if record.x %}<div>{% else %}</div>{% endif %}",
                Some(17),
            ),
            // What no mail program minds, or all mails have alike.
            (
                "<div>{% if record.x %}<p>x<li>y<br><img src=x>{% endif %}",
                None,
            ),
            (
                "{% if record.x %}<a href=\"{{ record.x }}\">{% endif %}x{% if record.x %}</a>{% endif %}",
                None,
            ),
            ("{% if record.x %}{% include 'box' %}<b>{% endif %}", None),
            (
                "{% if record.x %}<!--[if mso]><table><![endif]-->{% endif %}",
                None,
            ),
        ] {
            let found = torn_html(body);
            assert_eq!(
                found.as_ref().map(|found| found.0),
                offset,
                "{body}: {found:?}"
            );
        }
    }
}
