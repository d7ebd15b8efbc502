//! Reports as the large and the old servers write them.

use super::*;

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
fn the_failure_counts_among_several_recipients() {
    let report = "Reporting-MTA: dns; x\n\nFinal-Recipient: rfc822; a@x\nAction: relayed\nStatus: 2.0.0\n\n\
        Final-Recipient: rfc822; b@x\nAction: failed\nStatus: 5.0.0\nDiagnostic-Code: smtp; 550 5.1.1 gone\n";
    let report = status_report(&fields(report));
    assert_eq!(
        (report.kind, report.status.as_deref()),
        (Kind::Hard, Some("5.1.1"))
    );
    let report = status_report(&fields(
        "Final-Recipient: rfc822; a@x\nAction: relayed\nStatus: 2.0.0\n",
    ));
    assert_eq!(report.kind, Kind::Delivered);
}

#[test]
fn traces_are_bounded() {
    let many: String = (0..10_000)
        .map(|n| format!("References: <{n}@x>\nTo: {n}@x\n"))
        .collect();
    let report = read(many.as_bytes());
    assert_eq!(report.message_ids.len(), MAX_TRACES);
    assert_eq!(report.return_paths.len(), MAX_TRACES);
}
