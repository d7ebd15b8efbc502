//! Delivery status notifications (RFC 3464, RFC 6533): groups of fields, one for the mail and one for each recipient.

use super::fields::{self, Field, fields};
use super::notice;
use super::refusal::{Refusal, find_status, leading_code};
use super::report::{Kind, Report};
use super::returned;
use super::rules::{Meaning, Rules};
use super::words::Words;

/// Recipients looked at: ours has one, an alias some.
const MAX_RECIPIENTS: usize = 32;
/// Fields of which a recipient has one each.
const ONCE: [&str; 3] = ["final-recipient", "action", "status"];
/// Fields by which a group is a recipient's.
const OF_RECIPIENT: [&str; 5] = [
    "final-recipient",
    "original-recipient",
    "action",
    "status",
    "diagnostic-code",
];

/// Reads a notification: `status`, its fields; `said`, the prose that came with it. Each of our mails has one recipient;
/// of several, as after an alias, the first that failed.
pub(super) fn read(rules: &Rules, status: &str, said: &str) -> Report {
    let mut best = Report::new(Kind::Unknown);
    for recipient in recipients(status).into_iter().take(MAX_RECIPIENTS) {
        let Some(found) = read_recipient(rules, &recipient, said) else {
            continue;
        };
        if matches!(found.kind, Kind::Hard | Kind::Soft) {
            return found;
        }
        best = found;
    }
    best
}

/// Reads what a notification says of each recipient, by each address that it has of them: the one of the mail, and where it went in the
/// end.
pub(super) fn read_each(rules: &Rules, status: &str, said: &str) -> Vec<(String, Report)> {
    let mut found = Vec::new();
    for recipient in recipients(status).into_iter().take(MAX_RECIPIENTS) {
        let Some(report) = read_recipient(rules, &recipient, said) else {
            continue;
        };
        let named = ["original-recipient", "final-recipient"].into_iter();
        let named = named.filter_map(|name| fields::value(&recipient, name));
        for address in named.flat_map(returned::addresses) {
            found.push((address.to_owned(), report.clone()));
        }
    }
    found
}

/// The groups that are about recipients. Empty lines part them, and so does a field that a recipient has only once; a
/// group that goes on with other fields of the same recipient, as after a stray empty line, belongs to the one before.
fn recipients(status: &str) -> Vec<Vec<Field>> {
    let mut recipients: Vec<Vec<Field>> = Vec::new();
    for group in groups(status) {
        let is_about = |names: &[&str]| group.iter().any(|field| names.contains(&&*field.name));
        if !is_about(&OF_RECIPIENT) {
            continue;
        }
        let mut goes_on = !is_about(&["final-recipient", "original-recipient"]);
        for field in group {
            let name = field.name.as_str();
            match recipients.last_mut() {
                Some(last)
                    if goes_on
                        && !(ONCE.contains(&name) && fields::value(last, name).is_some()) =>
                {
                    last.push(field);
                }
                _ => recipients.push(vec![field]),
            }
            goes_on = true;
        }
    }
    recipients
}

/// The fields between empty lines.
fn groups(status: &str) -> Vec<Vec<Field>> {
    let mut groups = vec![String::new()];
    for line in status.lines() {
        match (line.trim().is_empty(), groups.last_mut()) {
            (false, Some(group)) => {
                group.push_str(line);
                group.push('\n');
            }
            _ => groups.push(String::new()),
        }
    }
    groups.iter().map(|group| fields(group)).collect()
}

