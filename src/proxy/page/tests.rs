use super::*;
use crate::proxy::database::{Choice, Confirmation, PageSource};

fn subscription(language: &str, scenario: &str) -> Subscription {
    Subscription {
        language: Some(language.to_owned()),
        scenario: scenario.to_owned(),
        is_titled: true,
        sender: None,
        has_party: true,
        unsubscribed: false,
        everything: false,
        choices: Vec::new(),
    }
}

fn left(everything: bool) -> Subscription {
    Subscription {
        unsubscribed: true,
        everything,
        ..subscription("en", "welcome")
    }
}

fn with_page(name: &str, source: &str) -> Pages {
    Pages::new(vec![PageSource {
        is_template: true,
        name: name.to_owned(),
        language: String::new(),
        source: source.to_owned(),
    }])
}

#[test]
fn the_question_has_one_button_a_choice_and_posts_to_its_own_url() {
    let page = unsubscribe(&Pages::default(), &subscription("en", "welcome"), "T").html;
    assert_eq!(page.matches("<button").count(), 1);
    assert_eq!(page.matches("type=\"radio\"").count(), 2);
    assert!(page.contains("<form method=\"post\">"));
    assert!(page.contains("Those from “<bdi>welcome</bdi>”"));
}

#[test]
fn the_page_names_the_sender_and_no_internal_name() {
    let untitled = Subscription {
        is_titled: false,
        sender: Some("\"Tea, <b> & more\" <news@tea.example>".to_owned()),
        ..subscription("pt_BR", "crm_wave_2")
    };
    let left = Subscription {
        unsubscribed: true,
        ..untitled.clone()
    };
    let pages = Pages::default();
    for page in [
        unsubscribe(&pages, &untitled, "T"),
        unsubscribed(&pages, &left, "T"),
        resubscribed(&pages, &untitled),
    ] {
        assert!(!page.html.contains("crm_wave_2"), "{}", page.html);
        assert!(
            page.html.contains(
                "<p class=\"sender\"><bdi>Tea, &lt;b&gt; &amp; more</bdi><br><bdi>news@tea.example</bdi></p>"
            ),
            "{}",
            page.html
        );
        assert!(page.html.contains("<html lang=\"pt-BR\""), "{}", page.html);
        assert!(page.html.contains("-mails como este"), "{}", page.html);
    }
    // A page of one's own may name it, and gets the texts that do not.
    let own = with_page("unsubscribe", "{{ form }}{{ sender }}|{{ text.effect }}");
    let page = unsubscribe(&own, &untitled, "T").html;
    assert!(page.ends_with("&lt;news@tea.example&gt;|Você não receberá mais e-mails como este."));
    for sender in ["news@tea.example", "no mailbox", ""] {
        let page = unsubscribe(
            &pages,
            &Subscription {
                sender: Some(sender.to_owned()),
                ..untitled.clone()
            },
            "T",
        );
        assert_eq!(page.html.contains("class=\"sender\""), sender.contains('@'));
    }
}

#[test]
fn nobody_is_offered_everything_who_is_not_known() {
    let nobody = Subscription {
        has_party: false,
        ..subscription("en", "welcome")
    };
    let page = unsubscribe(&Pages::default(), &nobody, "T").html;
    assert!(!page.contains("radio") && page.contains("from “<bdi>welcome</bdi>”?"));
    let nobody = Subscription {
        unsubscribed: true,
        ..nobody
    };
    let page = unsubscribed(&Pages::default(), &nobody, "T").html;
    assert!(page.contains("value=\"resubscribe\"") && !page.contains("value=\"everything\""));
}

#[test]
fn who_has_left_is_offered_the_undo_and_the_rest() {
    let pages = Pages::default();
    for page in [
        unsubscribe(&pages, &left(false), "T"),
        unsubscribed(&pages, &left(false), "T"),
    ] {
        assert!(page.html.contains("value=\"resubscribe\""), "{}", page.html);
        assert!(page.html.contains("value=\"everything\""), "{}", page.html);
    }
    let page = unsubscribed(&pages, &left(true), "T").html;
    assert!(page.contains("no more e-mails from us") && !page.contains("value=\"everything\""));
    assert!(
        unsubscribe(&pages, &left(true), "T")
            .html
            .contains("<h1>You are already unsubscribed</h1>")
    );
    assert!(
        !resubscribed(&pages, &subscription("en", "welcome"))
            .html
            .contains("<form")
    );
}

#[test]
fn language_and_direction_follow_the_recipient() {
    let pages = Pages::default();
    let html = |language| unsubscribe(&pages, &subscription(language, "welcome"), "T").html;
    assert!(html("ar-EG").contains("<html lang=\"ar\" dir=\"rtl\">"));
    assert!(html("de").contains("<html lang=\"de\" dir=\"ltr\">"));
    assert_eq!(one_click(&pages, Some("de")), "Sie sind abgemeldet\n");
}

