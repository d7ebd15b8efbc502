//! Notices in prose, such as qmail's and old Exim's, and what is mistaken for one: answers of people and of programs.

use super::fields::{self, Field};
use super::refusal::{Refusal, find_status, leading_code};
use super::report::{Kind, Report};
use super::rules::{Meaning, Rules};
use super::words::{Words, beginning};

/// So much of a text is looked at for what it is.
const OPENING_BYTES: usize = 1000;

/// Who writes, as the header of a mail tells.
pub(super) struct Writer<'a> {
    header: &'a [Field],
    /// As people read it.
    subject: &'a str,
}

impl<'a> Writer<'a> {
    pub(super) fn new(header: &'a [Field], subject: &'a str) -> Self {
        Writer { header, subject }
    }

    fn value(&self, name: &str) -> &'a str {
        fields::value(self.header, name).unwrap_or_default()
    }

    /// The program that delivers mail: its name is nobody else's. Exim's says of its notices that they are auto-replied.
    pub(super) fn is_mailer_daemon(&self) -> bool {
        const NAMES: [&str; 6] = [
            "mailer-daemon",
            "mailer daemon",
            "mail-daemon",
            "mail delivery system",
            "mail.delivery.system",
            "mail delivery subsystem",
        ];
        let names_it = |value: &str| {
            let value = value.to_lowercase();
            NAMES.iter().any(|name| value.contains(name))
        };
        fields::value(self.header, "x-failed-recipients").is_some() || names_it(self.value("from"))
    }

    /// Whether nobody wants an answer (RFC 5321, section 4.5.5), or a postmaster writes: mail servers do so, and so do
    /// programs that answer for people.
    fn is_null_sender_or_postmaster(&self) -> bool {
        let value = |name: &str| fields::value(self.header, name).map(str::to_lowercase);
        let is_empty = |value: &str| value.trim_matches(['<', '>', ' ']).is_empty();
        let from = value("from").unwrap_or_default();
        let address = from.rsplit('<').next().unwrap_or_default();
        // Sendmail writes <MAILER-DAEMON> for the null sender.
        value("return-path").is_some_and(|path| is_empty(&path) || path.contains("mailer-daemon"))
            || value("from").is_some_and(|from| is_empty(&from))
            || address.trim_start().starts_with("postmaster@")
    }

    /// Whether the header of a mail has one of these values.
    fn says(&self, name: &str, beginnings: &[&str]) -> bool {
        let value = self.value(name).to_lowercase();
        beginnings
            .iter()
            .any(|beginning| value.starts_with(beginning))
    }

    /// Whether a program answers for a person: RFC 3834, section 5, and what was there before it.
    fn answers_by_itself(&self) -> bool {
        self.says("auto-submitted", &["auto-replied"])
            || self.says("precedence", &["auto_reply"])
            || ["x-autoreply", "x-autorespond", "x-autoresponder"]
                .iter()
                .any(|name| fields::value(self.header, name).is_some())
    }

    /// Whether a program wrote this, for a person or not.
    pub(super) fn is_auto_reply(&self, rules: &Rules) -> bool {
        self.answers_by_itself()
            || self.says("auto-submitted", &["auto-"])
            || self.says("precedence", &["bulk", "junk"])
            || rules.is_auto_reply(self.subject)
    }

    /// Whether a mail server wrote this to say what became of a mail.
    fn is_notice(&self, rules: &Rules, said: &str) -> bool {
        if rules.is_personal_reply(self.subject) || rules.is_auto_reply(self.subject) {
            return false;
        }
        if self.is_mailer_daemon() {
            return true;
        }
        // Others than the daemon answer a mail when they are people, or programs that speak for some.
        let answers =
            fields::value(self.header, "in-reply-to").is_some() || self.answers_by_itself();
        self.is_null_sender_or_postmaster() && !answers && self.tells(rules, said)
    }

    /// Whether subject or beginning are those of a notice.
    fn tells(&self, rules: &Rules, said: &str) -> bool {
        let opening = Words::of(beginning(said, OPENING_BYTES));
        let subject = Words::of(self.subject);
        [Meaning::Failed, Meaning::Delayed, Meaning::Delivered]
            .into_iter()
            .any(|meaning| {
                [&subject, &opening]
                    .iter()
                    .any(|words| rules.notice_says(words, meaning))
            })
    }
}

