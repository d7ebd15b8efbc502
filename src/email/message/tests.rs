use std::time::{Duration, UNIX_EPOCH};

use super::*;

fn letter() -> Letter<'static> {
    Letter {
        from: "Shop <shop@example.org>",
        to_address: "zoe@example.com",
        to_name: Some("Zoë \"Z\" Müller, Dr."),
        return_path: None,
        subject: "Grüße: 20 % für dich",
        html: "<p>Grüße</p>\n.\n<a href=\"https://t.example/c/1\">x</a>",
        text: "Gruesse\n.\nFrom here",
        message_id: "m1.a2@example.org",
        date: UNIX_EPOCH + Duration::from_secs(1_795_498_629),
        unsubscribe_url: Some("https://t.example/u/abc"),
        feedback_id: Some("12:scenario3:marketing"),
    }
}

fn header<'a>(mail: &'a str, name: &str) -> Option<&'a str> {
    let prefix = format!("{name}: ");
    mail.split("\r\n")
        .take_while(|line| !line.is_empty())
        .find_map(|line| line.strip_prefix(&prefix))
}

fn text(mail: &Mail) -> String {
    String::from_utf8(mail.bytes().to_vec()).unwrap()
}

#[test]
fn headers_are_those_of_an_automatic_bulk_mail() {
    let mail = build(&letter()).unwrap();
    let text = text(&mail);
    assert_eq!(header(&text, "From"), Some("Shop <shop@example.org>"));
    assert_eq!(header(&text, "Message-ID"), Some("<m1.a2@example.org>"));
    assert_eq!(
        header(&text, "Date"),
        Some("Tue, 24 Nov 2026 05:37:09 +0000")
    );
    assert_eq!(header(&text, "MIME-Version"), Some("1.0"));
    assert_eq!(
        header(&text, "List-Unsubscribe"),
        Some("<https://t.example/u/abc>")
    );
    assert_eq!(
        header(&text, "List-Unsubscribe-Post"),
        Some("List-Unsubscribe=One-Click")
    );
    assert_eq!(header(&text, "Auto-Submitted"), Some("auto-generated"));
    assert_eq!(header(&text, "Precedence"), Some("bulk"));
    assert_eq!(header(&text, "Feedback-ID"), Some("12:scenario3:marketing"));
    assert!(
        header(&text, "Subject").unwrap().starts_with("=?utf-8?b?"),
        "{text}"
    );
    assert!(
        header(&text, "To").unwrap().contains("=?utf-8?b?"),
        "{text}"
    );
    assert!(text.contains("<zoe@example.com>"), "{text}");
    assert!(
        header(&text, "Content-Type")
            .unwrap()
            .starts_with("multipart/alternative"),
        "{text}"
    );
    let plain = text
        .find("Content-Type: text/plain; charset=utf-8")
        .unwrap();
    assert!(plain < text.find("Content-Type: text/html; charset=utf-8").unwrap());
    assert_eq!(mail.recipient(), "zoe@example.com");
}

#[test]
fn bounces_go_to_the_return_path_or_to_the_sender() {
    let sender = |return_path| {
        let mail = build(&Letter {
            return_path,
            ..letter()
        })
        .unwrap();
        assert!(!text(&mail).contains("Return-Path"));
        mail.envelope.from().unwrap().to_string()
    };
    assert_eq!(sender(None), "shop@example.org");
    assert_eq!(
        sender(Some("bounces+abc@example.net")),
        "bounces+abc@example.net"
    );
}

#[test]
fn the_same_letter_without_optional_fields_has_no_list_headers() {
    let mail = build(&Letter {
        to_name: None,
        unsubscribe_url: None,
        feedback_id: None,
        ..letter()
    })
    .unwrap();
    let text = text(&mail);
    assert_eq!(header(&text, "To"), Some("zoe@example.com"));
    for name in ["List-Unsubscribe", "List-Unsubscribe-Post", "Feedback-ID"] {
        assert_eq!(header(&text, name), None);
    }
}

#[test]
fn bytes_are_ascii_lines_of_at_most_998_and_every_part_is_encoded() {
    let long = "é".repeat(5_000) + &"x".repeat(5_000) + "\r\n.\r\nMAIL FROM:<a@b>\n.\n\r\r";
    let url = format!("https://t.example/u/{}", "t".repeat(700));
    let mail = build(&Letter {
        html: &long,
        text: &long,
        unsubscribe_url: Some(&url),
        ..letter()
    })
    .unwrap();
    let text = text(&mail);
    assert!(text.is_ascii());
    assert!(
        text.split("\r\n")
            .all(|line| line.len() <= 998 && !line.contains(['\r', '\n']))
    );
    assert!(
        text.split("\r\n")
            .all(|line| line != "." && !line.starts_with("MAIL FROM"))
    );
    assert_eq!(
        header(&text, "List-Unsubscribe"),
        Some(format!("<{url}>").as_str())
    );
    let encoded = text
        .matches("Content-Transfer-Encoding: quoted-printable")
        .count()
        + text.matches("Content-Transfer-Encoding: base64").count();
    assert_eq!(encoded, 2);
}

