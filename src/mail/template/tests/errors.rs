//! What authors are told, and when.

use super::*;

#[test]
fn undefined_is_an_error_that_a_template_can_ask_about() {
    let error = body_error("<p>\n  {{ record.nme }}</p>");
    assert_eq!((error.line, error.column), (Some(2), Some(6)), "{error}");
    assert!(
        error
            .to_string()
            .starts_with("body, line 2, column 6: undefined value"),
        "{error}"
    );
    body_error("{{ nowhere }}");
    body_error("{% if record.nme %}x{% endif %}");
    body_error("{{ record.nme|format_date }}");
    let asked = "{{ record.nme|default('x') }}{% if record.nme is defined %}y{% endif %}";
    assert_eq!(assembled(&render("s", asked).unwrap()).text, "x\n");
}

#[test]
fn syntax_errors_name_part_line_and_column() {
    let error = compile(None, "s", "a\n  {% if x %}\n{% endblock %}").unwrap_err();
    assert_eq!((error.part, error.line), (Part::Body, Some(3)), "{error}");
    let error = compile(None, "é {{ 1 + }}", "b").unwrap_err();
    assert_eq!(
        (error.part, error.line, error.column),
        (Part::Subject, Some(1), Some(10)),
        "{error}"
    );
    let error = compile(Some("{{"), "s", "b").unwrap_err();
    assert_eq!(error.part, Part::Sender, "{error}");
    for body in [
        "{% include 'subject' %}",
        "{% extends 'body' %}",
        "{% import 'body' as b %}",
    ] {
        assert!(compile(None, "s", body).is_err(), "{body}");
    }
}

#[test]
fn unknown_filters_and_tests_are_errors_when_a_template_is_written() {
    for (body, column, message) in [
        ("{{ 1|nope }}", 6, "unknown filter \"nope\""),
        (
            "é {% filter nope %}x{% endfilter %}",
            13,
            "unknown filter \"nope\"",
        ),
        ("{{ 1 is nope }}", 9, "unknown test \"nope\""),
        ("{{ 1 is not nope }}", 13, "unknown test \"nope\""),
    ] {
        let error = compile(None, "s", body).unwrap_err();
        assert_eq!(
            (error.column, error.message.as_str()),
            (Some(column), message),
            "{body}"
        );
    }
    let known = "{{ '{{ 1|nope }}' }}{% raw %}{{ 1|nope }}{% endraw %}{# |nope #} a|nope {{ 1 is odd }}\
                 {{ 2|format_number|upper }}{% set x | title %}a{% endset %}{{ {'is': 1}.is }}";
    compile(None, "s", known).unwrap();
}

#[test]
fn bad_values_name_the_filter_and_the_value() {
    let error = body_error("{{ 'tomorrow'|format_date }}");
    assert!(
        error
            .message
            .contains("format_date: \"tomorrow\": no ISO 8601 date"),
        "{error}"
    );
    assert_eq!((error.line, error.column), (Some(1), Some(15)), "{error}");
    let error = body_error("{{ record.orders|format_number }}");
    assert!(error.message.contains("format_number: "), "{error}");
    let error = body_error("{{ short('javascript:alert(1)') }}");
    assert!(
        error
            .message
            .contains("short: \"javascript:alert(1)\" is no absolute http or https URL"),
        "{error}"
    );
    let error = body_error("{{ record.total|format_currency('EURO') }}");
    assert!(error.message.contains("\"EURO\""), "{error}");
    let error = body_error("<a href='unsubscribe|mailto:x'>x</a>");
    assert!(error.message.contains("mailto:x"), "{error}");
}

