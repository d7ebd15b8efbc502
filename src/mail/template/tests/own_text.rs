use super::*;

/// The mail of a subject, a body, and a preheader or a text of its own.
fn mail(
    body: &str,
    preheader: Option<&str>,
    text: Option<&str>,
) -> Result<Rendered, TemplateError> {
    let source = |text| Source {
        text,
        language: "fr",
        snippets: "",
    };
    let sources = [
        None,
        None,
        Some(source("s")),
        Some(source(body)),
        preheader.map(source),
        text.map(source),
        None,
        None,
    ];
    MailTemplate::compile(sources, None, &Snippets::default())?.render(&context(), &recipient())
}

const BODY: &str =
    r#"<html><body><p>Hello <a href="https://shop.example/a">you</a></p></body></html>"#;

#[test]
fn who_has_neither_gets_what_he_got() {
    let plain = assembled(&render("s", BODY).unwrap());
    for (preheader, text) in [
        (None, None),
        (Some(""), Some("")),
        (Some(" {{ record.nothing }}"), Some(" \n")),
    ] {
        assert_eq!(assembled(&mail(BODY, preheader, text).unwrap()), plain);
    }
}

#[test]
fn a_preheader_is_in_the_html_and_not_in_the_text() {
    let plain = assembled(&render("s", BODY).unwrap());
    let preheader =
        "News for\n{{ record.first_name }} & all: {{ short('https://shop.example/a') }}";
    let with = assembled(&mail(BODY, Some(preheader), None).unwrap());
    assert_eq!(with.text, plain.text);
    let (before, after) = with.html.split_once("<div style=\"display:none").unwrap();
    assert_eq!(before, "<html><body>");
    let (hidden, after) = after.split_once("</div>").unwrap();
    assert_eq!(format!("{before}{after}"), plain.html);
    let shown = html_escape::decode_html_entities(hidden);
    assert!(
        hidden.contains(">News for Zoë &lt;b&gt; &amp; all: https://t.example/c/0&#847;"),
        "{hidden}"
    );
    assert!(shown.ends_with("\u{34f}\u{200c}\u{a0}"), "{hidden}");
    // That of MJML stands in the body that it becomes.
    let mjml = "<mjml><mj-body><mj-section><mj-column><mj-text>Hello</mj-text></mj-column></mj-section></mj-body></mjml>";
    let html = assembled(&mail(mjml, Some("News"), None).unwrap()).html;
    let at = html.find("<div style=\"display:none").unwrap();
    assert!(
        html[..at].trim_end().ends_with('>') && html[..at].contains("<body"),
        "{}",
        &html[..at]
    );
    assert!(html[..at].rfind("<body") > html[..at].rfind("</head>"));
}

#[test]
fn a_text_of_its_own_takes_the_place_of_that_of_the_html() {
    let text = "Hi {{ record.first_name }},\n\nhttps://shop.example/a and https://shop.example/{{ 6 * 7 }}.\n{{ unsubscribe_url }}\n";
    let rendered = mail(BODY, None, Some(text)).unwrap();
    assert_eq!(
        rendered.links(),
        ["https://shop.example/a", "https://shop.example/42"]
    );
    let both = assembled(&rendered);
    assert_eq!(
        both.text,
        "Hi Zoë <b>,\n\nhttps://t.example/c/0 and https://t.example/c/1.\nhttps://t.example/u/None&x"
    );
    assert_eq!(both.html, assembled(&render("s", BODY).unwrap()).html);
    let unasked = Consent {
        opens: true,
        clicks: false,
    };
    assert!(
        assembled_with(&rendered, unasked)
            .text
            .contains("https://shop.example/a and https://shop.example/42.")
    );
}

#[test]
fn what_is_wrong_names_the_part() {
    for (preheader, text, message) in [
        (Some("{{"), None, "preheader, line 1"),
        (None, Some("a\n{% if %}"), "text, line 2"),
        (
            Some("{{ record.none }}"),
            None,
            "preheader, line 1, column 4: undefined value",
        ),
        (None, Some("{{ 1 / 0 }}"), "text, line 1"),
        (
            Some("{{ 'x' * 3000 }}"),
            None,
            "preheader: result is longer than 2000 bytes",
        ),
    ] {
        let error = mail(BODY, preheader, text).unwrap_err().to_string();
        assert!(error.starts_with(message), "{error}");
    }
}

#[test]
fn both_go_with_the_body_of_their_language() {
    let texts = |body: Option<&str>, preheader: Option<&str>, text: Option<&str>| Texts {
        subject: Some("s".to_owned()),
        body: body.map(str::to_owned),
        preheader: preheader.map(str::to_owned),
        text: text.map(str::to_owned),
        ..Texts::default()
    };
    let mut translations = Translations::new("en", Arc::default());
    translations.add(
        "",
        texts(Some("<p>en</p>"), Some("pre en"), Some("text en")),
    );
    translations.add("fr", texts(Some("<p>fr</p>"), None, None));
    translations.add("fr-CA", texts(None, None, Some("text fr-CA")));
    translations.add("de", texts(None, Some("pre de"), None));
    for (language, preheader, text) in [
        ("en", Some("pre en"), "text en"),
        ("fr", None, "fr\n"),
        ("fr-CA", None, "text fr-CA"),
        ("de", Some("pre de"), "text en"),
    ] {
        let template = translations
            .compile(&translations.choose(language))
            .unwrap();
        let mail = assembled(&template.render(&context(), &recipient()).unwrap());
        assert_eq!(mail.text, text, "{language}");
        assert_eq!(
            mail.html.contains("display:none"),
            preheader.is_some(),
            "{language}"
        );
        assert!(
            preheader.is_none_or(|words| mail.html.contains(words)),
            "{language}"
        );
    }
}

#[test]
fn style_sheets_are_written_into_elements_where_that_is_wanted() {
    let body = r#"<style>a, p {color: teal} .off {display: none}</style><p>Hello <a href="https://shop.example/{{ 7 }}">you</a></p><p class="off">gone</p>"#;
    let mail = |inline: bool| {
        let mut translations = Translations::new("en", Arc::default());
        let text = |text: &str| Some(text.to_owned());
        translations.add(
            "",
            Texts {
                subject: text("s"),
                body: text(body),
                preheader: text("News"),
                ..Texts::default()
            },
        );
        if inline {
            translations.inline_css();
        }
        let template = translations.compile(&translations.choose("en")).unwrap();
        assembled(&template.render(&context(), &recipient()).unwrap())
    };
    let (plain, inlined) = (mail(false), mail(true));
    assert!(
        plain
            .html
            .contains(r#"<p>Hello <a href="https://t.example/c/0">you</a></p><p class="off">"#)
    );
    assert!(
        inlined.html.contains(
            r#"<p style="color:teal;">Hello <a style="color:teal;" href="https://t.example/c/0">you</a></p><p style="color:teal;display:none;" class="off">"#
        ),
        "{}",
        inlined.html
    );
    assert!(
        inlined
            .html
            .contains("<style>a, p {color: teal} .off {display: none}</style>")
    );
    // What does not show is not in the text.
    assert!(
        plain.text.contains("gone") && !inlined.text.contains("gone"),
        "{}",
        inlined.text
    );
}
