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
