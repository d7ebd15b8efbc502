use super::*;

fn headers(list: &[(&str, &str)]) -> Result<Vec<(String, String)>, TemplateError> {
    let list: Vec<_> = list
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
        .collect();
    let mut translations = Translations::new("fr", Arc::default());
    let text = |text: &str| Some(text.to_owned());
    translations.add(
        "",
        Texts {
            subject: text("s"),
            body: text("b"),
            ..Texts::default()
        },
    );
    translations.set_headers(list);
    let template = translations.compile(&translations.choose("fr-CA"))?;
    Ok(assembled(&template.render(&context(), &recipient())?).headers)
}

#[test]
fn headers_are_templates_of_one_line_and_those_that_print_nothing_are_left_out() {
    let given = headers(&[
        ("X-Name", " {{ record.first_name }}\r\nBcc: x@y.example\n"),
        ("X-Nothing", "{{ record.nothing }} "),
        ("X-Number", "{{ record.total | format_number }}"),
        ("X-Link", "<{{ unsubscribe_url }}>"),
        ("X-Cut", "{% set x = 3 %}{% raw %}{{{% endraw %}"),
    ]);
    let given = given.unwrap();
    let given: Vec<_> = given
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(
        given,
        [
            ("X-Name", "Zoë <b> Bcc: x@y.example"),
            ("X-Number", "1\u{a0}234,5"),
            ("X-Link", "<https://t.example/u/None&x>"),
            ("X-Cut", "{{"),
        ]
    );
    assert_eq!(headers(&[]), Ok(vec![]));
}

#[test]
fn what_is_wrong_names_the_header() {
    for (text, message) in [
        ("{{", "header X-A, line 1"),
        (
            "a {{ record.none }}",
            "header X-A, line 1, column 6: undefined value",
        ),
        ("{% set b = 1 %}{{ 1 / 0 }}", "header X-A, line 1"),
        (
            "{{ 'x' * 3000 }}",
            "header X-A: result is longer than 2000 bytes",
        ),
        (
            "{% include 'a' %}",
            "header X-A, line 1, column 12: snippet \"a\" does not exist",
        ),
    ] {
        let error = headers(&[("X-B", "{{ 1 }}"), ("X-A", text)])
            .unwrap_err()
            .to_string();
        assert!(error.starts_with(message), "{error}");
    }
    // Each is a template of its own.
    let error = headers(&[("X-A", "{% set b = 1 %}"), ("X-B", "{{ b }}")]).unwrap_err();
    assert_eq!(error.header.as_deref(), Some("X-B"));
}
