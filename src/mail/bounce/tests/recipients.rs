use crate::mail::bounce::{Rules, recipients};

#[test]
fn each_recipient_of_a_report_is_told_by_itself() {
    let told = |raw: &str| -> Vec<(String, &'static str, Option<String>)> {
        let told = recipients(raw.as_bytes(), Rules::shipped()).into_iter();
        told.map(|(address, report)| (address, report.kind.name(), report.status))
            .collect()
    };
    let report = |kind: &str, fields: &str| {
        format!(
            "From: mailer-daemon@mx.example\r\nContent-Type: multipart/report; report-type={kind}; boundary=b\r\n\r\n\
             --b\r\nContent-Type: message/{kind}\r\n\r\n{fields}\r\n--b--\r\n"
        )
    };
    let said = report(
        "delivery-status",
        "Reporting-MTA: dns; mx.example\r\n\r\nOriginal-Recipient: rfc822;team@shop.example\r\n\
         Final-Recipient: rfc822; Max@shop.example\r\nAction: failed\r\nStatus: 5.1.1\r\n\
         Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n\r\nFinal-Recipient: rfc822; <zoe@shop.example>\r\n\
         Action: failed\r\nStatus: 5.2.2\r\n\r\nFinal-Recipient: rfc822; eva@shop.example\r\nAction: relayed\r\nStatus: 2.0.0\r\n",
    );
    let of = |address: &str, kind, status: Option<&str>| {
        (address.to_owned(), kind, status.map(str::to_owned))
    };
    assert_eq!(
        told(&said),
        [
            of("team@shop.example", "hard", Some("5.1.1")),
            of("Max@shop.example", "hard", Some("5.1.1")),
            of("zoe@shop.example", "soft", Some("5.2.2")),
            of("eva@shop.example", "delivered", None),
        ]
    );
    let complaint = report(
        "feedback-report",
        "Feedback-Type: abuse\r\nVersion: 1\r\nOriginal-Rcpt-To: <max@shop.example>\r\n",
    );
    assert_eq!(
        told(&complaint),
        [of("max@shop.example", "complaint", None)]
    );
    assert_eq!(told("Subject: away\r\n\r\nmax@shop.example is away"), []);
}
