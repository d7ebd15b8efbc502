use super::*;
use crate::mail::mjml::changes;
use crate::mail::template::dead_links::{TAG, without_tags};

fn fault(body: &str, snippets: &[(&'static str, &'static str)]) -> Option<(String, usize, String)> {
    let markup = |text| Markup {
        text,
        changes: changes(&without_tags(text), TAG).expect("it can be read"),
    };
    let mut sources = HashMap::from([("body", markup(body))]);
    for (name, text) in snippets {
        sources.insert(name, markup(text));
    }
    let found = first_unbalanced("body", &sources, "body/", true)?;
    Some((found.source, found.offset, found.message))
}

#[test]
fn what_no_other_branch_makes_up_for_is_found() {
    for (body, offset, message) in [
        (
            "<p>{% if a %}<b>{% endif %}x</p>",
            13,
            "<b> is opened in one branch of {% if … %} and not closed there",
        ),
        (
            "<p>{% if a %}x{% else %}<b>{% endif %}x</p>",
            24,
            "<b> is opened in one branch",
        ),
        (
            "<p>{% if a %}</p>{% endif %}</p>",
            13,
            "</p> in one branch of {% if … %} closes what",
        ),
        (
            "<p>{% if not a %}<b>{% endif %}{% if a %}</b>{% endif %}</p>",
            17,
            "<b> is opened",
        ),
        (
            "<p>{% if a %}<b>{% elif b %}<b>{% else %}{% endif %}</b></p>",
            13,
            "<b> is opened",
        ),
        (
            "<p>{% if a %}<b>{% endif %}{% if b %}<i>{% endif %}</p>",
            13,
            "<b> is opened",
        ),
        (
            "<p>{% if a %}<b/><i>{% endif %}{% if a %}</i>{% endif %}{% if b %}<u>{% endif %}</p>",
            66,
            "<u> is opened",
        ),
        (
            "<p>{% for x in a %}<b>{{ x }}{% endfor %}</p>",
            19,
            "<b> is opened in the body of {% for … %}",
        ),
        (
            "<p>{% for x in a %}{% if x %}<b>{% endif %}{% endfor %}</p>",
            29,
            "<b> is opened in",
        ),
        (
            "<p>{% for x in a %}x{% else %}</p>{% endfor %}</p>",
            30,
            "</p> in the branch for no rows",
        ),
        ("<p><b>{{ x }}</p>", 3, "<b> is never closed"),
        ("<p>{{ x }}</b></p>", 10, "</b> closes nothing that is open"),
        (
            "<p>{% if a %}{% if b %}<b>{% endif %}{% endif %}</p>",
            23,
            "<b> is opened",
        ),
        (
            "<p>{% include 'box' %}{% if a %}<b>{% endif %}</p>",
            32,
            "<b> is opened",
        ),
    ] {
        let found = fault(body, &[("body/box", "<i>x</i>")]);
        let (_, at, told) = found.unwrap_or_else(|| panic!("{body} has no fault"));
        assert_eq!(at, offset, "{body}: {told}");
        assert!(told.starts_with(message), "{body}: {told}");
    }
}

#[test]
fn what_may_be_made_up_for_is_the_authors_affair() {
    let snippets = [
        ("body/open", "{% if a %}<b>{% endif %}"),
        ("body/shut", "{% if a %}</b>{% endif %}"),
        ("body/layout", "<p>{% block x %}<b>x</b>{% endblock %}</p>"),
        (
            "body/macros",
            "{% macro m(x) %}<b>{{ x }}</b>{% endmacro %}",
        ),
        (
            "body/halves",
            "{% macro open() %}<b>{% endmacro %}{% macro shut() %}</b>{% endmacro %}",
        ),
    ];
    for body in [
        "<p>{% if a %}<b>{% endif %}x{% if a %}</b>{% endif %}</p>",
        "<p>{% if a %}<b>{% endif %}x{% if  not a %}{% else %}</b>{% endif %}</p>",
        "<p>{% if a == 1 %}<b>{% elif a == 2 %}<i>{% else %}<u>{% endif %}x</u></p>",
        "<p>{% if a == 1 %}<b>{% elif b %}{% endif %}x{% if a == 1 %}</b>{% elif b %}{% endif %}</p>",
        // Exclusive conditions.
        "<p>{% if a == 1 %}<b>{% endif %}{% if a != 1 %}<i>{% endif %}x</i></p>",
        "<p>{% if a %}<b>{% endif %}{% if b %}</b>{% endif %}</p>",
        // Rows of two columns.
        "<p>{% for x in a %}{% if loop.index0 % 2 == 0 %}<b>{% endif %}x{% if loop.last or loop.index0 % 2 %}</b>{% endif %}{% endfor %}</p>",
        "<p>{% for x in a %}{% if loop.first %}<b>{% endif %}x{% endfor %}</b></p>",
        "<p>{% for x in a %}<b>{% endfor %}{% for y in a %}</b>{% endfor %}</p>",
        "<p>{% for x in a %}<b>{% if x %}</b>{% continue %}{% endif %}</b>{% endfor %}</p>",
        "<p>{% for x in a %}x<br>{% else %}<i>none</i>{% endfor %}</p>",
        "<p {% if a %}title=\"x\">{% else %}>{% endif %}x</p>",
        "<p{% if a %}/>{% else %}>x</p>{% endif %}",
        "<p>{% include 'open' %}x{% include 'shut' %}</p>",
        "<p>{% if b %}{% include 'open' %}{% endif %}x{% if b %}{% include 'shut' %}{% endif %}</p>",
        "{% extends 'layout' %}<b>{% block x %}{{ super() }}<i>y</i>{% endblock %}",
        "{% import 'macros' as m %}<p>{{ m.m(1) }}</p>",
        "{% from 'halves' import open, shut %}<p>{{ open() }}{{ shut() }}</p>",
        "<p>{% filter upper %}<b>{% endfilter %}</p>",
        "<p>{% set x %}<b>{% endset %}{{ x }}</b></p>",
    ] {
        assert_eq!(fault(body, &snippets), None, "{body}");
    }
}

#[test]
fn a_fault_in_a_snippet_is_told_of_there() {
    let found = fault(
        "<p>{% include 'box' %}</p>",
        &[("body/box", "é{% if a %}<b>{% endif %}")],
    );
    let (source, offset, _) = found.expect("it has a fault");
    assert_eq!((source.as_str(), offset), ("body/box", 12));
}

/// Snippets that are included again and again are looked through once, and long rows of open elements not from the start each time.
#[test]
fn many_branches_and_elements_are_looked_through() {
    let many = "{% if a %}<b>{% endif %}{% include 'box' %}{% if a %}</b>{% endif %}".repeat(1_000);
    let boxed = Box::leak(
        "{% if b %}<b>x</b>{% endif %}"
            .repeat(1_000)
            .into_boxed_str(),
    );
    assert_eq!(fault(&many, &[("body/box", boxed)]), None);
    let open = "<b>".repeat(5_000) + &"</i>".repeat(2_000);
    assert!(fault(&open, &[]).is_some());
}
