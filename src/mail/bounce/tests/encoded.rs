use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::*;

/// A complaint whose last part is the mail.
fn complaint(last: &str) -> Vec<u8> {
    format!(
        "From: fbl@isp.example\nTo: abuse@shop.example\nSubject: x\nMIME-Version: 1.0\n\
         Content-Type: multipart/report; report-type=feedback-report; boundary=b\n\n\
         --b\nContent-Type: text/plain\n\nA report.\n\n\
         --b\nContent-Type: message/feedback-report\n\nFeedback-Type: abuse\nVersion: 1\n\n--b\n{last}\n\n--b--\n"
    )
    .into_bytes()
}

fn found(raw: &[u8]) -> Vec<Token> {
    let (keyring, ..) = signed();
    let report = read(raw);
    assert_eq!(report.kind, Kind::Complaint);
    let tokens = report.unsubscribe_tokens.iter();
    tokens
        .filter_map(|token| keyring.verify(Purpose::Unsubscribe, token))
        .collect()
}

#[test]
fn encoded_words_in_a_returned_header_are_read() {
    let (_, token, signed) = signed();
    let url = format!("<https://track.shop.example/u/{signed}>");
    let (one, other) = url.split_at(40);
    let base64 = |text: &str| format!("=?utf-8?B?{}?=", STANDARD.encode(text));
    let quoted = |text: &str| {
        let text = text
            .replace('=', "=3D")
            .replace('_', "=5F")
            .replace('?', "=3F");
        format!("=?us-ascii?q?{text}?=")
    };
    for list in [
        base64(&url),
        quoted(&url),
        format!("{}\n {}", base64(one), base64(other)),
        format!("{}\n\t{}", quoted(one), base64(other)),
        format!("<mailto:leave@shop.example>,\n {}", quoted(&url)),
    ] {
        let mail =
            format!("Content-Type: message/rfc822\n\nList-Unsubscribe: {list}\nSubject: N\n\nHi\n");
        assert_eq!(found(&complaint(&mail)), [token], "{list}");
    }
}

#[test]
fn encoded_parts_are_read() {
    let (_, token, signed) = signed();
    let mail = format!(
        "Message-ID: <1@relay.example>\r\nList-Unsubscribe: <https://track.shop.example/u/{signed}>\r\nSubject: N\r\n\r\nHi\r\n"
    );
    let base64 = STANDARD.encode(&mail);
    let lines: Vec<_> = base64
        .as_bytes()
        .chunks(76)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    let base64 = lines.join("\n");
    let quoted = mail
        .replace('=', "=3D")
        .replace("/u/", "/u=\n/")
        .replace('\r', "");
    for kind in ["message/rfc822", "text/rfc822-headers", "message/global"] {
        for (encoding, text) in [
            ("base64", &base64),
            ("quoted-printable", &quoted),
            ("BASE64", &base64),
        ] {
            let part =
                format!("Content-Type: {kind}\nContent-Transfer-Encoding: {encoding}\n\n{text}");
            assert_eq!(found(&complaint(&part)), [token], "{kind} {encoding}");
        }
    }
}
