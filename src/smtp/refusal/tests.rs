//! The table of cases: what servers say at which step, and what that is about.

use Scope::{Mail, Recipient, RecipientDomain, Sender, Server, Session};
use Step::{Data, EndOfData, MailFrom, Opening, RcptTo};

use super::*;

const CASES: &[(Step, &str, Scope, bool)] = &[
    // Before any mail.
    (Opening, "554 5.7.1 no SMTP service here", Server, false),
    (Opening, "421 4.7.0 too many connections", Server, false),
    (
        Opening,
        "535 5.7.8 authentication credentials invalid",
        Server,
        false,
    ),
    // Whatever the step: about us.
    (
        MailFrom,
        "530 5.7.0 Must issue a STARTTLS command first",
        Server,
        false,
    ),
    (MailFrom, "530 5.7.1 Authentication required", Server, false),
    (RcptTo, "530 5.7.0 authentication required", Server, false),
    (MailFrom, "454 4.7.0 TLS not available", Server, false),
    (MailFrom, "502 5.5.2 command not recognized", Server, false),
    (
        RcptTo,
        "554 5.7.1 <unknown[203.0.113.9]>: Client host rejected: cannot find your hostname",
        Server,
        false,
    ),
    (
        RcptTo,
        "554 5.7.1 Service unavailable; Client host [203.0.113.9] blocked using zen.example",
        Server,
        false,
    ),
    (
        RcptTo,
        "450 4.7.1 <shop>: Helo command rejected: Host not found",
        Server,
        false,
    ),
    (
        EndOfData,
        "550 5.7.25 the IP address sending this message does not have a PTR record",
        Server,
        false,
    ),
    // Our account with a relay, as Amazon SES, Gmail and SendGrid say it at the end of a mail.
    (
        EndOfData,
        "554 Sending paused for this account.",
        Server,
        false,
    ),
    (
        EndOfData,
        "454 Throttling failure: Maximum sending rate exceeded.",
        Server,
        false,
    ),
    (
        EndOfData,
        "550-5.4.5 Daily user sending limit exceeded. For more information on Gmail sending limits",
        Server,
        false,
    ),
    (
        RcptTo,
        "451 Authentication failed: Maximum credits exceeded",
        Server,
        false,
    ),
    // The system, at a step that names nobody but the sender.
    (MailFrom, "451 4.3.0 busy", Server, false),
    (
        MailFrom,
        "452 4.3.1 insufficient system storage",
        Server,
        false,
    ),
    (
        MailFrom,
        "550 5.3.2 system not accepting network messages",
        Server,
        false,
    ),
    // The session.
    (MailFrom, "421 4.3.2 service shutting down", Session, false),
    (
        RcptTo,
        "421 4.7.0 try again later, closing connection",
        Session,
        false,
    ),
    (EndOfData, "421 4.4.2 timeout", Session, false),
    (RcptTo, "503 5.5.1 need MAIL command", Session, false),
    (
        MailFrom,
        "450 4.7.0 too many messages in this session",
        Session,
        false,
    ),
    (
        RcptTo,
        "452 4.5.3 too many recipients per connection",
        Session,
        false,
    ),
    // The sender, early or late.
    (
        MailFrom,
        "550 5.7.1 you may not send as news@shop.example",
        Sender,
        false,
    ),
    (MailFrom, "550 5.1.8 no such domain", Sender, false),
    (MailFrom, "553 5.1.7 bad sender", Sender, false),
    (
        MailFrom,
        "501 5.1.7 bad sender address syntax",
        Sender,
        false,
    ),
    (MailFrom, "552 5.2.2 your quota is exceeded", Sender, false),
    (
        MailFrom,
        "450 4.1.8 <news@shop.example>: Sender address rejected: Domain not found",
        Sender,
        false,
    ),
    (MailFrom, "554 your account is suspended", Sender, false),
    (MailFrom, "451 rate of sender exceeded", Sender, false),
    (
        RcptTo,
        "553 5.7.1 <news@shop.example>: Sender address rejected: not owned by user shop",
        Sender,
        false,
    ),
    (
        RcptTo,
        "550 5.1.8 <news@shop.example>: Sender address rejected: Domain not found",
        Sender,
        false,
    ),
    (RcptTo, "550 Sender verify failed", Sender, false),
    (
        EndOfData,
        "554 Message rejected: Email address is not verified.",
        Sender,
        false,
    ),
    (
        EndOfData,
        "554 5.2.252 SendAsDenied; shop@shop.example not allowed to send as news@shop.example",
        Sender,
        false,
    ),
    (
        EndOfData,
        "550 5.7.60 SMTP; Client does not have permissions to send as this sender",
        Sender,
        false,
    ),
    (
        Data,
        "550 The from address does not match a verified Sender Identity.",
        Sender,
        false,
    ),
    (
        RcptTo,
        "550 5.7.1 Unconfigured Sending Domain <shop.example>",
        Sender,
        false,
    ),
    (
        RcptTo,
        "553 sorry, your envelope sender is in my badmailfrom list (#5.7.1)",
        Sender,
        false,
    ),
    // The mail.
    (
        MailFrom,
        "552 5.3.4 message size exceeds fixed limit",
        Mail,
        true,
    ),
    (MailFrom, "552 message too large", Mail, true),
    (RcptTo, "552 5.3.4 too big for this recipient", Mail, true),
    (
        EndOfData,
        "552 5.2.3 message size exceeds administrative limit",
        Mail,
        true,
    ),
    (EndOfData, "554 5.7.1 spam", Mail, true),
    (
        EndOfData,
        "550 5.7.26 unauthenticated mail is not accepted",
        Mail,
        true,
    ),
    (EndOfData, "550 5.1.1 no such user", Mail, true),
    (Data, "554 5.5.1 no", Mail, false),
    // The recipient.
    (RcptTo, "550 5.1.1 no such user", Recipient, true),
    (RcptTo, "550 no such user", Recipient, true),
    (RcptTo, "552 5.2.2 mailbox full", Recipient, true),
    (RcptTo, "450 4.2.1 mailbox busy", Recipient, false),
    (RcptTo, "452 4.2.2 over quota", Recipient, false),
    (
        RcptTo,
        "451 4.7.1 Greylisting in action, please come back in 00:05:00",
        Recipient,
        false,
    ),
    (
        RcptTo,
        "450 4.2.0 <a@x.example>: Recipient address rejected: Greylisted",
        Recipient,
        false,
    ),
    (
        EndOfData,
        "451 greylisted, try again in 300 seconds",
        Recipient,
        false,
    ),
    // A recipient who does not want this sender: others may.
    (
        RcptTo,
        "550 5.7.129 RESOLVER.RST.RestrictedToRecipientsPermission; the sender isn't on the recipient's list of senders",
        RecipientDomain,
        true,
    ),
    // His domain.
    (
        RcptTo,
        "450 4.7.1 too many messages to this domain",
        RecipientDomain,
        false,
    ),
    (
        RcptTo,
        "451 4.3.0 temporary lookup failure",
        RecipientDomain,
        false,
    ),
    (RcptTo, "451 try again later", RecipientDomain, false),
    (
        RcptTo,
        "554 5.7.1 <a@x.example>: Relay access denied",
        RecipientDomain,
        true,
    ),
    (Data, "451 4.3.0 busy", RecipientDomain, false),
    (EndOfData, "452 4.3.1 disk full", RecipientDomain, false),
    (
        EndOfData,
        "451 4.7.650 the mail server has been temporarily rate limited",
        RecipientDomain,
        false,
    ),
];

