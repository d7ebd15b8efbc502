//! What a line of a message may hold, and how much.

use super::*;

#[test]
fn bytes_are_ascii_lines_of_at_most_998_and_every_part_is_encoded() {
    let long = "é".repeat(5_000) + &"x".repeat(5_000) + "\r\n.\r\nMAIL FROM:<a@b>\n.\n\r\r";
    let url = format!("https://t.example/u/{}", "t".repeat(700));
    let mail = build(&Draft {
        html: &long,
        text: &long,
        unsubscribe_url: Some(&url),
        ..draft()
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
        let bad_sender = format!("a{c}b <a@b.org>");
        let url = format!("https://t.example/{c}");
        for draft in [
            Draft {
                from: &bad_sender,
                ..draft()
            },
            Draft {
                to_address: &bad,
                ..draft()
            },
            Draft {
                subject: &bad,
                ..draft()
            },
            Draft {
                message_id: &bad,
                ..draft()
            },
            Draft {
                unsubscribe_url: Some(&url),
                ..draft()
            },
            Draft {
                feedback_id: Some(&bad),
                ..draft()
            },
        ] {
            let error = build(&draft).unwrap_err();
            assert!(
                matches!(error, MessageError::ControlCharacter { .. }),
                "{error}"
            );
        }
    }
}

#[test]
fn long_words_and_what_looks_encoded_are_encoded() {
    let long = "x".repeat(1_900);
    let name = "n".repeat(5_000);
    let mail = build(&Draft {
        subject: &long,
        to_name: Some(&name),
        ..draft()
    })
    .unwrap();
    let shown = text(&mail);
    assert!(shown.split("\r\n").all(|line| line.len() <= 998), "{shown}");
    let cut = format!("To: {} <zoe", "n".repeat(MAX_NAME_CHARACTERS));
    assert!(shown.contains(&cut), "{shown}");
    let forged = "=?utf-8?q?Bank?=";
    let mail = build(&Draft {
        from: "\"=?utf-8?q?Bank?=\" <shop@example.org>",
        to_name: Some(forged),
        subject: "1 =?utf-8?q?Bank?= é and a text that is a little longer",
        ..draft()
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
    let error = build(&Draft {
        unsubscribe_url: Some(&url),
        ..draft()
    })
    .unwrap_err();
    assert!(
        error.to_string().starts_with("message has a line of ")
            && error.to_string().contains("https://t.example/u/ttt"),
        "{error}"
    );
    let from = format!("{} <shop@example.org>", "s".repeat(1_500));
    assert!(
        build(&Draft {
            from: &from,
            ..draft()
        })
        .is_ok()
    );
}
