//! Parameters that links to own hosts get.

use super::*;
use crate::mail::template::{CampaignSource, check_campaign};

fn source(utm: &str) -> CampaignSource {
    CampaignSource {
        utm: utm.to_owned(),
        hosts: "shop.example".to_owned(),
        language: "fr".to_owned(),
    }
}

fn tagged(utm: &str, body: &str) -> Rendered {
    let text = |text| {
        Some(Source {
            text,
            language: "fr",
            snippets: "",
        })
    };
    let sources = [None, None, text("s"), text(body), None, None, None, None];
    MailTemplate::compile(sources, Some(&source(utm)), &Snippets::default())
        .unwrap()
        .render(&context(), &recipient())
        .unwrap()
}

#[test]
fn links_to_own_hosts_lead_there_with_the_parameters() {
    let rendered = tagged(
        "utm_source=mail&utm_campaign={{ scenario.name }} {{ activity.name }}",
        "<a href='https://shop.example/a?x=1&amp;y#b'>1</a><a href=\"{{ record.url }}&utm_source=own\">2</a>\
         <a href='https://other.example/'>3</a><a href=\"unsubscribe|https://shop.example/bye\">4</a>\
         {{ short('https://shop.example/s') }}",
    );
    assert_eq!(
        rendered.links(),
        [
            "https://shop.example/s?utm_source=mail&utm_campaign=welcome%20hello",
            "https://shop.example/a?x=1&y&utm_source=mail&utm_campaign=welcome%20hello#b",
            "https://shop.example/?a=1&b=2&utm_source=own&utm_campaign=welcome%20hello",
            "https://other.example/",
            "https://shop.example/bye",
        ]
    );
    // Who is not to be tracked gets them, too.
    let mail = assembled_with(
        &rendered,
        Consent {
            opens: false,
            clicks: false,
        },
    );
    let link =
        "https://shop.example/a?x=1&amp;y&amp;utm_source=mail&amp;utm_campaign=welcome%20hello#b";
    assert!(mail.html.contains(link), "{}", mail.html);
    assert!(
        mail.text.contains(&link.replace("&amp;", "&")),
        "{}",
        mail.text
    );
}

#[test]
fn so_do_links_that_are_not_tracked_and_those_of_mjml() {
    for body in [
        "<a data-no-track href='https://shop.example/?a=1&amp;b'>1</a><a href=https://shop.example/2>2</a>",
        "{{ scenario.name }}<a href=https://shop.example/2>2</a><a data-no-track href='https://shop.example/?a=1&amp;b'>1</a>",
        "{% if true %}<a data-no-track href='{{ record.url }}'>1</a>{% endif %}<a href=https://shop.example/2>2</a>",
    ] {
        let rendered = tagged("utm_source=m", body);
        assert_eq!(
            rendered.links(),
            ["https://shop.example/2?utm_source=m"],
            "{body}"
        );
        let html = assembled(&rendered).html;
        assert!(!html.contains("data-no-track"), "{html}");
        assert!(html.contains("&amp;utm_source=m'>1</a>"), "{html}");
    }
    let rendered = tagged(
        "utm_source=m",
        "<mjml><mj-body><mj-section><mj-column><mj-button href=\"https://shop.example/\">go</mj-button>\
         </mj-column></mj-section></mj-body></mjml>",
    );
    assert_eq!(rendered.links(), ["https://shop.example/?utm_source=m"]);
    // Other addresses keep their bytes.
    let html = "<a data-no-track href=https://other.example/?a&b>1</a><a href='mailto:a@shop.example'>2</a>";
    let kept = assembled(&tagged("utm_source=m", html)).html;
    assert!(
        kept.starts_with(&html.replace(" data-no-track", "")),
        "{kept}"
    );
}

#[test]
fn values_are_encoded_and_empty_ones_left_out() {
    let body = "<a href='https://shop.example/'>1</a>";
    for (utm, url) in [
        (
            "utm_source={{ 'a&utm_x=b#c d%é' }}",
            "https://shop.example/?utm_source=a%26utm_x%3Db%23c%20d%25%C3%A9",
        ),
        (
            "utm_source=\n{{ party.language | default('') }}&utm_medium=mail\n",
            "https://shop.example/?utm_medium=mail",
        ),
        (
            "{% if scenario.name == 'welcome' %}utm_id=1{% endif %}",
            "https://shop.example/?utm_id=1",
        ),
        (
            "{% if scenario.name != 'welcome' %}utm_id=1{% endif %}",
            "https://shop.example/",
        ),
    ] {
        assert_eq!(tagged(utm, body).links(), [url], "{utm}");
    }
}

#[test]
fn what_is_wrong_is_told_when_it_is_written() {
    for (utm, message) in [
        (
            "utm_source={{ record.first_name }}",
            "utm, line 1, column 15: variable \"record\" does not exist",
        ),
        (
            "utm_source={{ party.email }}",
            "utm, line 1, column 15: party has no \"email\"",
        ),
        (
            "utm_source={{ short('https://a.example') }}",
            "utm, line 1, column 15: variable \"short\" does not exist",
        ),
        (
            "utm_source=a&b=c",
            "utm: \"b=c\" is no parameter utm_…=value",
        ),
        (
            "{{ scenario.name }}=a",
            "utm: \"a=a\" is no parameter utm_…=value",
        ),
        (
            "utm_source={{ scenario.name }}%",
            "utm: \"utm_source=a%\" has a % that encodes nothing: write %25",
        ),
    ] {
        let error = check_campaign(&source(utm)).unwrap_err();
        assert_eq!(error.to_string(), message);
        assert!(error.hint.is_some(), "{utm}");
    }
    assert!(check_campaign(&source("utm_source={{")).is_err());
    assert!(
        check_campaign(&source("utm_source={% include 'x' %}"))
            .unwrap_err()
            .lacks_snippet
    );
    for utm in [
        "utm_source=shop&utm_campaign={{ scenario.name }}&utm_content={{ activity.name | lower }}&utm_term={{ party.language }}",
        "{% if activity.name == 'x' %}utm_id=1{% else %}utm_id=2{% endif %}",
    ] {
        assert_eq!(check_campaign(&source(utm)), Ok(()), "{utm}");
    }
}
