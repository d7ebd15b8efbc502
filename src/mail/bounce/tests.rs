//! Reports as the large and the old servers write them.

use super::returned::MAX_TRACES;
use super::*;
use crate::tracking::token::{Keyring, Purpose, Token};

mod encoded;
mod recipients;

fn read(raw: &[u8]) -> Report {
    super::read(raw, Rules::shipped(), |_| None)
}

const MAIL: &str = "0000000004d2-8f00-8a1b-2c3d-4e5f60718293.7@track.shop.example";
const RETURN_PATH: &str = "bounces+0abcdefghijk@shop.example";

/// File, what it is, its status, a piece of what the server said.
type Sample = (
    &'static str,
    &'static [u8],
    Kind,
    Option<&'static str>,
    &'static str,
);

const SAMPLES: [Sample; 12] = [
    (
        "postfix_user_unknown",
        include_bytes!("samples/postfix_user_unknown.eml"),
        Kind::Hard,
        Some("5.1.1"),
        "550 5.1.1 <ada@example.org>: Recipient address rejected: User unknown in virtual mailbox table",
    ),
    (
        "postfix_policy",
        include_bytes!("samples/postfix_policy.eml"),
        Kind::Soft,
        Some("5.7.1"),
        "policy",
    ),
    (
        "postfix_delayed",
        include_bytes!("samples/postfix_delayed.eml"),
        Kind::Delayed,
        Some("4.4.1"),
        "Connection timed out",
    ),
    (
        "exchange",
        include_bytes!("samples/exchange.eml"),
        Kind::Hard,
        Some("5.1.10"),
        "RecipientNotFound",
    ),
    (
        "gmail_full",
        include_bytes!("samples/gmail_full.eml"),
        Kind::Soft,
        Some("5.2.2"),
        "over quota. Please direct the recipient",
    ),
    (
        "qmail",
        include_bytes!("samples/qmail.eml"),
        Kind::Hard,
        Some("5.1.1"),
        "<ada@old.example>: Sorry, no mailbox here",
    ),
    (
        "exim",
        include_bytes!("samples/exim.eml"),
        Kind::Hard,
        None,
        "",
    ),
    (
        "yahoo_feedback",
        include_bytes!("samples/yahoo_feedback.eml"),
        Kind::Complaint,
        None,
        "feedback: abuse",
    ),
    (
        "authentication_feedback",
        include_bytes!("samples/authentication_feedback.eml"),
        Kind::Unknown,
        None,
        "auth-failure",
    ),
    (
        "outlook_junk",
        include_bytes!("samples/outlook_junk.eml"),
        Kind::Complaint,
        None,
        "",
    ),
    (
        "out_of_office",
        include_bytes!("samples/out_of_office.eml"),
        Kind::AutoReply,
        None,
        "",
    ),
    (
        "letter",
        include_bytes!("samples/letter.eml"),
        Kind::Unknown,
        None,
        "",
    ),
];

/// As files come over SMTP.
fn with_crlf(raw: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(raw)
        .replace('\n', "\r\n")
        .into_bytes()
}

#[test]
fn reports_say_what_happened_to_which_mail() {
    for (name, raw, kind, status, words) in SAMPLES {
        for raw in [raw.to_vec(), with_crlf(raw)] {
            let report = read(&raw);
            assert_eq!(
                (report.kind, report.status.as_deref()),
                (kind, status),
                "{name}: {report:?}"
            );
            let diagnostic = report.diagnostic.unwrap_or_default();
            assert!(diagnostic.contains(words), "{name}: {diagnostic}");
            assert!(report.message_ids.iter().any(|id| id == MAIL), "{name}");
            assert!(
                report.return_paths.iter().any(|path| path == RETURN_PATH),
                "{name}"
            );
        }
    }
}

