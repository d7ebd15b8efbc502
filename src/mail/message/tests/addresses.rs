//! Of whom and for whom a mail may be.

use super::*;

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
        let mail = build(&Draft {
            to_name: Some(name),
            to_address: "\tzoe@example.com\r\n",
            ..draft()
        })
        .unwrap();
        assert_eq!(header(&text(&mail), "To"), Some(shown));
        assert_eq!(mail.recipient(), "zoe@example.com");
    }
    for (name, shown) in [
        ("a\0", "a <recipient@example.com>"),
        ("a\u{7f}b\u{2029}", "\"a b\" <recipient@example.com>"),
        ("\u{1b}Zoe", "Zoe <recipient@example.com>"),
    ] {
        let mail = build(&Draft {
            to_name: Some(name),
            to_address: "recipient@example.com",
            ..draft()
        });
        assert_eq!(header(&text(&mail.unwrap()), "To"), Some(shown), "{name:?}");
    }
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
        let error = build(&Draft {
            to_address: address,
            ..draft()
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
        let mail = build(&Draft {
            to_address: "zoë@bücher.example",
            to_name: name,
            ..draft()
        })
        .unwrap();
        assert!(mail.smtputf8);
        assert_eq!(mail.recipient(), "zoë@xn--bcher-kva.example");
        let text = text(&mail);
        assert!(text.contains(to), "{text}");
        assert!(text.replace(to, "").is_ascii());
    }
    assert!(!build(&draft()).unwrap().smtputf8);
    let error = build(&Draft {
        from: "zoë@example.org",
        ..draft()
    })
    .unwrap_err();
    assert!(error.to_string().contains("RFC 6531"), "{error}");
}

#[test]
fn domains_outside_ascii_become_punycode() {
    let mail = build(&Draft {
        to_address: " zoe@Bücher.example ",
        ..draft()
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
        let mail = build(&Draft { from, ..draft() }).unwrap();
        assert_eq!(header(&text(&mail), "From"), Some(shown));
    }
    let error = build(&Draft {
        from: "Shop shop@example.org>",
        ..draft()
    })
    .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("sender \"Shop shop@example.org>\" is no address"),
        "{error}"
    );
    let mail = build(&Draft {
        from: "Läden <shop@example.org>",
        ..draft()
    })
    .unwrap();
    assert_eq!(
        header(&text(&mail), "From"),
        Some("=?utf-8?b?TMOkZGVu?= <shop@example.org>")
    );
}

#[test]
fn replies_go_to_mailboxes_of_their_own() {
    let built = |reply_to| {
        text(
            &build(&Draft {
                reply_to: Some(reply_to),
                ..draft()
            })
            .unwrap(),
        )
    };
    for (reply_to, shown) in [
        ("help@example.org", "help@example.org"),
        (
            "Läden <shop@bücher.example>",
            "=?utf-8?b?TMOkZGVu?= <shop@xn--bcher-kva.example>",
        ),
        (
            "Help <help@example.org>, , anna@example.org",
            "Help <help@example.org>, anna@example.org",
        ),
        (
            "\"Shop, Inc.\" <a@example.org>,b@example.org",
            "=?utf-8?b?U2hvcCwgSW5jLg==?= <a@example.org>, b@example.org",
        ),
    ] {
        assert_eq!(
            header(&built(reply_to), "Reply-To"),
            Some(shown),
            "{reply_to}"
        );
    }
    // A name that readers would take for an encoded word of their own.
    let mail = built("=?x?= <a@example.org>, b@example.org");
    assert_eq!(header(&mail, "Reply-To"), Some("=?utf-8?b?PT94Pz0=?="));
    assert!(
        mail.contains("PT94Pz0=?=\r\n <a@example.org>,\r\n b@example.org\r\n"),
        "{mail}"
    );
    // Nothing else changes.
    let plain = text(&build(&draft()).unwrap());
    let without: String = built("help@example.org")
        .split_inclusive("\r\n")
        .filter(|line| !line.starts_with("Reply-To: "))
        .collect();
    let boundary = |mail: &str| {
        mail.split("boundary=\"")
            .nth(1)
            .map(|rest| rest.split('"').next().unwrap().to_owned())
            .unwrap()
    };
    assert_eq!(
        without.replace(&boundary(&without), &boundary(&plain)),
        plain
    );
}

#[test]
fn nobody_writes_headers_by_the_address_for_replies() {
    for reply_to in [
        "a@example.org\r\nBcc: x@example.org",
        "a@example.org\nx",
        "A\u{85} <a@example.org>",
        "a@example.org Bcc: x@example.org",
        "a@example.org>, x",
        "A <a@example.org> x@example.org",
        "shop@",
        "zoë@example.org",
        ",",
    ] {
        let error = build(&Draft {
            reply_to: Some(reply_to),
            ..draft()
        })
        .unwrap_err()
        .to_string();
        assert!(error.starts_with("reply-to "), "{error}");
    }
}

#[test]
fn copies_stand_in_the_envelope_and_only_those_of_cc_in_the_header() {
    let cc = [
        "Läden <shop@bücher.example>",
        "\"Berg, Eva\" <eva@example.org>",
    ];
    let mail = build(&Draft {
        cc: &cc.map(str::to_owned),
        bcc: &["Archive <archive@example.org>".to_owned()],
        ..draft()
    })
    .unwrap();
    assert_eq!(mail.recipient(), "zoe@example.com");
    assert_eq!(
        mail.copies().collect::<Vec<_>>(),
        [
            "shop@xn--bcher-kva.example",
            "eva@example.org",
            "archive@example.org"
        ]
    );
    let copied = text(&mail);
    let line = "\r\nCc: =?utf-8?b?TMOkZGVu?= <shop@xn--bcher-kva.example>, =?utf-8?b?QmVyZywg?=\r\n =?utf-8?b?RXZh?= <eva@example.org>\r\n";
    assert!(copied.contains(line), "{copied}");
    assert!(!copied.to_lowercase().contains("archive"), "{copied}");
    for copy in [
        "a@example.org\r\nBcc: x@example.org",
        "nobody",
        "é@example.org",
    ] {
        let error = build(&Draft {
            cc: &[copy.to_owned()],
            ..draft()
        });
        let error = error.unwrap_err().to_string();
        assert!(error.starts_with("cc "), "{error}");
    }
}

#[test]
fn who_gets_a_mail_instead_is_told_whom_it_is_for() {
    let mail = build(&Draft {
        to_address: "staging@example.org",
        instead_of: Some(" zoë@bücher.example "),
        ..draft()
    })
    .unwrap();
    assert_eq!(mail.recipient(), "staging@example.org");
    assert!(mail.is_staged() && !mail.smtputf8);
    let text = text(&mail);
    assert_eq!(
        header(&text, "To"),
        Some("=?utf-8?b?Wm/DqyAiWiIgTcO8bGxlciwgRHIu?= <staging@example.org>")
    );
    assert_eq!(
        header(&text, "X-Original-Recipient"),
        Some("=?utf-8?b?em/Dq0Biw7xjaGVyLmV4YW1wbGU=?=")
    );
    for nobody in ["nobody", "a@b.example\r\nBcc: x@y.example", ""] {
        let error = build(&Draft {
            instead_of: Some(nobody),
            ..draft()
        })
        .unwrap_err()
        .to_string();
        assert!(error.starts_with("recipient address "), "{error}");
    }
    assert!(!build(&draft()).unwrap().is_staged());
}