#[test]
fn a_hostile_title_stays_text() {
    let hostile = subscription("\"><script>", "</bdi>{}<script>alert('1')</script>&\"");
    let page = unsubscribe(&Pages::default(), &hostile, "T").html;
    assert!(!page.contains("<script"));
    assert!(
        page.contains("&lt;/bdi&gt;{}&lt;script&gt;alert(&#x27;1&#x27;)&lt;/script&gt;&amp;&quot;")
    );
}

#[test]
fn refusals_are_translated_and_offer_no_form() {
    let pages = Pages::default();
    for page in [
        not_found(&pages, Some("fr-CA")),
        unavailable(&pages, Some("fr-CA")),
    ] {
        assert!(page.html.contains("<html lang=\"fr\""), "{}", page.html);
        assert!(
            !page.html.contains("<form") && !page.html.contains("{}"),
            "{}",
            page.html
        );
    }
}

#[test]
fn pages_need_nothing_from_elsewhere() {
    let page = unsubscribe(&Pages::default(), &subscription("fr", "bienvenue"), "T");
    for forbidden in ["src=", "href=", "url(", "@import", "style=", "onclick"] {
        assert!(!page.html.contains(forbidden), "{forbidden}");
    }
    let policy = page.policy.to_str().unwrap();
    assert!(policy.contains("style-src 'sha256-") && !policy.contains("script-src"));
}

#[test]
fn a_template_replaces_the_page_and_may_not_script() {
    let pages = with_page(
        "unsubscribe",
        "<html dir={{ direction }}><h1>{{ text.this_kind }}</h1>{{ form }}",
    );
    let page = unsubscribe(&pages, &subscription("ar", "<news>"), "T");
    assert!(
        page.html
            .starts_with("<html dir=rtl><h1>رسائل «&lt;news&gt;»</h1><form method=\"post\">")
    );
    let policy = page.policy.to_str().unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("script-src"));
    // The other pages stay as they are.
    assert!(
        unsubscribed(&pages, &left(false), "T")
            .html
            .contains("<!doctype html>")
    );
}

#[test]
fn a_template_that_fails_does_not_keep_anybody_from_leaving() {
    let pages = with_page("unsubscribe", "{{ form }}{{ nonsense }}");
    let page = unsubscribe(&pages, &subscription("en", "welcome"), "T");
    assert!(page.html.contains("<form method=\"post\">"));
}

fn choice(topic: &str, is_wanted: bool, is_pending: bool) -> Choice {
    Choice {
        topic: topic.to_owned(),
        title: format!("{topic} <b> & more"),
        is_wanted,
        is_pending,
        is_own: topic == "news",
    }
}

#[test]
fn topics_are_boxes_and_say_which_were_shown() {
    let mut reader = subscription("de", "News");
    reader.choices = vec![choice("news", true, false), choice("\"sale\"", false, true)];
    let page = preferences(&Pages::default(), &reader, None).html;
    assert_eq!(page.matches("type=\"checkbox\"").count(), 2);
    assert_eq!(page.matches(" checked").count(), 2);
    assert!(page.contains("<html lang=\"de\""));
    assert!(
        page.contains("name=\"shown\" value=\"&quot;sale&quot;\""),
        "{page}"
    );
    assert!(
        page.contains("<bdi>news &lt;b&gt; &amp; more</bdi>"),
        "{page}"
    );
    assert!(page.contains("Noch nicht best\u{e4}tigt"));
    assert!(!page.contains("value=\"undo\"") && !page.contains("<script"));
    let saved = preferences(&Pages::default(), &reader, Some(&["news".to_owned()])).html;
    assert!(saved.contains("value=\"undo\"") && saved.contains("Ihre Auswahl wurde gespeichert."));
    // What is chosen counts for nothing for who has left everything: that is said, with the way back.
    reader.everything = true;
    let page = preferences(&Pages::default(), &reader, None).html;
    assert!(!page.contains("checkbox") && page.contains("value=\"resubscribe\""));
}

#[test]
fn only_the_mail_of_a_topic_leads_to_the_others() {
    let mut reader = subscription("en", "News");
    reader.choices = vec![choice("sale", true, false)];
    let plain = unsubscribe(&Pages::default(), &reader, "T").html;
    assert!(!plain.contains("/p/"));
    reader.choices.push(choice("news", true, false));
    let page = unsubscribe(&Pages::default(), &reader, "T").html;
    assert!(page.contains("<a href=\"/p/T\">Your e-mail preferences</a>"));
}

#[test]
fn a_subscription_is_confirmed_by_a_button() {
    let asked = Confirmation {
        language: Some("fr".to_owned()),
        title: "Offres".to_owned(),
        sender: None,
        is_confirmed: false,
    };
    let page = confirmation(&Pages::default(), &asked).html;
    assert!(page.contains("<form method=\"post\">") && page.contains("<bdi>Offres</bdi>"));
    let done = Confirmation {
        is_confirmed: true,
        ..asked
    };
    assert!(
        !confirmation(&Pages::default(), &done)
            .html
            .contains("<form")
    );
}
