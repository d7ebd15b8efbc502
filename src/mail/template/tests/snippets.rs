use std::time::{Duration, Instant};

use super::*;

fn compile_with(body: &str, snippets: &[(&str, &str)]) -> Result<MailTemplate, TemplateError> {
    let mut all = Snippets::default();
    for (name, text) in snippets {
        all.add(name, "", (*text).to_owned());
    }
    let source = |text| Source {
        text,
        language: "fr",
        snippets: "",
    };
    MailTemplate::compile(
        [
            None,
            None,
            Some(source("s")),
            Some(source(body)),
            None,
            None,
            None,
            None,
        ],
        None,
        &all,
    )
}

fn html(body: &str, snippets: &[(&str, &str)]) -> String {
    let template = compile_with(body, snippets).unwrap();
    let mail = assembled(&template.render(&context(), &recipient()).unwrap());
    mail.html.split("<img ").next().unwrap().to_owned()
}

#[test]
fn snippets_are_included_extended_and_imported() {
    let shared = [
        (
            "header",
            "<h1>{{ title | default('Shop') }} {{ record.first_name }}</h1>",
        ),
        (
            "layout",
            "{% include 'header' %}{% block content %}none{% endblock %}<hr>",
        ),
        (
            "macros",
            "{% macro button(url, label) %}<a href=\"{{ url }}\">{{ label }}</a>{% endmacro %}",
        ),
    ];
    assert_eq!(
        html("{% set title = 'A & B' %}{% include 'header' %}", &shared),
        "<h1>A &amp; B Zoë &lt;b&gt;</h1>"
    );
    assert_eq!(
        html(
            "{% extends 'layout' %}{% block content %}{{ super() }} {{ record.total }}{% endblock %}",
            &shared
        ),
        "<h1>Shop Zoë &lt;b&gt;</h1>none 1234.5<hr>"
    );
    assert_eq!(
        html(
            "{% import 'macros' as m %}{% from 'macros' import button as b %}\
             {{ m.button('https://a.example', '<1>') }}{{ b(record.url, 2) }}",
            &shared
        ),
        "<a href=\"https://t.example/c/0\">&lt;1&gt;</a><a href=\"https://t.example/c/1\">2</a>"
    );
    assert_eq!(
        html("a{% include 'nowhere' ignore missing %}b", &shared),
        "ab"
    );
    let body = "<mjml>{% include 'body' %}</mjml>";
    let mjml =
        "<mj-body><mj-section><mj-column><mj-text>Hi</mj-text></mj-column></mj-section></mj-body>";
    assert!(html(body, &[("body", mjml)]).starts_with("<!doctype html>"));
}

#[test]
fn a_snippet_of_the_subject_is_not_escaped() {
    let mut all = Snippets::default();
    all.add("name", "", "{{ record.first_name }}".to_owned());
    let source = |text| Source {
        text,
        language: "fr",
        snippets: "",
    };
    let included = Some(source("{% include 'name' %}"));
    let template = MailTemplate::compile(
        [None, included, included, included, None, None, None, None],
        None,
        &all,
    )
    .unwrap();
    let mail = assembled(&template.render(&context(), &recipient()).unwrap());
    assert_eq!(mail.subject, "Zoë <b>");
    assert_eq!(mail.reply_to.as_deref(), Some("Zoë <b>"));
    assert!(mail.html.starts_with("Zoë &lt;b&gt;"), "{}", mail.html);
}

#[test]
fn mistakes_in_snippets_name_the_snippet_line_and_column() {
    let error = compile_with("{% include 'a' %}", &[("a", "x\n {% if %}")]).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("snippet \"a\", line 2, column "),
        "{error}"
    );
    let shared = [
        ("a", "é\n{{ record.total | format_date }}"),
        ("b", "{% include 'a' %}"),
    ];
    let template = compile_with("{% include 'b' %}", &shared).unwrap();
    let error = template.render(&context(), &recipient()).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("snippet \"a\", line 2, column 19: invalid operation: format_date"),
        "{error}"
    );
    for (body, snippets, message) in [
        (
            "{% include 'b' %}",
            &[("a", "")][..],
            "snippet \"b\" does not exist",
        ),
        ("{% include 'a' ~ 'b' %}", &[], "must be a constant"),
        ("{% include ['a', 'b'] %}", &[], "must be a constant"),
        ("{% extends record.x %}", &[], "must be a constant"),
        (
            "{% include 'a' %}",
            &[("a", "{% block b %}{{ self.b() }}{% endblock %}")],
            "blocks cannot be called",
        ),
        (
            "{% include 'a' %}",
            &[("a", "{% include 'a' %}")],
            "uses itself: a → a",
        ),
        (
            "{% extends 'a' %}",
            &[("a", "{% import 'b' as b %}"), ("b", "{% extends 'a' %}")],
            "uses itself: a → b → a",
        ),
    ] {
        let error = compile_with(body, snippets).unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
    }
}

