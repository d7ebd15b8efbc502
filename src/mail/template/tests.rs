use serde_json::{Value as Json, json};

use super::*;
use crate::mail::rendered::{Assembled, Consent, Target};

mod campaign;
mod columns;
mod consent;
mod errors;
mod headers;
mod hostile;
mod jinja2;
mod links;
mod null;
mod numbers;
mod own_text;
mod snippets;
mod translations;
mod webhook;

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

#[test]
fn results_come_along_with_the_row_and_are_not_of_it() {
    let row = json!({"name": "Zoë", "": {"voucher": {"code": "V1"}}});
    let of = |row| super::context(row, None, None, None, &recipient(), "welcome", "hello");
    let context = of(row);
    assert_eq!(context["record"], json!({"name": "Zoë"}));
    assert_eq!(context["results"], json!({"voucher": {"code": "V1"}}));
    assert_eq!(of(json!({"name": "Zoë"})).get("results"), None);
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
    let sources = [
        sender.map(source),
        None,
        Some(source(subject)),
        Some(source(body)),
        None,
        None,
        None,
        None,
    ];
    MailTemplate::compile(sources, None, &Snippets::default())
}

fn render(subject: &str, body: &str) -> Result<Rendered, TemplateError> {
    compile(None, subject, body)?.render(&context(), &recipient())
}

fn assembled(rendered: &Rendered) -> Assembled {
    let everything = Consent {
        opens: true,
        clicks: true,
    };
    assembled_with(rendered, everything)
}

fn assembled_with(rendered: &Rendered, consent: Consent) -> Assembled {
    rendered.assemble(consent, false, url_of)
}

fn url_of(target: Target) -> String {
    match target {
        Target::Link(index) => format!("https://t.example/c/{index}"),
        Target::Unsubscribe(page) => format!("https://t.example/u/{page:?}&x"),
        Target::Preferences => "https://t.example/p/1".into(),
        Target::Confirm => "https://t.example/s/1".into(),
        Target::Browser => "https://t.example/v/1".into(),
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
fn templates_can_be_shared_between_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    shared(&compile(None, "s", "b").unwrap());
}