/// Reads a notice; `text` is the mail's. `None` if it is none.
pub(super) fn read(rules: &Rules, writer: &Writer<'_>, text: &str) -> Option<Report> {
    let said = before_the_copy(text);
    if !writer.is_notice(rules, said) {
        return None;
    }
    let said = without_subject(said);
    let words = Words::of(&said);
    let subject = Words::of(writer.subject);
    let says = |meaning| rules.notice_says(&words, meaning) || rules.notice_says(&subject, meaning);
    let status = find_status(&said);
    let refusal = Refusal {
        status: None,
        code: None,
        text: &said,
        around: "",
    };
    let kind = if says(Meaning::Delayed) {
        Kind::Delayed
    } else if refusal.is_dead_mailbox(rules) {
        Kind::Hard
    } else if status.is_none() && says(Meaning::Delivered) {
        Kind::Delivered
    } else {
        Kind::Soft
    };
    Some(Report::refused(kind, status, reason(rules, &said)))
}

/// What a text says before it quotes the mail.
pub(super) fn before_the_copy(text: &str) -> &str {
    const MARKS: [&str; 14] = [
        "--- below this line is a copy",
        "--- the header of the original",
        "----- original message",
        "------ this is a copy of the message",
        "below is a copy of the original message",
        "original message follows",
        "message headers follow",
        "message text follows",
        "copy of the message header",
        "returned message -----",
        "original mail info",
        "bounced e-mail:",
        "\nreturn-path:",
        "\nreceived:",
    ];
    // Lower case of ASCII only, so that offsets are the same.
    let lower = text.to_ascii_lowercase();
    let end = MARKS.iter().filter_map(|mark| lower.find(mark)).min();
    &text[..end.unwrap_or(text.len())]
}

/// Notices quote the subject of the mail, which was written by us and says nothing.
fn without_subject(said: &str) -> String {
    let is_subject = |line: &&str| {
        let line = line.trim_start_matches(|c: char| !c.is_alphabetic());
        line.get(..8)
            .is_some_and(|name| name.eq_ignore_ascii_case("subject:"))
    };
    let lines: Vec<&str> = said.lines().filter(|line| !is_subject(line)).collect();
    lines.join("\n")
}

