use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use super::*;
use crate::email::rendered::{Consent, Target};

mod links;
mod null;
mod snippets;
mod translations;

fn context() -> Json {
    json!({
        "record": {
            "first_name": "Zoë <b>",
            "born": "1990-02-03",
            "nothing": null,
            "total": 1234.5,
            "ordered_at": "2026-11-24T05:37:09+00:00",
            "url": "https://shop.example/?a=1&b=2",
            "orders": [{"no": 1}, {"no": 2}],
        },
        "party": {}, "scenario": {"name": "welcome"}, "activity": {"name": "hello"},
    })
}

fn recipient() -> Recipient {
    Recipient {
        language: "fr_CA".into(),
        time_zone: "Europe/Brussels".into(),
    }
}

/// Compiles templates in the recipient's language, without snippets.
fn compile(sender: Option<&str>, subject: &str, body: &str) -> Result<MailTemplate, TemplateError> {
    let source = |text| Source {
        text,
        language: "fr",
        snippets: "",
    };
    MailTemplate::compile(
        sender.map(source),
        source(subject),
        source(body),
        &Snippets::default(),
    )
}

fn render(subject: &str, body: &str) -> Result<Rendered, TemplateError> {
    compile(None, subject, body)?.render(&context(), &recipient())
}

fn assembled(rendered: &Rendered) -> crate::email::Assembled {
    let everything = Consent {
        opens: true,
        clicks: true,
    };
    assembled_with(rendered, everything)
}

fn assembled_with(rendered: &Rendered, consent: Consent) -> crate::email::Assembled {
    rendered.assemble(consent, false, url_of)
}

fn url_of(target: Target) -> String {
    match target {
        Target::Link(index) => format!("https://t.example/c/{index}"),
        Target::Unsubscribe(page) => format!("https://t.example/u/{page:?}&x"),
        Target::OpenImage => "https://t.example/o/1".into(),
        Target::HiddenLink => "https://t.example/c/hidden".into(),
    }
}

fn body_error(body: &str) -> TemplateError {
    let error = render("s", body).unwrap_err();
    assert_eq!(error.part, Part::Body, "{error}");
    error
}

#[test]
fn subject_and_sender_are_plain_and_the_body_is_escaped() {
    let template = compile(
        Some("{{ scenario.name }} <shop@example.org>\n"),
        "Hi {{ record.first_name }}\n",
        "<p>{{ record.first_name }}</p>",
    )
    .unwrap();
    let mail = assembled(&template.render(&context(), &recipient()).unwrap());
    assert_eq!(mail.sender.as_deref(), Some("welcome <shop@example.org>"));
    assert_eq!(mail.subject, "Hi Zoë <b>");
    assert!(
        mail.html
            .starts_with("<p>Zoë &lt;b&gt;</p><img src=\"https://t.example/o/1\"")
    );
    assert_eq!(mail.text, "Zoë <b>\n");
}

#[test]
fn a_hidden_link_needs_consent_to_clicks_and_is_in_no_plain_text() {
    let rendered = render("s", "<body>Hello</body>").unwrap();
    let with = |opens, clicks| rendered.assemble(Consent { opens, clicks }, true, url_of);
    let link = r#"<a href="https://t.example/c/hidden" aria-hidden="true" tabindex="-1" rel="nofollow" style="display:none;font-size:0"></a>"#;
    assert!(
        with(true, true)
            .html
            .contains(&format!("Hello{link}<img src"))
    );
    assert_eq!(with(false, true).html, format!("<body>Hello{link}</body>"));
    assert_eq!(with(false, false).html, "<body>Hello</body>");
    assert_eq!(with(true, true).text, "Hello\n");
}

#[test]
fn without_consent_there_is_no_image_and_links_are_as_written() {
    let rendered = render(
        "s",
        r#"<body><p><a href="https://shop.example/?a=1&amp;b=2">shop</a> <a href="unsubscribe|https://bye.example">bye</a></p></body>"#,
    )
    .unwrap();
    let with = |opens, clicks| assembled_with(&rendered, Consent { opens, clicks });
    let image = |html: &str| html.contains("<img") || html.contains("/o/1");

    let neither = with(false, false);
    assert_eq!(
        neither.html,
        r#"<body><p><a href="https://shop.example/?a=1&amp;b=2">shop</a> <a href="https://t.example/u/Some(1)&amp;x">bye</a></p></body>"#
    );
    assert!(
        neither.text.contains("https://shop.example/?a=1&b=2"),
        "{}",
        neither.text
    );
    assert!(neither.text.contains("https://t.example/u/"));
    assert!(!neither.text.contains("/c/"));

    let opens = with(true, false);
    assert!(image(&opens.html) && !opens.html.contains("/c/"));
    let clicks = with(false, true);
    assert!(!image(&clicks.html) && clicks.html.contains("https://t.example/c/0"));
    assert!(clicks.text.contains("https://t.example/c/0"));
}