#[test]
fn bombs_end_quickly_also_through_snippets() {
    let started = Instant::now();
    let doubling: Vec<(String, String)> = (0..9)
        .map(|n| {
            let next = format!("{{% include 's{}' %}}", n + 1);
            (format!("s{n}"), next.repeat(100))
        })
        .chain([("s9".to_owned(), "x".repeat(1_000))])
        .collect();
    let doubling: Vec<(&str, &str)> = doubling
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    let shared = [
        (
            "loop",
            "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
        ),
        (
            "macro",
            "{% macro f(x) %}{{ f(x) }}{{ f(x) }}{% endmacro %}",
        ),
        (
            "big",
            "{% for i in range(20) %}{{ 'x' * 60000 }}{% endfor %}",
        ),
    ];
    for (body, snippets) in [
        ("{% include 's0' %}", &doubling[..]),
        ("{% include 'loop' %}", &shared),
        ("{% import 'macro' as m %}{{ m.f(1) }}", &shared),
        (
            "{% for i in range(9999) %}{% include 'big' %}{% endfor %}",
            &shared,
        ),
    ] {
        let template = compile_with(body, snippets).unwrap();
        assert!(template.render(&context(), &recipient()).is_err(), "{body}");
    }
    assert!(
        started.elapsed() < Duration::from_secs(30),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn depth_and_size_of_snippets_are_bounded() {
    let deep: Vec<(String, String)> = (0..1_000)
        .map(|n| (format!("s{n}"), format!("{{% include 's{}' %}}", n + 1)))
        .collect();
    let deep: Vec<(&str, &str)> = deep
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    let error = compile_with("{% include 's0' %}", &deep).unwrap_err();
    assert!(error.message.contains("more than 10 deep"), "{error}");
    let big = "x".repeat(200_000);
    let names = ["a", "b", "c", "d", "e", "f"];
    let wide: Vec<(&str, &str)> = names.iter().map(|name| (*name, big.as_str())).collect();
    let body: String = names
        .iter()
        .map(|name| format!("{{% include '{name}' %}}"))
        .collect();
    let error = compile_with(&body, &wide).unwrap_err();
    assert!(error.message.contains("more than 1048576 bytes"), "{error}");
    let long = format!("{{{{ 1{} }}}}", "+1".repeat(600));
    let error = compile_with("{% include 'a' %}", &[("a", &long)]).unwrap_err();
    assert_eq!(error.message, "expression is too long");
}

#[test]
fn nested_json_is_walked_by_loops_and_conditions() {
    let template = compile(
        None,
        "s",
        "{% for o in record.orders if o.lines %}<p>{{ o.no }}:{% for l in o.lines %} {{ l.name }}\
         {%- if l.gift is defined and l.gift %} (gift){% endif %}{% if not loop.last %},{% endif %}{% else %} none\
         {%- endfor %}</p>{% endfor %}{{ record.orders | map(attribute='no') | join('+') }}\
         {{ record['deep key'].list[1].x }}{{ record.orders | selectattr('lines') | list | length }}",
    )
    .unwrap();
    let nested = json!({"record": {
        "orders": [
            {"no": 1, "lines": [{"name": "Tea", "gift": true}, {"name": "Cup", "gift": null}, {"name": "Pot"}]},
            {"no": 2, "lines": []},
            {"no": 3, "lines": null},
        ],
        "deep key": {"list": [{"x": "a"}, {"x": "b"}]},
    }});
    let mail = assembled(&template.render(&nested, &recipient()).unwrap());
    assert!(
        mail.html
            .starts_with("<p>1: Tea (gift), Cup, Pot</p>1+2+3b1"),
        "{}",
        mail.html
    );
}

#[test]
fn elements_that_mjml_does_not_have_are_refused_in_snippets_too() {
    let fault = |text: &str| {
        let mut all = Snippets::default();
        all.add("footer", "", text.to_owned());
        all.add("outer", "", "{% include 'footer' %}".to_owned());
        let texts = Texts {
            body: Some(
                "{% set a = 1 %}\n<mjml><mj-body><mj-section><mj-column>{% include 'outer' %}</mj-column></mj-section>\
                 </mj-body></mjml>"
                    .to_owned(),
            ),
            ..Texts::default()
        };
        let error = check(&texts, "fr", &all, None).err()?;
        assert_eq!(error.snippet.as_deref(), Some("footer"));
        Some((error.to_string(), error.hint.unwrap_or_default()))
    };
    let told = fault("{{ record.total }} →\n<mj-section><mj-colum>x</mj-colum></mj-section>");
    assert_eq!(
        told,
        Some((
            "snippet \"footer\", line 2, column 14: mjml: element <mj-colum> does not exist"
                .to_owned(),
            "Did you mean <mj-column>?".to_owned()
        ))
    );
    let (message, hint) = fault("<mj-text colour=\"red\">x</mj-text>").unwrap();
    assert!(
        message.contains("<mj-text> has no attribute \"colour\""),
        "{message}"
    );
    assert_eq!(hint, "Did you mean color?");
    assert!(fault("<mj-include path=\"a.mjml\"/>").is_some());
    for text in [
        "<p class=\"mj-colum\">mj-colum</p>",
        "{% if record.total %}<mj-text color=\"{{ record.total }}\">x</mj-text>{% endif %}",
        "<mj-text href=\"x\"/>",
        "</mj-column></mj-section><mj-section><mj-column>",
        "x > y",
    ] {
        assert_eq!(fault(text), None, "{text}");
    }
    let (message, _) = fault("{% if record.total %}</mj-column>{% endif %}").unwrap();
    assert!(
        message
            .starts_with("snippet \"footer\", line 1, column 22: mjml: </mj-column> in one branch"),
        "{message}"
    );
}

/// What prints nothing, or a layout, may stand before the document.
#[test]
fn documents_are_judged_wherever_they_begin() {
    let fault = |body: &str| {
        let mut all = Snippets::default();
        all.add(
            "layout",
            "",
            "<mjml><mj-body>{% block x %}{% endblock %}</mj-body></mjml>".to_owned(),
        );
        let texts = Texts {
            body: Some(body.to_owned()),
            ..Texts::default()
        };
        check(&texts, "fr", &all, None)
            .err()
            .map(|error| error.to_string())
    };
    for (body, expected) in [
        (
            "{% set x = 1 %}\n<mjml><mj-body><mj-colum/>{{ x }}</mj-body></mjml>",
            "body, line 2, column 17: mjml: element <mj-colum> does not exist",
        ),
        (
            "{% set x = 1 %}<mjml><mj-body>5 < 6{{ x }}</mj-body></mjml>",
            "body, line 1, column 33: mjml: \"<\" begins no element",
        ),
        (
            "{% macro m() %}<mj-text>x</mj-text>{% endmacro %}<!doctype html><mjml><mj-body><p>{{ m() }}</mj-body></mjml>",
            "body, line 1, column 80: mjml: <p> is never closed",
        ),
        (
            "{% extends 'layout' %}{% block x %}5 < 6{% endblock %}",
            "body, line 1, column 38: mjml: \"<\" begins no element",
        ),
    ] {
        let found = fault(body).unwrap_or_else(|| panic!("{body} has no fault"));
        assert!(found.starts_with(expected), "{body}: {found}");
    }
    for body in [
        "{% set x = 1 %}<p>5 < 6{{ x }}</p>",
        "{% if record.total %}<mjml></mjml>{% else %}<p>5 < 6</p>{% endif %}",
        "{% macro m() %}<mj-text>x</mj-text>{% endmacro %}<!doctype html><mjml><mj-body>{{ m() }}</mj-body></mjml>",
        "{% extends 'layout' %}<b>{% block x %}<mj-section></mj-section>{% endblock %}",
    ] {
        assert_eq!(fault(body), None, "{body}");
    }
}
