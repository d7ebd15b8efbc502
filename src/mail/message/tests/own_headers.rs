use super::*;

fn with(headers: &[(&str, &str)]) -> String {
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    text(
        &build(&Draft {
            headers: &headers,
            ..draft()
        })
        .unwrap(),
    )
}

#[test]
fn headers_of_an_author_are_encoded_and_folded() {
    let long = "word ".repeat(300);
    let mail = with(&[("X-Campaign", "welcome")]);
    assert_eq!(header(&mail, "X-Campaign"), Some("welcome"));
    let mail = with(&[
        ("X-Name", "Zoë"),
        ("X-Word", "=?x?="),
        ("X-Long", long.trim()),
        ("X-Longer", &"x".repeat(1500)),
    ]);
    assert_eq!(header(&mail, "X-Name"), Some("=?utf-8?b?Wm/Dqw==?="));
    assert_eq!(header(&mail, "X-Word"), Some("=?utf-8?b?PT94Pz0=?="));
    assert!(mail.lines().all(|line| line.len() <= 998));
    let (_, rest) = mail.split_once("\r\nX-Long: ").unwrap();
    let folded: Vec<&str> = rest
        .split("\r\n")
        .take_while(|line| !line.starts_with("X-Longer"))
        .collect();
    assert!(
        folded.len() > 10 && folded[1..].iter().all(|line| line.starts_with(' ')),
        "{folded:?}"
    );
    assert_eq!(
        folded.concat().split_whitespace().collect::<Vec<_>>(),
        vec!["word"; 300]
    );
}

#[test]
fn without_them_a_mail_is_as_it_was() {
    let boundary = |mail: &str| {
        mail.split("boundary=\"")
            .nth(1)
            .map(|rest| rest.split('"').next().unwrap().to_owned())
            .unwrap()
    };
    let plain = text(&build(&draft()).unwrap());
    let without: String = with(&[("X-A", "a")])
        .split_inclusive("\r\n")
        .filter(|line| !line.starts_with("X-A: "))
        .collect();
    assert_eq!(
        without.replace(&boundary(&without), &boundary(&plain)),
        plain
    );
}

#[test]
fn no_name_of_another_header_gets_in() {
    for name in ["Bcc", "X A", "X:A", "X\r\nA", "", "Subject"] {
        let error = build(&Draft {
            headers: &[(name.to_owned(), "a".to_owned())],
            ..draft()
        })
        .unwrap_err()
        .to_string();
        assert!(error.starts_with("header "), "{error}");
    }
    for value in ["a\r\nBcc: b", "a\u{2028}b"] {
        let error = build(&Draft {
            headers: &[("X-A".to_owned(), value.to_owned())],
            ..draft()
        })
        .unwrap_err()
        .to_string();
        assert!(
            error.starts_with("header holds the control character"),
            "{error}"
        );
    }
}