fn read_recipient(rules: &Rules, recipient: &[Field], said: &str) -> Option<Report> {
    let value = |name| fields::value(recipient, name).unwrap_or_default();
    let diagnostic = value("diagnostic-code");
    // RFC 3464, section 2.1.2: a type stands in front, as in `smtp; 550`; some leave it out.
    let is_type = |text: &str| {
        let text = text.trim();
        text.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let diagnostic = diagnostic
        .split_once(';')
        .filter(|(name, _)| is_type(name))
        .map_or(diagnostic, |(_, text)| text.trim());
    let status = find_status(value("status"));
    let class = value("status").trim_start().chars().next();
    // Where the field says nothing, as `X-Unix; 77`, the prose does.
    let text = match Words::of(diagnostic).is_empty() {
        true => said,
        false => diagnostic,
    };
    let refused = || {
        let refusal = Refusal {
            code: None,
            status: status.as_deref(),
            text,
            around: said,
        };
        match refusal.is_dead_mailbox(rules) {
            true => Kind::Hard,
            false => Kind::Soft,
        }
    };
    let action = value("action").to_ascii_lowercase();
    let action = action
        .split(|c: char| !c.is_ascii_alphabetic())
        .find(|word| !word.is_empty());
    let kind = match action.unwrap_or_default() {
        "failed" => refused(),
        "delayed" => Kind::Delayed,
        "delivered" | "relayed" | "expanded" => Kind::Delivered,
        // No action, or one that RFC 3464 does not know: the codes tell.
        _ => match class {
            Some('2') => Kind::Delivered,
            Some('4') if rules.notice_says(&Words::of(said), Meaning::Delayed) => Kind::Delayed,
            Some('4' | '5') => refused(),
            _ if action.is_some() || leading_code(diagnostic).is_some() => refused(),
            _ => return None,
        },
    };
    // The server that refused often knows better than the one that reports.
    let exact = find_status(diagnostic);
    let is_clear = |status: &str| rules.status(status) != Some(Meaning::Unclear);
    let status = match (status, exact) {
        (Some(general), Some(exact))
            if is_clear(&exact) && (kind == Kind::Soft || !is_clear(&general)) =>
        {
            Some(exact)
        }
        (None, exact) => exact,
        (status, _) => status,
    };
    let diagnostic = match diagnostic.is_empty() {
        true if matches!(kind, Kind::Hard | Kind::Soft) => notice::reason(rules, said),
        _ => diagnostic,
    };
    Some(Report::refused(kind, status, diagnostic))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind_and_status(status: &str, said: &str) -> (Kind, Option<String>) {
        let report = read(Rules::shipped(), status, said);
        (report.kind, report.status)
    }

    fn some(status: &str) -> Option<String> {
        Some(status.to_owned())
    }

    #[test]
    fn the_failure_counts_among_several_recipients() {
        let relayed = "Final-Recipient: rfc822; a@x\nAction: relayed\nStatus: 2.0.0\n";
        let failed = "Final-Recipient: rfc822; b@x\nAction: failed\nStatus: 5.0.0\nDiagnostic-Code: smtp; 550 5.1.1 gone\n";
        let expected = (Kind::Hard, some("5.1.1"));
        for between in ["\n", ""] {
            let report = format!("Reporting-MTA: dns; x\n\n{relayed}{between}{failed}");
            assert_eq!(kind_and_status(&report, ""), expected, "{report}");
        }
        assert_eq!(kind_and_status(relayed, "").0, Kind::Delivered);
    }

    #[test]
    fn fields_come_in_any_order_and_spelling() {
        let expected = (Kind::Hard, some("5.1.1"));
        for report in [
            "Reporting-MTA: dns; x\n\nAction: failed\nFinal-Recipient: rfc822; a@x\nDiagnostic-Code: smtp; 550 5.1.1 no\nStatus: 5.1.1\n",
            "Reporting-MTA: dns; x\n\nStatus: 5.1.1\nAction: failed\nOriginal-Recipient: rfc822; a@x\nFinal-Recipient: rfc822; a@x\n",
            "Action : FAILED (bad destination)\r\nStatus :5.1.1 (no such person)\r\nFinal-Recipient\t: rfc822;a@x\r\n",
            // One group for all.
            "Reporting-MTA: dns; x\nFinal-Recipient: rfc822; a@x\nAction: failed\nStatus: 5.1.1\n",
            // A stray empty line.
            "Reporting-MTA: dns; x\n\nFinal-Recipient: rfc822; a@x\n\nAction: failed\nStatus: 5.1.1\n",
            // No action, or one that is none.
            "Final-Recipient: rfc822; a@x\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 no such user\n",
            "Final-Recipient: rfc822; a@x\nAction: bounced\nStatus: 5.1.1\n",
            "Final-Recipient: rfc822; a@x\nction: failed\nStatus: 5.1.1\n",
        ] {
            assert_eq!(kind_and_status(report, ""), expected, "{report}");
        }
        // The second recipient's order does not give its action to the first.
        let two = "Action: delivered\nFinal-Recipient: rfc822; a@x\nStatus: 2.1.5\n\n\
            Action: failed\nFinal-Recipient: rfc822; b@x\nStatus: 5.1.1\n";
        assert_eq!(kind_and_status(two, ""), expected);
    }

    #[test]
    fn without_a_known_action_the_codes_tell() {
        let waits = "It will be retried until Friday.";
        for (report, said, kind) in [
            (
                "Action: expired\nStatus:\nDiagnostic-Code: connection timed out\n",
                "",
                Kind::Soft,
            ),
            ("Status: 4.4.1\n", "", Kind::Soft),
            ("Status: 4.4.1\n", waits, Kind::Delayed),
            ("Status: 2.1.5\n", "", Kind::Delivered),
            ("Diagnostic-Code: smtp; 550 No such user\n", "", Kind::Hard),
            ("Diagnostic-Code: smtp; 250 fine\n", "", Kind::Unknown),
            ("Reporting-MTA: dns; x\n", "550 No such user", Kind::Unknown),
            ("", "550 No such user", Kind::Unknown),
        ] {
            assert_eq!(kind_and_status(report, said).0, kind, "{report}");
        }
    }

    #[test]
    fn the_prose_tells_what_the_fields_leave_out() {
        let bare = "Final-Recipient: rfc822; a@x\nAction: failed\nStatus: 5.0.0\n";
        for (said, kind) in [
            ("a@x: Domain does not exist", Kind::Hard),
            ("a@x: No route to host", Kind::Soft),
        ] {
            assert_eq!(kind_and_status(bare, said).0, kind, "{said}");
            let number = format!("{bare}Diagnostic-Code: X-Unix; 67\n");
            assert_eq!(kind_and_status(&number, said).0, kind, "{said}");
        }
        let refused = format!("{bare}Diagnostic-Code: smtp; 550 User unknown\n");
        assert_eq!(
            kind_and_status(&refused, "in reply to RCPT TO command").0,
            Kind::Hard
        );
        assert_eq!(
            kind_and_status(&refused, "in reply to end of DATA command").0,
            Kind::Soft
        );
        let report = read(
            Rules::shipped(),
            bare,
            "Hi!\n\na@x: Domain does not exist\n",
        );
        assert_eq!(
            report.diagnostic.as_deref(),
            Some("a@x: Domain does not exist")
        );
    }

    #[test]
    fn the_refusing_server_knows_better() {
        let report = |status: &str, diagnostic: &str| {
            kind_and_status(
                &format!("Action: failed\nStatus: {status}\nDiagnostic-Code: smtp; {diagnostic}\n"),
                "",
            )
        };
        assert_eq!(
            report("5.1.1", "550 5.7.1 not you"),
            (Kind::Soft, some("5.7.1"))
        );
        assert_eq!(
            report("5.1.1", "552 5.2.2 full"),
            (Kind::Soft, some("5.2.2"))
        );
        assert_eq!(
            report("5.5.0", "550 5.1.1 gone"),
            (Kind::Hard, some("5.1.1"))
        );
        assert_eq!(
            report("5.1.1", "550 5.0.0 gone"),
            (Kind::Hard, some("5.1.1"))
        );
    }
}
