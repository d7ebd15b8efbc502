use std::time::{Duration, UNIX_EPOCH};

use super::*;

mod addresses;
mod attachments;
mod lines;
mod own_headers;

fn draft() -> Draft<'static> {
    Draft {
        from: "Shop <shop@example.org>",
        reply_to: None,
        to_address: "zoe@example.com",
        instead_of: None,
        to_name: Some("Zoë \"Z\" Müller, Dr."),
        cc: &[],
        bcc: &[],
        return_path: None,
        subject: "Grüße: 20 % für dich",
        html: "<p>Grüße</p>\n.\n<a href=\"https://t.example/c/1\">x</a>",
        text: "Gruesse\n.\nFrom here",
        message_id: "m1.a2@example.org",
        date: UNIX_EPOCH + Duration::from_secs(1_795_498_629),
        is_bulk: true,
        unsubscribe_url: Some("https://t.example/u/abc"),
        unsubscribe_address: None,
        list_id: Some("welcome.t.example"),
        feedback_id: Some("12:scenario3:marketing"),
        headers: &[],
        attachments: &[],
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
    let mail = build(&draft()).unwrap();
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
    assert_eq!(header(&text, "List-Id"), Some("<welcome.t.example>"));
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
        let mail = build(&Draft {
            return_path,
            ..draft()
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
    let mail = build(&Draft {
        to_name: None,
        is_bulk: false,
        unsubscribe_url: None,
        list_id: None,
        feedback_id: None,
        ..draft()
    })
    .unwrap();
    let text = text(&mail);
    assert_eq!(header(&text, "To"), Some("zoe@example.com"));
    assert_eq!(header(&text, "Auto-Submitted"), Some("auto-generated"));
    for name in [
        "Precedence",
        "List-Unsubscribe",
        "List-Unsubscribe-Post",
        "List-Id",
        "Feedback-ID",
    ] {
        assert_eq!(header(&text, name), None);
    }
}

#[test]
fn one_may_leave_by_mail_too() {
    for (address, written) in [
        ("leave+0abc@shop.example", "leave+0abc@shop.example"),
        ("a%b&c+0abc@shop.example", "a%25b%26c+0abc@shop.example"),
    ] {
        let mail = build(&Draft {
            unsubscribe_address: Some(address),
            ..draft()
        })
        .unwrap();
        let expected = format!(
            "List-Unsubscribe: <https://t.example/u/abc>,\r\n <mailto:{written}?subject=unsubscribe>\r\n"
        );
        assert!(text(&mail).contains(&expected), "{}", text(&mail));
    }
    for address in ["", "leave", "leave@x\r\nBcc: y@z.example", "é@shop.example"] {
        let draft = Draft {
            unsubscribe_address: Some(address),
            ..draft()
        };
        assert!(build(&draft).is_err(), "{address}");
    }
}

#[test]
fn message_ids_and_urls_must_fit_their_headers() {
    for id in ["", "x", "@x", "x@", "a b@c", "<a@b>", "a@b@c", "é@b"] {
        assert!(
            build(&Draft {
                message_id: id,
                ..draft()
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
            build(&Draft {
                unsubscribe_url: Some(url),
                ..draft()
            })
            .is_err(),
            "{url}"
        );
    }
}