#[test]
fn a_refusal_is_about_what_its_step_its_codes_and_its_words_say() {
    for &(step, reply, scope, is_final) in CASES {
        let code = reply[..3].parse().unwrap();
        // As a reply comes, and behind its step.
        for text in [&reply[4..], &format!("{}: {reply}", step.name())] {
            let verdict = judge(step, code, text);
            assert_eq!(
                verdict,
                Verdict {
                    step,
                    scope,
                    is_final
                },
                "{step:?} {reply}"
            );
        }
    }
}

#[test]
fn what_may_be_mended_for_many_mails_is_never_final_for_one() {
    for step in [Opening, MailFrom, RcptTo, Data, EndOfData] {
        for code in [421, 450, 451, 452, 454, 500, 503, 530, 550, 552, 554] {
            for text in [
                "",
                "5.7.1 no",
                "4.7.1 later",
                "5.1.8 sender",
                "5.3.4 size",
                "5.1.1 user",
            ] {
                let verdict = judge(step, code, text);
                if verdict.is_final {
                    assert!(code >= 500);
                    assert!(!matches!(verdict.scope, Sender | Session | Server));
                }
            }
        }
    }
}

#[test]
fn an_enhanced_status_counts_when_it_is_of_the_codes_class() {
    for (code, text, expected) in [
        (550, "5.7.1 no", Some((7, 1))),
        (550, "no (#5.1.1)", Some((1, 1))),
        (550, "4.7.1 odd", None),
        (450, "host 5.9.1.2 says 4.2.0", Some((2, 0))),
        (550, "5.7 5.7.1.2 5.7.1000", None),
        (550, "", None),
    ] {
        assert_eq!(status(code, text), expected, "{text}");
    }
}
