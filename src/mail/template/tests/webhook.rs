//! Webhooks: JSON of a row, and where it goes.

use serde_json::json;

use super::super::{Call, MailTemplate, Names, Recipient, Snippets, TemplateError, check_webhook};
use super::super::{Part, Source};

fn call(url: &str, body: Option<&str>, record: serde_json::Value) -> Result<Call, TemplateError> {
    let source = |text| Source {
        text,
        language: "en",
        snippets: "",
    };
    let sources = [
        None,
        None,
        None,
        None,
        None,
        None,
        Some(source(url)),
        body.map(source),
    ];
    let context = json!({
        "record": record, "party": {"id": "7"}, "scenario": {"name": "s"}, "activity": {"name": "a"},
    });
    MailTemplate::compile(sources, None, &Snippets::default())?.render_webhook(
        &context,
        &Recipient::default(),
        "uuid",
    )
}

#[test]
fn values_are_written_as_json_and_as_parts_of_a_url() {
    let made = call(
        "https://crm.example/a/{{ record.name }}?q={{ record.name }}",
        Some("{\"n\": {{ record.name }}, \"m\": {{ record.none }}, \"p\": {{ record.price }}, \"l\": {{ record.tags }}, \"t\": {{ record | tojson }}}"),
        json!({"name": "A \"/?&#é", "none": null, "price": 1.50, "tags": ["x", 1]}),
    )
    .unwrap();
    assert_eq!(made.target, "https://crm.example");
    assert_eq!(
        made.path,
        "/a/A%20%22%2F%3F%26%23%C3%A9?q=A%20%22%2F%3F%26%23%C3%A9"
    );
    let body: serde_json::Value = serde_json::from_str(&made.body).unwrap();
    assert_eq!(body["n"], "A \"/?&#é");
    assert_eq!(body["m"], serde_json::Value::Null);
    assert_eq!(body["p"], json!(1.5));
    assert_eq!(body["l"], json!(["x", 1]));
    assert_eq!(body["t"]["name"], "A \"/?&#é");
}

#[test]
fn without_a_body_the_row_goes_with_what_identifies_it() {
    let made = call("https://crm.example/", None, json!({"id": 1})).unwrap();
    let body: serde_json::Value = serde_json::from_str(&made.body).unwrap();
    let expected =
        json!({"scenario": "s", "activity": "a", "record": "uuid", "party": "7", "row": {"id": 1}});
    assert_eq!(body, expected);
}

#[test]
fn what_leads_elsewhere_or_is_no_json_fails() {
    let dots = json!({"x": "..", "y": "a"});
    let elsewhere = call("https://crm.example/a/{{ record.x }}/b", None, dots.clone());
    assert!(elsewhere.unwrap_err().to_string().contains("leads out of"));
    let broken = call(
        "https://crm.example/",
        Some("{% if true %}[{% endif %}{{ record.y }}"),
        dots,
    );
    let error = broken.unwrap_err();
    assert_eq!(error.part, Part::Payload);
    assert!(error.to_string().starts_with("body: "), "{error}");
}

#[test]
fn mistakes_are_told_when_it_is_written() {
    let names = || Some(Names::new(&json!({"name": null})));
    let check = |url, body| check_webhook(url, body, "en", &Snippets::default(), names());
    let (target, undefined) = check(
        "https://CRM.example/{{ record.name }}",
        Some("[{{ record.name }}]"),
    )
    .unwrap();
    assert_eq!(
        (target.as_str(), undefined.len()),
        ("https://crm.example", 0)
    );
    let (_, undefined) = check("https://crm.example/", Some("[{{ unsubscribe_url }}]")).unwrap();
    assert_eq!(undefined.len(), 1);
    for (url, body) in [
        ("{{ record.name }}", None),
        ("https://crm.example/", Some("\"{{ record.name }}\"")),
        ("https://crm.example/", Some("{{ record.name")),
        ("https://crm.example/", Some("")),
    ] {
        assert!(check(url, body).is_err(), "{url} {body:?}");
    }
    // With statements it is looked at when there is a row.
    assert!(
        check(
            "https://crm.example/",
            Some("{% if record.name %}1{% endif %}")
        )
        .is_ok()
    );
}
