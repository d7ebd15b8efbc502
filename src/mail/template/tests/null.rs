use super::*;

#[test]
fn null_never_prints_as_a_word() {
    for (template, expected) in [
        ("{{ record.nothing }}", ""),
        (
            "{{ record.nothing|title }}{{ record.nothing|trim }}{{ record.nothing|string }}",
            "",
        ),
        (
            "{{ record.nothing|escape }}{{ record.nothing|safe }}{{ record.nothing|upper }}",
            "",
        ),
        (
            "{{ record.nothing|lower }}{{ record.nothing|capitalize }}{{ record.nothing|replace('N', 'x') }}",
            "",
        ),
        ("{{ 'Dear ' ~ record.nothing ~ '!' }}", "Dear !"),
        ("{{ ['a', record.nothing, none, None]|join('-') }}", "a---"),
        ("{{ '%s.'|format(record.nothing) }}", "."),
        (
            "{{ record.nothing|default('friend') }}{{ record.nothing|d('friend', true) }}",
            "friendfriend",
        ),
        (
            "{{ record.nme|default('friend') }}{{ ''|default('x') }}",
            "friend",
        ),
        ("{{ record.nothing|default(none) ~ none }}", ""),
        (
            "{% if record.nothing %}x{% endif %}{{ 'y' if not record.nothing }}",
            "y",
        ),
        (
            "{{ record.nothing is none }} {{ none is none }} {{ '' is none }}",
            "True True False",
        ),
        (
            "{{ record.nothing is defined }} {{ record.nothing is not none }}",
            "True False",
        ),
        (
            "{{ record.nothing == none }} {{ none != record.nothing }} {{ 1 != none }}",
            "True False True",
        ),
        (
            "{{ record.nothing in [none] }} {{ record.nothing is eq(none) }}",
            "True True",
        ),
        ("{{ 'None' }} {{ {'none': 1}.none }} none", "None 1 none"),
        (
            "{{ record.nothing|int }} {{ record.nothing|float(1.5) }}",
            "0 1.5",
        ),
        (
            "{% for x in record.nothing %}x{% else %}empty{% endfor %}",
            "empty",
        ),
        (
            "{{ record.nothing|format_date ~ record.nothing|format_number }}",
            "",
        ),
        (
            "{% macro m(x=none) %}{{ 'a' ~ x }}{% endmacro %}{{ m() }}",
            "a",
        ),
        (
            "{% set x = record.nothing %}{{ x ~ record.list[1] ~ record.deep.n }}",
            "",
        ),
    ] {
        let template = compile(None, template, template).unwrap();
        let record = json!({"nothing": null, "list": [1, null], "deep": {"n": null}});
        let mail = template
            .render(&json!({ "record": record }), &recipient())
            .unwrap();
        assert_eq!(assembled(&mail).subject, expected);
        assert!(
            assembled(&mail)
                .html
                .starts_with(&format!("{expected}<img "))
        );
    }
    assert!(compile(None, "s", "{% set none = 1 %}").is_err());
    let error = body_error("{{ none }}{{ record.nme }}");
    assert_eq!((error.line, error.column), (Some(1), Some(14)), "{error}");
}