#[test]
fn a_report_that_was_cut_off_or_damaged_is_read_as_far_as_it_goes() {
    for (name, raw, ..) in SAMPLES {
        for end in (0..raw.len()).step_by(7) {
            read(&raw[..end]);
        }
        for at in (0..raw.len()).step_by(11) {
            let mut damaged = raw.to_vec();
            damaged[at] = 0xff;
            read(&damaged);
        }
        let known = read(raw);
        let tail = [raw, b"\n".repeat(2 * MAX_BYTES).as_slice()].concat();
        assert_eq!(read(&tail).kind, known.kind, "{name}");
    }
    assert_eq!(read(b"").kind, Kind::Unknown);
    assert_eq!(read(&[0; 4096]).kind, Kind::Unknown);
}

#[test]
fn traces_are_bounded() {
    let many: String = (0..10_000)
        .map(|n| format!("References: <{n}@x>\nTo: {n}@x\n"))
        .collect();
    let long = format!("References: <{}@x>\nTo: a@x\n", "x".repeat(1000));
    assert_eq!(read(long.as_bytes()).message_ids, [""; 0]);
    let report = read(many.as_bytes());
    assert_eq!(report.message_ids.len(), MAX_TRACES);
    assert_eq!(report.return_paths.len(), MAX_TRACES);
}

/// A report about a mail that a relay gave a Message-ID and an envelope of its own.
fn relayed(kind: &str, report: &str, unsubscribe: &str) -> Vec<u8> {
    format!(
        "From: fbl@isp.example\nTo: abuse@shop.example\nSubject: x\nMIME-Version: 1.0\n\
         Content-Type: multipart/report; report-type=x; boundary=b\n\n\
         --b\nContent-Type: text/plain\n\nA report.\n\n--b\nContent-Type: message/{kind}\n\n{report}\n\
         --b\nContent-Type: message/rfc822\n\nFrom: hello@shop.example\nReturn-Path: <0100-77@relay.example>\n\
         Message-ID: <0100-77@relay.example>\nList-Unsubscribe: {unsubscribe}\nSubject: News\n\nHello\n\n--b--\n"
    )
    .into_bytes()
}

/// A key, and a token to unsubscribe that it has signed.
fn signed() -> (Keyring, Token, String) {
    let keyring = Keyring::new(vec![(7, [7; 32])]).unwrap();
    let token = Token {
        record: 300,
        activity: 5,
        link: None,
    };
    let signed = keyring.sign(Purpose::Unsubscribe, &token);
    (keyring, token, signed)
}

#[test]
fn a_mail_that_a_relay_renamed_is_known_by_its_unsubscribe_url() {
    let (keyring, token, signed) = signed();
    let abuse = "Feedback-Type: abuse (reported)\nVersion: 1\n";
    let failed = "Final-Recipient: rfc822; a@x\nAction: failed\nStatus: 5.1.1\n";
    for (kind, report, is) in [
        ("feedback-report", abuse, Kind::Complaint),
        ("delivery-status", failed, Kind::Hard),
    ] {
        for list in [
            format!("<https://track.shop.example/u/{signed}>"),
            format!(
                "<mailto:leave@shop.example?subject=x>,\n <https://track.shop.example/u/{signed}?page=1>"
            ),
            format!("<HTTPS://track.shop.example:8443/u/{signed}/>"),
            format!("https://track.shop.example/u/{signed}"),
            format!("<https://track.shop.example/u/\n {signed}>"),
            format!(
                "<https://track.shop.example/u/{}\n\t{}>,\n <mailto:leave@shop.example>",
                &signed[..9],
                &signed[9..]
            ),
            format!(
                "<https://relay.example/u/7?to=https%3A%2F%2Ftrack.shop.example%2Fu%2F{signed}>"
            ),
            format!(
                "<https://relay.example/>\nX-Original-List-Unsubscribe: <https://track.shop.example/u/{signed}>"
            ),
        ] {
            let report = read(&relayed(kind, report, &list));
            assert_eq!(report.kind, is, "{list}");
            let found: Vec<_> = report
                .unsubscribe_tokens
                .iter()
                .filter_map(|token| keyring.verify(Purpose::Unsubscribe, token))
                .collect();
            assert_eq!(found, [token], "{list}");
        }
    }
}