#[test]
fn control_characters_are_errors_in_every_field() {
    for c in [
        '\r', '\n', '\0', '\u{1}', '\u{7f}', '\u{85}', '\u{2028}', '\u{2029}',
    ] {
        let bad = format!("a{c}b");
        let bad_name = format!("a{c}\u{1}b");
        let bad_sender = format!("a{c}b <a@b.org>");
        let url = format!("https://t.example/{c}");
        for letter in [
            Letter {
                from: &bad_sender,
                ..letter()
            },
            Letter {
                to_address: &bad,
                ..letter()
            },
            Letter {
                to_name: Some(&bad_name),
                ..letter()
            },
            Letter {
                subject: &bad,
                ..letter()
            },
            Letter {
                message_id: &bad,
                ..letter()
            },
            Letter {
                unsubscribe_url: Some(&url),
                ..letter()
            },
            Letter {
                feedback_id: Some(&bad),
                ..letter()
            },
        ] {
            let error = build(&letter).unwrap_err();
            assert!(
                matches!(error, LetterError::ControlCharacter { .. }),
                "{error}"
            );
        }
    }
}

#[test]
fn white_space_around_addresses_and_in_names_does_no_harm() {
    for (name, shown) in [
        (
            "a\r\nBcc: x@y",
            "=?utf-8?b?YSAgQmNjOiB4QHk=?= <zoe@example.com>",
        ),
        (" Zoe\tM\u{2028}\n", "\"Zoe M\" <zoe@example.com>"),
        ("\r\n", "zoe@example.com"),
    ] {
        let mail = build(&Letter {
            to_name: Some(name),
            to_address: "\tzoe@example.com\r\n",
            ..letter()
        })
        .unwrap();
        assert_eq!(header(&text(&mail), "To"), Some(shown));
        assert_eq!(mail.recipient(), "zoe@example.com");
    }
    for to_name in ["a\0", "a\u{7f}b", "\u{1b}[1m"] {
        let to_name = Some(to_name);
        assert!(
            build(&Letter {
                to_name,
                ..letter()
            })
            .is_err()
        );
    }
}

#[test]
fn long_words_and_what_looks_encoded_are_encoded() {
    let long = "x".repeat(1_900);
    let name = "n".repeat(5_000);
    let mail = build(&Letter {
        subject: &long,
        to_name: Some(&name),
        ..letter()
    })
    .unwrap();
    let shown = text(&mail);
    assert!(shown.split("\r\n").all(|line| line.len() <= 998), "{shown}");
    let cut = format!("To: {} <zoe", "n".repeat(MAX_NAME_CHARACTERS));
    assert!(shown.contains(&cut), "{shown}");
    let forged = "=?utf-8?q?Bank?=";
    let mail = build(&Letter {
        from: "\"=?utf-8?q?Bank?=\" <shop@example.org>",
        to_name: Some(forged),
        subject: "1 =?utf-8?q?Bank?= é and a text that is a little longer",
        ..letter()
    })
    .unwrap();
    let shown = text(&mail);
    assert!(!shown.contains("?Bank?"), "{shown}");
    assert!(
        shown.contains("To: =?utf-8?b?PT91dGYtOD9xP0Jhbms/PQ==?=\r\n <zoe@example.com>\r\n"),
        "{shown}"
    );
    assert!(
        shown.contains("From: =?utf-8?b?PT91dGYtOD9xP0Jhbms/PQ==?=\r\n <shop@example.org>\r\n"),
        "{shown}"
    );
    assert_eq!(
        shown.matches("\r\nTo: ").count() + shown.matches("\r\nSubject: ").count(),
        2
    );
    let subject = shown.split("Subject: ").nth(1).unwrap();
    let subject: Vec<&str> = subject
        .split("\r\n")
        .take_while(|line| line.contains("=?"))
        .collect();
    assert!(
        subject.len() == 2 && subject.iter().all(|line| line.len() <= 76),
        "{shown}"
    );
}

#[test]
fn lines_that_stay_too_long_are_refused() {
    let url = format!("https://t.example/u/{}", "t".repeat(1_000));
    let error = build(&Letter {
        unsubscribe_url: Some(&url),
        ..letter()
    })
    .unwrap_err();
    assert!(
        error.to_string().starts_with("message has a line of ")
            && error.to_string().contains("https://t.example/u/ttt"),
        "{error}"
    );
    let from = format!("{} <shop@example.org>", "s".repeat(1_500));
    assert!(
        build(&Letter {
            from: &from,
            ..letter()
        })
        .is_ok()
    );
}

