//! The page as a whole.

use serde_json::{Value, json};

use super::{STYLE, page};

fn report() -> Value {
    json!({
        "name": "welcome", "title": "Welcome <shop>", "state": "running", "from": null, "to": "2026-03-31", "now": "2026-04-01T09:30:00",
        "records": 300_000, "blocked": 3, "held_out": 30_000, "conversions": 12, "value": "1234.50",
        "mails": [
            mail("hello", None, 1, 1000, 400),
            mail("<script>alert(1)</script>", Some("hello"), 2, 0, 0),
        ],
        "links": [{"mail": "hello", "label": "Buy <now>", "link": "https://shop.example/?a=\"><img><b>", "people": 7, "clicks": 9, "share": 1.0,
                   "robots": 2}],
        "links_left": 4,
        "domains": {"unit": "day", "starts": ["2026-03-01", "2026-03-02"], "rows": [
            {"domain": "example.org", "others": false, "sent": 700, "opened": 300, "failed": 7, "returned": 3, "complaints": 1,
             "deferrals": 0, "taken": [600, 100], "lost": [0, 10]},
            {"domain": null, "others": true, "sent": 1, "opened": 0, "failed": 0, "returned": 0, "complaints": 0, "deferrals": 0,
             "taken": [1, 0], "lost": [0, 0]}]},
        "hours": [[0, 300, 20], [1, 50, 10], [72, 50, 0]],
        "cohorts": [{"week": "2026-03-02", "entered": 100, "mailed": 90, "in_1": 1, "in_7": 2, "in_30": 4, "value": "80"}],
        "cohorts_left": 0,
        "comparisons": [{"about": null, "metric": "conversions", "groups": [
            {"kind": "mailed", "people": 270_000, "reached": 5400}, {"kind": "held_out", "people": 30_000, "reached": 450}],
            "effects": [{"difference": 0.005, "low": 0.003, "high": 0.007}]},
            {"about": "hello & more", "metric": "opens", "groups": [
            {"name": "plain", "people": 100, "reached": 20, "winner": false}, {"name": "witty", "people": 100, "reached": 40, "winner": true},
            {"kind": "rest", "people": 800, "reached": null, "winner": false}],
            "effects": [{"name": "witty", "difference": 0.2, "low": 0.07, "high": 0.32}]}],
    })
}

fn mail(name: &str, parent: Option<&str>, depth: u32, sent: i64, opened: i64) -> Value {
    json!({
        "name": name, "parent": parent, "depth": depth, "on_event": parent.map(|_| "email_opened"),
        "delay": parent.map(|_| "3 days"), "sends": true, "done": sent, "skipped": 0, "waiting": 5, "cancelled": 0, "failed": 0,
        "under_way": 0, "sent": sent, "not_sent": 1, "opened": opened, "clicked": 30, "returned": 0, "unsubscribed": 2,
        "complaints": 0, "conversions": 12, "value": "1234.50",
    })
}

fn shown(report: Value, language: &str) -> String {
    page(report, language).expect("the numbers are complete")
}

/// The page without its style sheet.
fn body(html: &str) -> &str {
    html.split("</style>").nth(1).unwrap_or_default()
}

#[test]
fn what_people_wrote_is_escaped() {
    let html = shown(report(), "en");
    assert!(!html.contains("<script"), "{html}");
    assert!(!html.contains("<img"), "{html}");
    assert!(html.contains("Welcome &lt;shop&gt;"), "{html}");
    assert!(
        html.contains("&lt;script&gt;") && html.contains("Buy &lt;now&gt; · "),
        "{html}"
    );
}

#[test]
fn nothing_is_loaded_and_no_style_stands_outside_of_the_style_sheet() {
    let html = shown(report(), "en");
    for forbidden in ["src=", "href=", "style=", "@import", "url(", "onload"] {
        let attribute = format!(" {forbidden}");
        assert!(
            !body(&html).contains(&attribute) && !STYLE.contains(forbidden),
            "{forbidden}"
        );
    }
    assert_eq!(html.matches("<style>").count(), 1);
    assert!(
        !STYLE.contains('<'),
        "a style sheet with a tag would end early"
    );
}