#[test]
fn only_a_token_that_was_signed_for_unsubscribing_names_a_mail() {
    let keyring = Keyring::new(vec![(7, [7; 32])]).unwrap();
    let other = Keyring::new(vec![(7, [8; 32])]).unwrap();
    let token = Token {
        record: 300,
        activity: 5,
        link: None,
    };
    let signed = keyring.sign(Purpose::Unsubscribe, &token);
    for path in [
        format!("u/{}", keyring.sign(Purpose::Click, &token)),
        format!("u/{}", keyring.sign(Purpose::Open, &token)),
        format!("u/{}", other.sign(Purpose::Unsubscribe, &token)),
        format!("u/{}", &signed[1..]),
        format!("c/{signed}"),
        format!("?u={signed}"),
        "u/".to_owned(),
    ] {
        let list = format!("<https://track.shop.example/{path}>");
        let report = read(&relayed("feedback-report", "Feedback-Type: abuse\n", &list));
        assert_eq!(report.kind, Kind::Complaint);
        let found = report
            .unsubscribe_tokens
            .iter()
            .find_map(|token| keyring.verify(Purpose::Unsubscribe, token));
        assert_eq!(found, None, "{path}");
    }
}

#[test]
fn a_report_within_a_mail_servers_notice_is_read() {
    let mail = |from: &str| {
        format!(
            "From: {from}\nTo: {RETURN_PATH}\nSubject: Returned mail\nMIME-Version: 1.0\n\
             Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: text/plain\n\nThere were errors.\n\n\
             --a\nContent-Type: message/rfc822\n\nFrom: MAILER-DAEMON@inner.example\nMIME-Version: 1.0\n\
             Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n\
             --b\nContent-Type: message/delivery-status\n\nAction: failed\nFinal-Recipient: rfc822; a@x\nStatus: 5.1.1\n\n\
             --b\nContent-Type: message/rfc822\n\nMessage-ID: <{MAIL}>\n\nHello\n\n--b--\n--a--\n"
        )
    };
    let report = read(mail("MAILER-DAEMON@gateway.example").as_bytes());
    assert_eq!(
        (report.kind, report.status.as_deref()),
        (Kind::Hard, Some("5.1.1"))
    );
    assert!(report.message_ids.iter().any(|id| id == MAIL));
    // A person who passes a bounce on bounces nothing.
    assert_eq!(
        read(mail("Ada <ada@example.org>").as_bytes()).kind,
        Kind::Unknown
    );
}

#[test]
fn a_notice_in_html_is_read_and_its_subject_decoded() {
    let mail = "From: postmaster@mx.example\nReturn-Path: <>\nMIME-Version: 1.0\n\
        Subject: =?utf-8?Q?Unzustellbar:_Gr=C3=BC=C3=9Fe?=\nContent-Type: text/html; charset=utf-8\n\n\
        <html><body><p>Ihre Nachricht kam nicht an.</p><p>Empf&auml;nger <b>unbekannt</b></p></body></html>\n";
    assert_eq!(read(mail.as_bytes()).kind, Kind::Hard);
}

#[test]
fn who_is_away_says_so_in_any_language() {
    for subject in [
        "Poissa: Mail delivery failed",
        "Im Urlaub",
        "Ausente de la oficina",
        "Ausência: Offer",
        "Assente: Offer",
        "Op vakantie t/m 3 mei",
        "Frånvaromeddelande: Offer",
        "Ikke til stede: Offer",
        "Nieobecność: Offer",
        "Mimo kancelář: Offer",
        "Automatikus válasz: Offer",
        "Αυτόματη απάντηση: Offer",
        "Нет на месте: Offer",
        "رد تلقائي: Offer",
        "不在通知: Offer",
        "부재중 자동 회신",
    ] {
        let mail = format!(
            "From: postmaster@mx.example\nReturn-Path: <>\nSubject: {subject}\nMIME-Version: 1.0\n\
             Content-Type: text/plain; charset=utf-8\n\nDelivery failed? 550 user unknown\n"
        );
        assert_eq!(read(mail.as_bytes()).kind, Kind::AutoReply, "{subject}");
    }
}

