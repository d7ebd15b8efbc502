//! What authors bring along from Jinja2.

use super::*;

fn print(template: &str) -> Result<String, TemplateError> {
    let record = json!({"record": {
        "email": "plus+tag@example.com", "company": "A&B #1", "name": "zoë smith", "nothing": null,
        "tags": ["a", "b", "a"], "more": {"city": "Gent", "zip": null}, "n": 3,
    }});
    let mail = compile(None, template, template)?.render(&record, &recipient())?;
    Ok(mail.subject)
}

#[test]
fn values_in_links_are_encoded() {
    let body = "<a href=\"https://shop.example/p?email={{ record.email | urlencode }}&amp;c={{ record.company|urlencode }}\">x</a>";
    let context = json!({"record": {"email": "plus+tag@example.com", "company": "A&B #1"}});
    let mail = compile(None, "s", body)
        .unwrap()
        .render(&context, &recipient())
        .unwrap();
    assert_eq!(
        mail.links(),
        ["https://shop.example/p?email=plus%2Btag%40example.com&c=A%26B%20%231"]
    );
    assert_eq!(
        print("{{ {'q': 'a b', 'x': record.nothing}|urlencode }}").as_deref(),
        Ok("q=a%20b")
    );
}

#[test]
fn filters_and_methods_of_jinja2_are_there() {
    for (template, expected) in [
        (
            "{{ record.name|truncate(6, false, '...', 0) }}{{ record.name|truncate(length=6, killwords=true, end='…', leeway=0) }}",
            "zoë...zoë s…",
        ),
        (
            "{{ record.name|truncate(200) }} {{ record.nothing|truncate(3) }}|",
            "zoë smith |",
        ),
        (
            "{{ ''|default('x', boolean=true) }} {{ record.nothing|default(default_value='y') }} {{ 0|d('z', true) }}",
            "x y z",
        ),
        (
            "{{ record.name|wordcount }} {{ 'aa bb cc'|wordwrap(5)|replace('\n', '/') }}",
            "2 aa bb/cc",
        ),
        (
            "{{ '<b>x</b> y'|striptags }} {{ 'x'|center(5) }}|",
            "x y   x  |",
        ),
        (
            "{{ record.n }} item{{ record.n|pluralize }} {{ 1536|filesizeformat }}",
            "3 items 1.5 kB",
        ),
        (
            "{{ record.more|tojson }} {{ [1, none, true, 'é']|tojson }}",
            "{\"city\": \"Gent\", \"zip\": null} [1, null, true, \"é\"]",
        ),
        (
            "{{ record.name.upper() }} {{ record.name.title() }} {{ record.name.capitalize() }}",
            "ZOË SMITH Zoë Smith Zoë smith",
        ),
        (
            "{{ record.name.split(' ')[0] }} {{ record.name.split()|last }} {{ record.name.replace('smith', 'b') }}",
            "zoë smith zoë b",
        ),
        (
            "{{ record.name.startswith('zo') }} {{ record.name.find('s') }} {{ ' x '.strip() }}",
            "True 4 x",
        ),
        (
            "{{ ', '.join(record.tags) }} {{ record.tags.count('a') }}",
            "a, b, a 2",
        ),
        (
            "{{ '7'.zfill(3) }} {{ '-7'.zfill(4) }} {{ 'x'.ljust(3) }}| {{ 'x'.rjust(3, '.') }} {{ 'aB'.swapcase() }}",
            "007 -007 x  | ..x Ab",
        ),
        (
            "{{ record.more.get('city') }} {{ record.more.get('x', 'y') }}{{ record.more.get('x') }}{{ record.more.get('zip') }}",
            "Gent y",
        ),
        (
            "{% for k, v in record.more.items() %}{{ k }}={{ v }};{% endfor %}{{ record.more.keys()|list|length }}",
            "city=Gent;zip=;2",
        ),
        (
            "{{ record.nothing.upper() }}{{ record.nothing.strip().title() }}{{ record.nothing.get('a') }}",
            "",
        ),
        (
            "{% for t in record.tags %}{% if loop.index > 1 %}{% break %}{% endif %}{{ t }}{% endfor %}",
            "a",
        ),
        (
            "{{ 'pre-x'.removeprefix('pre-') }}{{ 'x.y'.removesuffix('.y') }}{{ 'Ä'.casefold() }}",
            "xxä",
        ),
    ] {
        assert_eq!(print(template).as_deref(), Ok(expected), "{template}");
    }
}

#[test]
fn tojson_is_safe_in_a_script() {
    let body = "<script>var x = {{ record.x|tojson }};</script>";
    let context = json!({"record": {"x": "</script><b>&'\u{2028}\u{1}"}});
    let mail = compile(None, "s", body)
        .unwrap()
        .render(&context, &recipient())
        .unwrap();
    assert!(
        mail.html
            .contains(r#"var x = "\u003c/script\u003e\u003cb\u003e\u0026\u0027\u2028\u0001";"#),
        "{}",
        mail.html
    );
    assert_eq!(
        print("{{ [1, {'a': []}]|tojson(indent=2) }}").as_deref(),
        Ok("[   1,   {     \"a\": []   } ]")
    );
}

#[test]
fn methods_that_do_not_exist_are_refused_when_written() {
    for (template, column, message) in [
        ("{{ record.name.uper() }}", 16, "has a method \"uper\""),
        (
            "a{% if record.name.lower().begins('x') %}{% endif %}",
            28,
            "has a method \"begins\"",
        ),
        ("{{ record.tags.append(1) }}", 16, "has a method \"append\""),
        ("{{ 'x'.foo() }}", 8, "has a method \"foo\""),
    ] {
        let error = compile(None, "s", template).unwrap_err();
        assert_eq!(
            (error.line, error.column),
            (Some(1), Some(column)),
            "{error}"
        );
        assert!(error.message.contains(message), "{error}");
    }
    let hint = |template| {
        compile(None, "s", template)
            .unwrap_err()
            .hint
            .unwrap_or_default()
    };
    assert!(hint("{{ record.name.uper() }}").contains("upper"));
    assert!(hint("{{ record.born.strftime('%d') }}").contains("format_date"));
    for template in [
        "{% macro m(x) %}{{ x.upper() }}{% endmacro %}{{ m('x') }}",
        "{% for x in record.tags %}{{ loop.cycle('a', 'b') }}{{ loop.changed(x) }}{% endfor %}",
    ] {
        compile(None, "s", template).unwrap();
    }
}

#[test]
fn unknown_filters_are_named_with_what_to_write() {
    for (template, hint) in [
        ("{{ record.n|money }}", "format_currency"),
        ("{{ record.n|upcase }}", "upper"),
        ("{{ record.n|urlize }}", "<a href"),
        ("{{ record.n|date('%d') }}", "format_date"),
        ("{{ record.n|uper }}", "upper"),
        ("{{ record.n is numbr }}", "number"),
    ] {
        let error = compile(None, "s", template).unwrap_err();
        assert!(
            error.hint.as_deref().unwrap_or_default().contains(hint),
            "{template}: {error:?}"
        );
    }
}