#[test]
fn a_body_without_expressions_is_checked_when_it_is_written() {
    for (body, message) in [
        ("<mjml><mj-body></mjml", "mjml: "),
        (
            "\u{feff}<?xml version=\"1.0\"?>\n<!-- a --> <!-- b -->\n<mjml><mj-body",
            "mjml: ",
        ),
        (
            "<a href='unsubscribe|/bye'>x</a>",
            "\"/bye\" is no absolute",
        ),
        (
            "<!--[if mso]><a href='unsubscribe'>x</a><![endif]-->",
            "dead link in Outlook",
        ),
    ] {
        let error = compile(None, "s", body).unwrap_err();
        assert!(
            error.part == Part::Body && error.message.contains(message),
            "{error}"
        );
        // What an expression adds may still make it right.
        assert!(compile(None, "s", &format!("{body}{{{{ x }}}}")).is_ok());
    }
    let prolog = "\u{feff}<?xml version=\"1.0\"?>\n<!-- a --> <!-- b -->\n";
    let column = "<mj-section><mj-column><mj-text>Hi</mj-text></mj-column></mj-section>";
    let rendered = render(
        "s",
        &format!("{prolog}<mjml><mj-body>{column}</mj-body></mjml>"),
    )
    .unwrap();
    assert_eq!(assembled(&rendered).text, "Hi\n");
}

#[test]
fn tags_of_other_languages_are_refused_with_what_to_write() {
    for (body, hint) in [
        ("{{#if name}}x{{/if}}", "{% if record.column %}"),
        (
            "{{#each items}}x{{/each}}",
            "{% for item in record.items %}",
        ),
        ("{{# if name }}x{{/if}}", "{% if"),
        ("x {{/if}}", "{% endif %}"),
        ("{{{ name }}}", "| safe"),
        ("{{&name}}", "| safe"),
        ("{{> footer}}", "{% include \"name\" %}"),
        ("{{!-- note --}}", "{# … #}"),
        ("{{^name}}x{{/name}}", "{% if not"),
        ("{{@index}}", "loop.index"),
        ("{{ $name }}", "without a dollar"),
        ("{% unless x %}{% endunless %}", "{% if not"),
        ("{% if x %}{% elsif y %}{% endif %}", "{% elif"),
        ("{% assign x = 1 %}", "{% set"),
        ("{% comment %}x{% endcomment %}", "{# … #}"),
        ("{{ record.name | default: 'x' }}", "brackets"),
        ("{{ record.a && record.b }}", "and, or, not"),
        ("{{ record.a ?? 'x' }}", "| default"),
        ("{{ record.a ? 'x' : 'y' }}", "if condition else"),
        ("{{ First name }}", "record[\"First name\"]"),
        ("{% if record.a == &quot;x&quot; %}{% endif %}", "quotes"),
        ("{{ “x” }}", "quotes"),
        ("<p>{# note", "{% raw %}"),
    ] {
        let error = compile(None, "s", body).unwrap_err();
        assert!(
            error.hint.as_deref().unwrap_or_default().contains(hint),
            "{body}: {error:?}"
        );
    }
}

#[test]
fn a_rule_of_css_is_no_comment() {
    let css = "<style>@media screen{#box a{padding:0}}</style>";
    let body = format!("{css}<p>hi <a href=\"https://x.example/#}}\">é</a> {{{{ record.nme }}}}");
    let error = body_error(&body);
    let column = body.chars().take_while(|c| *c != 'é').count() + " é</a> {{ ".chars().count();
    assert_eq!(
        error.column,
        Some(u32::try_from(column).unwrap()),
        "{error}"
    );
    let mail = assembled(&render("s", &body.replace("record.nme", "record.total")).unwrap());
    assert!(
        mail.html
            .starts_with("<style>@media screen{#box a{padding:0}}</style><p>hi <a"),
        "{}",
        mail.html
    );
    let found = remarks(Part::Body, None, &body);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0]
            .error
            .to_string()
            .starts_with("body, line 1, column 21: {# in <style>"),
        "{found:?}"
    );
    assert!(
        found[0]
            .error
            .hint
            .as_deref()
            .unwrap()
            .contains("{% raw %}")
    );
    let found = remarks(
        Part::Subject,
        None,
        "Hi *|FNAME|*, {% raw %}%%x%%{% endraw %}{{ '%%x%%' }}",
    );
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        found[0].error.hint.as_deref(),
        Some("Write {{ record.first_name }}, with the name of the column.")
    );
}