#[test]
fn addresses_are_refused_with_a_reason() {
    for (address, reason) in [
        ("", "it is empty"),
        ("zoe", "it has no @"),
        ("@example.com", "nothing stands before the @"),
        ("zoe@", "nothing stands after the @"),
        ("a@b@example.com", "more than one @"),
        ("\"a b\"@example.com", "a quoted part"),
        ("\"a@b\"@example.com", "a quoted part"),
        ("a@[192.0.2.1]", "an IP address"),
        ("zoe@exa mple.com", "the domain is not well-formed"),
        ("zoe@-x.com", "the domain is not well-formed"),
        (
            "zo e@example.com",
            "the part before the @ is not well-formed",
        ),
        (
            "zoe.@example.com",
            "the part before the @ is not well-formed",
        ),
        ("Zoe <zoe@example.com>", "not well-formed"),
        ("a@example.com, b@example.com", "more than one @"),
        (&format!("{}@example.com", "x".repeat(65)), "longer than 64"),
        (
            &format!("x@{}com", "abcdefgh.".repeat(28)),
            "longer than 254",
        ),
    ] {
        let error = build(&Letter {
            to_address: address,
            ..letter()
        })
        .unwrap_err()
        .to_string();
        assert!(
            error.starts_with(&format!("recipient address {address:?} is no address: ")),
            "{error}"
        );
        assert!(error.contains(reason), "{error}");
        assert!(check_address(address).is_err());
    }
}

#[test]
fn an_address_outside_ascii_stands_in_utf8_and_only_there() {
    for (name, to) in [
        (None, "To: zoë@xn--bcher-kva.example\r\n"),
        (
            Some("Zoë"),
            "To: =?utf-8?b?Wm/Dqw==?=\r\n <zoë@xn--bcher-kva.example>\r\n",
        ),
    ] {
        let mail = build(&Letter {
            to_address: "zoë@bücher.example",
            to_name: name,
            ..letter()
        })
        .unwrap();
        assert!(mail.smtputf8);
        assert_eq!(mail.recipient(), "zoë@xn--bcher-kva.example");
        let text = text(&mail);
        assert!(text.contains(to), "{text}");
        assert!(text.replace(to, "").is_ascii());
    }
    assert!(!build(&letter()).unwrap().smtputf8);
    let error = build(&Letter {
        from: "zoë@example.org",
        ..letter()
    })
    .unwrap_err();
    assert!(error.to_string().contains("RFC 6531"), "{error}");
}

#[test]
fn domains_outside_ascii_become_punycode() {
    let mail = build(&Letter {
        to_address: " zoe@Bücher.example ",
        ..letter()
    })
    .unwrap();
    assert_eq!(mail.recipient(), "zoe@xn--bcher-kva.example");
    assert!(text(&mail).contains("<zoe@xn--bcher-kva.example>"));
    for address in ["a+b@example.com", "o'hara@example.co.uk"] {
        assert!(check_address(address).is_ok(), "{address}");
    }
}

#[test]
fn senders_may_be_quoted_or_bare() {
    for (from, shown) in [
        ("shop@example.org", "shop@example.org"),
        ("<shop@example.org>", "shop@example.org"),
        (
            "\"Shop, Inc.\" <shop@example.org>",
            "=?utf-8?b?U2hvcCwgSW5jLg==?= <shop@example.org>",
        ),
        (
            "Shop, Inc. <shop@example.org>",
            "=?utf-8?b?U2hvcCwgSW5jLg==?= <shop@example.org>",
        ),
        (
            r#""A \"B\"" <shop@example.org>"#,
            r#""A \"B\"" <shop@example.org>"#,
        ),
    ] {
        let mail = build(&Letter { from, ..letter() }).unwrap();
        assert_eq!(header(&text(&mail), "From"), Some(shown));
    }
    let error = build(&Letter {
        from: "Shop shop@example.org>",
        ..letter()
    })
    .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("sender \"Shop shop@example.org>\" is no address"),
        "{error}"
    );
    let mail = build(&Letter {
        from: "Läden <shop@example.org>",
        ..letter()
    })
    .unwrap();
    assert_eq!(
        header(&text(&mail), "From"),
        Some("=?utf-8?b?TMOkZGVu?= <shop@example.org>")
    );
}

#[test]
fn message_ids_and_urls_must_fit_their_headers() {
    for id in ["", "x", "@x", "x@", "a b@c", "<a@b>", "a@b@c", "é@b"] {
        assert!(
            build(&Letter {
                message_id: id,
                ..letter()
            })
            .is_err(),
            "{id}"
        );
    }
    for url in [
        "",
        "ftp://x",
        "javascript:x",
        "https://x/ y",
        "https://x/>",
        "https://é.example/",
    ] {
        assert!(
            build(&Letter {
                unsubscribe_url: Some(url),
                ..letter()
            })
            .is_err(),
            "{url}"
        );
    }
}
