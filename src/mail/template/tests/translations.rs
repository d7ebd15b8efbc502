use super::*;

fn texts(subject: Option<&str>, body: Option<&str>) -> Texts {
    Texts {
        subject: subject.map(str::to_owned),
        body: body.map(str::to_owned),
        ..Texts::default()
    }
}

fn mail(translations: &Translations, language: &str) -> (String, String) {
    let template = translations
        .compile(&translations.choose(language))
        .unwrap();
    let recipient = Recipient {
        language: language.to_owned(),
        time_zone: "America/Toronto".to_owned(),
    };
    let mail = assembled(&template.render(&context(), &recipient).unwrap());
    let plain = |text: &str| text.replace(['\u{a0}', '\u{202f}'], " ").trim().to_owned();
    (plain(&mail.subject), plain(&mail.text))
}

#[test]
fn each_part_falls_back_by_itself_and_is_formatted_in_its_own_language() {
    let mut translations = Translations::new("en", Arc::default());
    let date = "{{ record.ordered_at | format_datetime('long') }}";
    translations.add(
        "",
        texts(
            Some(&format!("Since {date}")),
            Some("{{ record.total | format_number }}"),
        ),
    );
    translations.add("fr_CA", texts(Some(&format!("Depuis le {date}")), None));
    translations.add(
        "fr",
        texts(None, Some("{{ record.total | format_number }} !")),
    );
    for (language, subject, text) in [
        // English words take no Portuguese dates, but the recipient's time.
        ("pt-BR", "Since November 24, 2026 at 12:37 AM", "1,234.5"),
        ("en_GB", "Since 24 November 2026 at 00:37", "1,234.5"),
        ("", "Since November 24, 2026 at 12:37 AM", "1,234.5"),
        ("fr-CA", "Depuis le 24 novembre 2026 à 00 h 37", "1 234,5 !"),
        (
            "fr_BE.UTF-8",
            "Since November 24, 2026 at 12:37 AM",
            "1 234,5 !",
        ),
        ("de", "Since November 24, 2026 at 12:37 AM", "1,234.5"),
    ] {
        assert_eq!(
            mail(&translations, language),
            (subject.to_owned(), text.to_owned()),
            "{language}"
        );
    }
}

#[test]
fn replies_go_where_the_recipients_language_says() {
    let mut translations = Translations::new("en", Arc::default());
    let reply_to = |text: &str| Texts {
        reply_to: Some(text.to_owned()),
        ..texts(Some("s"), Some("b"))
    };
    let of = |translations: &Translations, language| {
        let template = translations
            .compile(&translations.choose(language))
            .unwrap();
        let mail = template.render(&context(), &recipient()).unwrap();
        assembled(&mail).reply_to
    };
    translations.add("fr", reply_to("{{ record.nothing }} ,\n"));
    // Without one of its own for all others, they reply to the sender, as who gets none of a template does.
    assert_eq!(of(&translations, "de"), None);
    assert_eq!(of(&translations, "fr"), None);
    translations.add(
        "fr-CA",
        reply_to("Aide\n<aide@shop.example>, {{ scenario.name }}@shop.example"),
    );
    assert_eq!(
        of(&translations, "fr_CA").as_deref(),
        Some("Aide <aide@shop.example>, welcome@shop.example")
    );
    translations.add("", reply_to("help@shop.example"));
    assert_eq!(
        of(&translations, "de").as_deref(),
        Some("help@shop.example")
    );
}

#[test]
fn recipients_share_compiled_templates_whatever_their_languages() {
    let mut snippets = Snippets::default();
    snippets.add("footer", "", "Bye".to_owned());
    snippets.add("footer", "fr-CA", "Bye-bye".to_owned());
    snippets.add("footer", "fr", "Au revoir".to_owned());
    let mut translations = Translations::new("en", Arc::new(snippets));
    translations.add("", texts(Some("s"), Some("{% include 'footer' %}")));
    translations.add("fr", texts(None, Some("{% include 'footer' %} !")));
    let choice = |language| translations.choose(language);
    assert_eq!(choice("xx-1"), choice("yy"));
    assert_eq!(choice("fr-BE"), choice("fr"));
    assert_ne!(choice("fr-BE"), choice("fr-CA"));
    assert_eq!(choice("fr_CA.UTF-8"), choice("FR-ca"));
    for (language, text) in [
        ("en-US", "Bye"),
        ("de", "Bye"),
        ("fr-BE", "Au revoir !"),
        ("fr-CA", "Bye-bye !"),
    ] {
        assert_eq!(mail(&translations, language).1, text, "{language}");
    }
}
