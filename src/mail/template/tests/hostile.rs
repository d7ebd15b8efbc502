//! Templates, markup and rows that mean harm.

use std::time::{Duration, Instant};

use super::*;

#[test]
fn control_characters_become_a_space_in_a_header() {
    for text in [
        "\\x00",
        "\\x7f",
        "\\u2028",
        "\\u2029\\x1b",
        "\\u0085",
        "\\r\\n",
    ] {
        let value = format!("{{{{ \"a{text}b{text}\" }}}}");
        let template = compile(Some(&format!("{value} <a@b>")), &value, "b").unwrap();
        let mail = template.render(&context(), &recipient()).unwrap();
        assert_eq!(mail.subject, "a b", "{text}");
        assert_eq!(
            mail.sender.unwrap().replace("  ", " "),
            "a b <a@b>",
            "{text}"
        );
    }
    for (source, subject) in [
        ("a b\r\n", "a b"),
        ("\ta\r\n\tb", "a b"),
        ("{{ \"a\\r\\nBcc: x@y\" }}", "a Bcc: x@y"),
    ] {
        assert_eq!(assembled(&render(source, "b").unwrap()).subject, subject);
    }
}

/// Each of these took gigabytes, or for ever, with a minijinja before 3.1.
#[test]
fn memory_bombs_end_quickly() {
    let started = Instant::now();
    for bomb in [
        "{% set ns = namespace(s='xxxxxxxxxx') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ ns.s }}",
        "{{ '%999999999d'|format(1) }}",
        "{{ '{:>999999999}'|format(1) }}",
        "{{ '{:999999999}'.format(1) }}",
        "{{ 'x'|indent(999999999) }}",
        "{{ ('x\\n' * 1000)|indent(1000000) }}",
        "{{ 'x' * 999999999 }}",
        "{{ ['x'] * 999999999 }}",
        "{{ range(9999999)|list }}",
        "{{ range(1000000000)|join('x') }}",
        "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
        "{% macro f(x) %}{{ f(x) }}{{ f(x) }}{% endmacro %}{{ f(1) }}",
        "{% for i in range(9999) %}{{ '2026-11-24'|format_date }}{% endfor %}",
        "{% for i in range(9999) %}{{ short('https://example.org/' ~ i) }}{% endfor %}",
        "{{ ('x' * 100000)|format_number }}",
        "{{ ('x' * 300000)|replace('x', 'x' * 300000) }}",
        "{{ 'x'|center(999999999) }}",
        "{{ [1]|batch(999999999, 1)|list }}",
        "{{ 'a'|wordwrap(1) }}{{ ('a ' * 9999999)|wordwrap(1) }}",
    ] {
        // The few that minijinja understands otherwise than Python does are harmless text.
        assert!(
            render("s", bomb).map_or(true, |mail| mail.html.len() < 1_000),
            "{bomb}"
        );
    }
    assert!(
        started.elapsed() < Duration::from_secs(30),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn sizes_are_capped() {
    let long = "x".repeat(MAX_SOURCE_BYTES + 1);
    assert!(
        compile(None, "s", &long)
            .unwrap_err()
            .message
            .contains("262144")
    );
    assert!(compile(None, &long, "b").is_err());
    let template = compile(None, "s", "{{ record.x }}").unwrap();
    let big = json!({"record": {"x": "y".repeat(MAX_CONTEXT_BYTES)}});
    let error = template.render(&big, &recipient()).unwrap_err();
    assert!(error.message.contains("context is larger"), "{error}");
    assert!(template.render(&json!([]), &recipient()).is_err());
    let error = body_error(&format!(
        "{{% for i in range(20) %}}{}{{% endfor %}}",
        "x".repeat(60_000)
    ));
    assert!(error.message.contains("longer than 1048576"), "{error}");
    let error = render(&"s".repeat(3_000), "b").unwrap_err();
    assert_eq!(error.part, Part::Subject);
}

/// A stack overflow or a quadratic layout would take the whole server down.
#[test]
fn hostile_markup_is_bounded() {
    std::thread::Builder::new()
        .stack_size(2 * 1024 * 1024)
        .spawn(|| {
            for (markup, limit) in [
                (
                    "<mj-carousel-image/>".repeat(4_000),
                    "more than 20 elements mj-carousel-image",
                ),
                ("<br/>".repeat(2_001), "more than 2000 elements"),
                ("<b>".repeat(200), "more than 100 levels"),
            ] {
                let error = mjml::to_html(&format!("<mjml><mj-body>{markup}")).unwrap_err();
                assert!(error.contains(limit), "{error}");
            }
            for (open, close) in [
                ("<div>", "</div>"),
                ("<div>", ""),
                ("<b>", ""),
                ("<a href='https://x.example'>", ""),
                ("<table><tr><td>", ""),
                ("<ul><li>", "</li></ul>"),
                ("<blockquote>", ""),
                ("<p>", ""),
                ("<hr>", ""),
                ("<!--", ""),
                ("<!--[", ""),
                ("<", ""),
                ("&", ""),
                ("<svg><title>", ""),
                ("<br/>", ""),
                ("<mj-carousel-image/>", ""),
            ] {
                for count in [45, 140, 60_000] {
                    let count = count.min(250_000 / (open.len() + close.len()));
                    let body = open.repeat(count) + "x" + &close.repeat(count);
                    let mjml = |open: &str, close: &str| {
                        format!("<mjml><mj-body>{open}{body}{close}</mj-body></mjml>")
                    };
                    let raw = mjml("<mj-raw>", "</mj-raw>");
                    let carousel = mjml(
                        "<mj-section><mj-column><mj-carousel>",
                        "</mj-carousel></mj-column></mj-section>",
                    );
                    for body in [body, raw, carousel] {
                        let started = Instant::now();
                        // Laid out or refused: what matters is that it ends, soon and without a crash.
                        let _ = render("s", &body);
                        assert!(started.elapsed() < Duration::from_secs(60), "{open}");
                    }
                }
            }
        })
        .unwrap()
        .join()
        .unwrap();
}

#[test]
fn a_record_cannot_forge_a_placeholder_and_the_scope_stays_hidden() {
    let template = compile(None, "s", "{{ record.x }}").unwrap();
    let forged = json!({"record": {"x": "ma0000000000000000000000000000000000L0E"}});
    let rendered = template.render(&forged, &recipient()).unwrap();
    assert!(
        assembled(&rendered)
            .html
            .starts_with("ma0000000000000000000000000000000000L0E")
    );
    body_error("{{ debug() }}");
    body_error("{{ self }}");
}

/// The parser and the compiler call themselves; a stack overflow would end the server process.
#[test]
fn deeply_nested_expressions_end_without_a_crash() {
    std::thread::Builder::new()
        .stack_size(2 * 1024 * 1024)
        .spawn(|| {
            for (open, middle, close) in [
                ("(", "1", ")"),
                ("[", "1", "]"),
                ("{'a':", "1", "}"),
                ("-", "1", ""),
                ("not ", "1", ""),
                ("", "1", "+1"),
                ("", "1", "~1"),
                ("", "1", "**1"),
                ("", "record", ".a"),
                ("", "record", "['a']"),
                ("", "record", "[0:1]"),
                ("", "record", "()"),
                ("", "'a'", "|upper"),
                ("", "1", " if 1 else 1"),
                ("", "1", " and 1"),
                ("", "1", " is defined"),
                ("", "1", "==1"),
                ("short(", "1", ")"),
            ] {
                for count in [100, 1_000, 100_000] {
                    let count = count.min(250_000 / (open.len() + close.len()));
                    let expression = open.repeat(count) + middle + &close.repeat(count);
                    let _ = render("s", &format!("{{{{ {expression} }}}}"));
                }
            }
            for (open, close) in [
                ("{% if 1 %}", "{% endif %}"),
                ("{% for i in [1] %}", "{% endfor %}"),
                ("{% with %}", "{% endwith %}"),
                ("{% filter upper %}", "{% endfilter %}"),
                ("{% autoescape true %}", "{% endautoescape %}"),
                ("{% macro m() %}", "{% endmacro %}"),
                ("{% set x %}", "{% endset %}"),
                ("{% if 1 %}{% elif 1 %}", "{% endif %}"),
            ] {
                for count in [100, 10_000] {
                    let count = count.min(250_000 / (open.len() + close.len()));
                    let _ = render("s", &(open.repeat(count) + &close.repeat(count)));
                }
            }
            for count in [500, 20_000] {
                let elifs = "{% elif 0 %}".repeat(count);
                let outcome = render("s", &format!("{{% if 0 %}}{elifs}{{% endif %}}"));
                assert_eq!(outcome.is_ok(), count == 500);
            }
            let long = format!("{{{{ 1{} }}}}", "+1".repeat(600));
            let error = compile(None, "s", &format!("\n{long}")).unwrap_err();
            assert_eq!(
                (error.line, error.message.as_str()),
                (Some(2), "expression is too long")
            );
            let list = format!("{{% set x = [{}] %}}{{{{ x|length }}}}", "1, ".repeat(900));
            assert!(render("s", &list).is_ok());
        })
        .unwrap()
        .join()
        .unwrap();
}