#[test]
fn links_become_targets_in_html_and_text() {
    let rendered = render(
        "{{ short('https://in-subject.example') }}",
        "<body><a href=\"{{ record.url }}\">shop</a> <a href='{{ short(record.url) }}'>again</a>\
         <a href=\"{{ unsubscribe_url }}\">bye</a><a href=\"unsubscribe|https://bye.example\">bye</a>\
         {{ short('https://shown.example') }}</body>",
    )
    .unwrap();
    assert_eq!(
        rendered.links(),
        [
            "https://in-subject.example",
            "https://shop.example/?a=1&b=2",
            "https://shown.example",
            "https://bye.example"
        ]
    );
    let mail = assembled(&rendered);
    assert_eq!(mail.subject, "https://t.example/c/0");
    assert!(mail.html.contains(
        "<a href=\"https://t.example/c/1\">shop</a> <a href='https://t.example/c/1'>again</a>"
    ));
    assert!(
        mail.html
            .contains("<a href=\"https://t.example/u/None&amp;x\">bye</a>"),
        "{}",
        mail.html
    );
    assert!(
        mail.html
            .contains("<a href=\"https://t.example/u/Some(3)&amp;x\">bye</a>"),
        "{}",
        mail.html
    );
    assert!(mail.html.ends_with("></body>"));
    let words = mail.text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        words.contains("shop <https://t.example/c/1> again"),
        "{words}"
    );
    assert!(
        words.contains("bye <https://t.example/u/None&x>"),
        "{words}"
    );
    assert!(!mail.text.contains("/o/1"), "{}", mail.text);
}

#[test]
fn filters_speak_the_recipients_language_also_in_macros_and_loops() {
    let mail = assembled(
        &render(
            "{{ record.total|format_currency('EUR') }}",
            "{% macro day(x) %}{{ x|format_date('long') }}{% endmacro %}{{ day(record.born) }};\
             {{ record.ordered_at|format_datetime }};{% for o in record.orders %}{{ o.no|format_number(1) }} {% endfor %};\
             {{ '3 days'|format_timedelta }};{{ record.nothing }}{{ record.nothing|format_date }}",
        )
        .unwrap(),
    );
    let plain = |text: &str| text.replace(['\u{a0}', '\u{202f}'], " ");
    assert_eq!(plain(&mail.subject), "1 234,50 €");
    let long = "{{ '12345678901234567890.123456789'|format_number }} {{ -0.001|format_number(2) }}";
    assert_eq!(
        plain(&assembled(&render(long, "b").unwrap()).subject),
        "12 345 678 901 234 567 890,123456789 0,00"
    );
    assert_eq!(
        plain(&mail.text),
        "3 février 1990;24 nov. 2026, 06 h 37;1,0 2,0 ;3 jours;\n"
    );
}

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
fn control_characters_never_reach_a_header() {
    for text in ["\\x00", "\\x7f", "a\\u2028b", "a\\u0085b"] {
        let error = render(&format!("{{{{ \"{text}\" }}}}"), "b").unwrap_err();
        assert_eq!(error.part, Part::Subject);
        assert!(error.message.contains("control character U+"), "{error}");
        let template = compile(Some(&format!("{{{{ \"{text}\" }}}} <a@b>")), "s", "b").unwrap();
        assert_eq!(
            template.render(&context(), &recipient()).unwrap_err().part,
            Part::Sender
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
        started.elapsed() < Duration::from_secs(3),
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
                ("<b>".repeat(200), "more than 150 levels"),
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
                        assert!(started.elapsed() < Duration::from_secs(10), "{open}");
                    }
                }
            }
        })
        .unwrap()
        .join()
        .unwrap();
}

#[test]
fn mjml_becomes_html_after_the_template_has_run() {
    let rendered = render(
        "s",
        "\n <mjml><mj-head><mj-title>t</mj-title></mj-head><mj-body><mj-section><mj-column>\
         <mj-text>Hi {{ record.first_name }} <a href=\"{{ record.url }}\">shop</a></mj-text>\
         <mj-button href=\"https://b.example/?x=1&amp;y=2\">go</mj-button>\
         <mj-text><a href=\"unsubscribe\">bye</a> {{ unsubscribe_url }}</mj-text>\
         </mj-column></mj-section></mj-body></mjml>",
    )
    .unwrap();
    let mail = assembled(&rendered);
    assert_eq!(
        rendered.links(),
        [
            "https://shop.example/?a=1&b=2",
            "https://b.example/?x=1&y=2"
        ]
    );
    assert!(mail.html.starts_with("<!doctype html>"), "{}", mail.html);
    assert!(
        mail.html
            .contains("Hi Zoë &lt;b&gt; <a href=\"https://t.example/c/0\">shop</a>"),
        "{}",
        mail.html
    );
    assert!(
        mail.html.contains("href=\"https://t.example/c/1\""),
        "{}",
        mail.html
    );
    assert_eq!(mail.html.matches("/o/1").count(), 1);
    assert!(
        mail.text
            .contains("Hi Zoë <b> shop <https://t.example/c/0>"),
        "{}",
        mail.text
    );
    assert!(
        mail.text.contains("go <https://t.example/c/1>"),
        "{}",
        mail.text
    );
    let error = body_error("<mjml><mj-body");
    assert!(error.message.contains("mjml"), "{error}");
    body_error("<mjml><mj-body><mj-include path=\"/etc/passwd\" /></mj-body></mjml>");
    assert!(render("s", "<mjmlx>").is_ok());
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
fn templates_can_be_shared_between_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    shared(&compile(None, "s", "b").unwrap());
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