#[test]
fn each_picture_says_in_words_what_it_shows() {
    let html = shown(report(), "en");
    let pictures = html.matches("<svg").count();
    assert!(pictures >= 6, "{pictures}");
    for part in ["role=\"img\"", "<title id=", "<desc id="] {
        assert_eq!(html.matches(part).count(), pictures, "{part}");
    }
    for picture in html.split("<svg").skip(1) {
        let labels = picture
            .split("aria-labelledby=\"")
            .nth(1)
            .and_then(|rest| rest.split('"').next());
        for label in labels.unwrap_or_default().split(' ') {
            assert_eq!(
                html.matches(&format!("id=\"{label}\"")).count(),
                1,
                "{label}"
            );
        }
    }
    assert!(html.contains("Sent: 1,000; Opened: 400 (40.0%)"), "{html}");
    assert!(html.contains("Most: 600 (Mar 1, 2026)"), "{html}");
}

#[test]
fn numbers_stand_beside_the_pictures() {
    let html = shown(report(), "en");
    for text in [
        "Half of the first opens came within 1 h",
        "+0.5",
        "+0.3 … +0.7",
        "The interval does not hold zero.",
        "4 more are not shown.",
        "4 (4.0%)",
        "until Mar 31, 2026",
        "≥ 72",
        "1,234.5",
    ] {
        assert!(html.contains(text), "{text}: {html}");
    }
}

#[test]
fn an_experiment_has_its_own_measure_its_winner_and_its_rest() {
    let html = shown(report(), "en");
    for text in [
        "Comparison: hello &amp; more",
        "<th scope=\"col\">Opened</th></tr>",
        "witty (winner)",
        "<td>40 (40.0%)</td>",
        "<th scope=\"row\">The rest</th><td>800</td><td></td>",
        "+7.0 … +32.0",
    ] {
        assert!(html.contains(text), "{text}: {html}");
    }
}

#[test]
fn a_variant_is_told_as_one_of_its_parents_mail() {
    let mut report = report();
    report["mails"][1]["on_event"] = json!("variant");
    report["mails"][1]["sends"] = json!(false);
    let html = shown(report, "en");
    assert!(
        html.contains("<p class=\"note\">variant of “hello”</p>") && !html.contains("Done"),
        "{html}"
    );
}

#[test]
fn the_page_speaks_the_languages_of_the_pages() {
    let german = shown(report(), "de_AT");
    assert!(
        german.contains("<html lang=\"de\" dir=\"ltr\">") && german.contains("Geöffnet"),
        "{german}"
    );
    let arabic = shown(report(), "ar");
    assert!(
        arabic.contains("<html lang=\"ar\" dir=\"rtl\">"),
        "{arabic}"
    );
    assert!(shown(report(), "tlh").contains("Opened"));
}

/// The events on which an activity may follow another, as its table says.
fn events() -> Vec<&'static str> {
    let table = include_str!("../../sql/tables/definitions.sql");
    let list = table
        .split("check (on_event in (")
        .nth(1)
        .and_then(|rest| rest.split(')').next())
        .expect("the table lists them");
    list.split(',')
        .map(|event| event.trim().trim_matches('\''))
        .collect()
}

#[test]
fn each_event_is_said_in_words_in_each_language() {
    let events = events();
    assert!(events.len() > 10, "{events:?}");
    for language in [
        "ar", "de", "en", "es", "fr", "it", "nl", "pl", "pt", "pt_BR",
    ] {
        let mut said: Vec<String> = Vec::new();
        for event in &events {
            let mut with = report();
            with["mails"][1]["on_event"] = json!(event);
            let html = body(&shown(with, language)).to_owned();
            assert!(
                !html.contains(event) || *event == "variant",
                "{language}: {event}"
            );
            assert!(
                !said.contains(&html),
                "{language}: {event} is said as another one"
            );
            said.push(html);
        }
    }
}

#[test]
fn a_scenario_without_anything_has_a_page() {
    let mut empty = report();
    for list in ["mails", "links", "hours", "cohorts", "comparisons"] {
        empty[list] = json!([]);
    }
    empty["domains"] = json!({"unit": "day", "starts": [], "rows": []});
    empty["value"] = Value::Null;
    empty["title"] = Value::Null;
    let html = shown(empty, "en");
    assert!(
        html.matches("Nothing yet.").count() == 5 && !html.contains("<svg"),
        "{html}"
    );
    assert!(html.contains("<bdi>welcome</bdi>"), "{html}");
}

#[test]
fn numbers_that_lack_something_are_an_error() {
    let mut broken = report();
    broken["records"] = json!("many");
    assert!(page(broken, "en").is_err());
    assert!(page(json!({}), "en").is_err());
}