/// The paragraph of a notice that says why: one with a code, an address in front, or words of a refusal; else the first.
pub(super) fn reason<'a>(rules: &Rules, said: &'a str) -> &'a str {
    let paragraphs: Vec<&str> = said
        .split("\n\n")
        .flat_map(|part| part.split("\r\n\r\n"))
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect();
    let find = |is: &dyn Fn(&str) -> bool| paragraphs.iter().copied().find(|part| is(part));
    find(&|part| find_status(part).is_some() || part.starts_with('<'))
        .or_else(|| find(&|part| part.lines().any(|line| leading_code(line).is_some())))
        .or_else(|| {
            let dead = [Meaning::Dead, Meaning::DeadAfterData];
            find(&|part| {
                dead.iter()
                    .any(|&dead| rules.reply_says(&Words::of(part), dead))
            })
        })
        .or(paragraphs.first().copied())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::fields::fields;
    use super::*;

    fn kind(header: &str, text: &str) -> Option<Kind> {
        let header = fields(header);
        let subject = fields::value(&header, "subject").unwrap_or_default();
        let writer = Writer::new(&header, subject);
        read(Rules::shipped(), &writer, text).map(|report| report.kind)
    }

    const GONE: &str = "Your message could not be delivered:\n\n550 No such user here\n";

    #[test]
    fn mail_servers_are_believed() {
        for header in [
            "From: MAILER-DAEMON@mx.example\nSubject: whatever",
            "From: MAILER-DAEMON <>\nSubject: Mail delivery failed",
            "From: mailer-daemon\nAuto-Submitted: auto-replied\nSubject: There was an error",
            "From: \"Mail Delivery System\" <noreply@mx.example>\nAuto-Submitted: auto-replied\nSubject: x",
            "From: post@mx.example\nX-Failed-Recipients: ada@example.org\nAuto-Submitted: auto-replied\nSubject: x",
            "From: post@mx.example\nReturn-Path: <>\nSubject: Undeliverable: News",
            "From: post@mx.example\nReturn-Path: <>\nSubject: E",
            "From: <>\nSubject: failure notice",
            "From: Postmaster <postmaster@mx.example>\nSubject: Undelivered Mail",
            "From: post@mx.example\nReturn-Path: <MAILER-DAEMON>\nSubject: x",
        ] {
            assert_eq!(kind(header, GONE), Some(Kind::Hard), "{header}");
        }
    }

    #[test]
    fn people_and_programs_that_answer_for_them_are_not() {
        for header in [
            "From: Ada <ada@example.org>\nSubject: Re: Free mail delivery failed to please",
            "From: Ada <ada@example.org>\nSubject: Mail delivery failed",
            "From: Ada <ada@example.org>\nReturn-Path: <ada@example.org>\nSubject: Undelivered",
            "From: Ada <ada@example.org>\nReturn-Path: <>\nSubject: AW: Undelivered mail",
            "From: Ada <ada@example.org>\nReturn-Path: <>\nSubject: Automatic reply: Undelivered mail",
            "From: Ada <ada@example.org>\nReturn-Path: <>\nAuto-Submitted: auto-replied\nSubject: Undelivered mail",
            "From: Ada <ada@example.org>\nReturn-Path: <>\nIn-Reply-To: <1@shop.example>\nSubject: Undelivered mail",
            "From: postmaster@example.org\nAuto-Submitted: auto-replied (vacation)\nSubject: Undelivered mail",
            "From: postmaster@example.org\nX-Autoreply: yes\nSubject: Undelivered mail",
            "From: postmaster@example.org\nIn-Reply-To: <1@shop.example>\nSubject: your mail delivery failed",
            "From: Ada <ada@example.org>\nReturn-Path: <MAILER-DAEMON>\nAuto-Submitted: auto-replied\nSubject: x",
            "From: MAILER-DAEMON@example.org\nSubject: Re: News",
        ] {
            assert_eq!(kind(header, GONE), None, "{header}");
        }
        let away = "I am away until Monday. That account does not exist any more.";
        let null = "From: ada@example.org\nReturn-Path: <>\nSubject: Free mail delivery this week";
        assert_eq!(kind(null, away), None);
    }

    #[test]
    fn notices_tell_what_became_of_the_mail() {
        let daemon = "From: MAILER-DAEMON@mx.example\nSubject: x";
        for (text, is) in [
            ("ada@example.org: no such user", Kind::Hard),
            ("ada@example.org: the mailbox is full", Kind::Soft),
            ("Something went wrong", Kind::Soft),
            (
                "Warning only! Your mail has not yet been delivered, user unknown or not",
                Kind::Delayed,
            ),
            ("Your message was delivered.", Kind::Delivered),
            // The mail's own subject and text are no reason.
            ("Subject: no such user\n\nIt failed", Kind::Soft),
            (
                "It failed\n\nReceived: from x\nSubject: y\n\nno such user",
                Kind::Soft,
            ),
            (
                "no such user\n\nReturn-Path: <b@shop.example>\n\nOur spam policy",
                Kind::Hard,
            ),
        ] {
            assert_eq!(kind(daemon, text), Some(is), "{text}");
        }
        let success =
            "From: postmaster@mx.example\nSubject: Delivery Status Notification (Success)";
        assert_eq!(
            kind(success, "Your mail was delivered."),
            Some(Kind::Delivered)
        );
    }

    #[test]
    fn the_telling_paragraph_is_kept() {
        for (said, why) in [
            (
                "Hi.\n\nNo luck.\n\n<a@x>:\nSorry (#5.1.1)\n\nBye",
                "<a@x>:\nSorry (#5.1.1)",
            ),
            (
                "Hi.\r\n\r\na@x\r\n  550 Gone away\r\n\r\nBye",
                "a@x\r\n  550 Gone away",
            ),
            ("Hi.\n\na@x: unknown user\n\nBye", "a@x: unknown user"),
            ("\n\nHi.\n\nBye", "Hi."),
            ("", ""),
        ] {
            assert_eq!(reason(Rules::shipped(), said), why);
        }
    }
}