#[test]
fn a_receipt_is_an_automatic_reply() {
    let mail = "From: Ada <ada@example.org>\nReturn-Path: <>\nSubject: Not read: Delivery failed\nMIME-Version: 1.0\n\
        Content-Type: multipart/report; report-type=disposition-notification; boundary=b\n\n\
        --b\nContent-Type: text/plain\n\nYour message was deleted without being read by a user unknown.\n\n\
        --b\nContent-Type: message/disposition-notification\n\nFinal-Recipient: rfc822; ada@example.org\n\
        Disposition: automatic-action/MDN-sent-automatically; deleted\n\n--b--\n";
    assert_eq!(read(mail.as_bytes()).kind, Kind::AutoReply);
}

/// Programs write that mail in different ways; reports speak of another mail whatever address they came to.
#[test]
fn leaving_is_told_from_reports_and_letters() {
    let read = |raw: &str| {
        super::read(raw.as_bytes(), Rules::shipped(), |word| {
            word.contains("t0ken").then(|| "TOKEN".to_owned())
        })
    };
    for raw in [
        "From: zoe@gmail.example\nTo: leave+t0ken@shop.example\nSubject: unsubscribe\n\nThis message was automatically generated.\n",
        "From: Zoe <zoe@x.example>\nTo: <leave+t0ken@shop.example>\nAuto-Submitted: auto-generated\nSubject: unsubscribe\n\n",
        "From: zoe@x.example\nTo: shop@shop.example\nX-Original-To: leave+t0ken@shop.example\n\nremove me",
        "From: zoe@x.example\nTo: shop@shop.example\nSubject: unsubscribe t0ken\n\n",
    ] {
        let report = read(raw);
        assert_eq!(report.kind, Kind::Unsubscribe, "{raw}");
        assert_eq!(report.unsubscribe_tokens, ["TOKEN"], "{raw}");
    }
    let report = "From: MAILER-DAEMON@x.example\nTo: leave+t0ken@shop.example\nContent-Type: multipart/report; boundary=b\n\n\
                  --b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; x.example\n\nFinal-Recipient: rfc822; a@b.example\n\
                  Action: failed\nStatus: 5.1.1\n\n--b--\n";
    assert_eq!(read(report).kind, Kind::Hard);
    let letter = "From: zoe@x.example\nTo: leave@shop.example\nSubject: unsubscribe\n\n";
    assert_eq!(read(letter).kind, Kind::Unknown);
}

#[test]
fn a_report_that_its_parser_panics_at_is_unknown() {
    assert_eq!(
        read(include_bytes!("hostile/parts_cut_off.eml")).kind,
        Kind::Unknown
    );
}

#[test]
fn feedback_types_are_read_however_they_are_written() {
    for (field, kind) in [
        ("Feedback-Type: abuse", Kind::Complaint),
        ("Feedback-Type:\n abuse", Kind::Complaint),
        ("feedback-type : \"Abuse\"", Kind::Complaint),
        ("Feedback-Type: opt-out-list (list)", Kind::Complaint),
        ("Feedback-Type: not-spam", Kind::Unknown),
        ("Feedback-Type: auth-failure", Kind::Unknown),
        ("Version: 1", Kind::Unknown),
    ] {
        let raw = format!(
            "From: fbl@isp.example\nMIME-Version: 1.0\nContent-Type: multipart/report; report-type=feedback-report; boundary=b\n\n\
             --b\nContent-Type: text/plain\n\nA report\n\n--b\nContent-Type: message/feedback-report\n\n{field}\n\n--b--\n"
        );
        assert_eq!(read(raw.as_bytes()).kind, kind, "{field}");
    }
}
