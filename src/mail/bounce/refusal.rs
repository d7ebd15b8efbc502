//! What a refusal says: that the mailbox does not exist, or something that may pass.

/// Enhanced status codes (RFC 3463, and RFC 7505 for 5.1.10) by which a server says that mail to this address has no
/// future. Not 5.1.7 and 5.1.8, which are about the sender, nor 5.7: a policy is about us.
const DEAD: [&str; 6] = ["5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1"];

/// Codes that say nothing by themselves; then the words decide.
const VAGUE: [&str; 4] = ["5.0.0", "5.1.0", "5.2.0", "5.5.0"];

const ABOUT_THE_MAILBOX: [&str; 29] = [
    "user unknown",
    "unknown user",
    "no such user",
    "no such recipient",
    "no such mailbox",
    "no such address",
    "no mailbox",
    "not a known user",
    "not a valid mailbox",
    "not a valid user",
    "mailbox not found",
    "mailbox is disabled",
    "mailbox disabled",
    "user not found",
    "recipient not found",
    "recipientnotfound",
    "recipient unknown",
    "unknown recipient",
    "unknown address",
    "address unknown",
    "invalid recipient",
    "invalid mailbox",
    "does not exist",
    "doesn't exist",
    "doesn't have a",
    "account has been disabled",
    "account is disabled",
    "no longer valid",
    "unrouteable address",
];

/// Words of refusals that are about the mail, the sender or the moment, whatever else they say.
const ABOUT_SOMETHING_ELSE: [&str; 20] = [
    "spam",
    "policy",
    "policies",
    "blocked",
    "block list",
    "blocklist",
    "blacklist",
    "blackhole",
    "reputation",
    "spf",
    "dkim",
    "dmarc",
    "sender",
    "relay",
    "quota",
    "over limit",
    "mailbox full",
    "mailbox is full",
    "too large",
    "try again",
];

/// Whether a refusal says that the recipient's mailbox does not exist, so that no mail must go there again.
///
/// `status`: enhanced status code, where there is one; `text`: what the server said. A code that is clear decides;
/// without one the words do, and where they do not, the mailbox lives.
pub fn is_dead_mailbox(status: Option<&str>, text: &str) -> bool {
    match status {
        Some(status) if DEAD.contains(&status) => true,
        Some(status) if !VAGUE.contains(&status) => false,
        _ => {
            let text = text.to_lowercase();
            let says = |words: &[&str]| words.iter().any(|words| text.contains(words));
            says(&ABOUT_THE_MAILBOX) && !says(&ABOUT_SOMETHING_ELSE)
        }
    }
}

/// The first enhanced status code of a failure in a text, alone or as in `(#5.1.1)` and `550-5.1.1`.
pub(super) fn find_status(text: &str) -> Option<String> {
    text.split(|c: char| !(c.is_ascii_digit() || c == '.'))
        .map(|word| word.trim_matches('.'))
        .find(|word| {
            let parts: Vec<&str> = word.split('.').collect();
            matches!(parts[..], ["4" | "5", subject, detail]
                if [subject, detail].iter().all(|part| (1..=3).contains(&part.len())))
        })
        .map(str::to_owned)
}

/// Whether a notice says that delivery is still tried.
pub(super) fn is_waiting(text: &str) -> bool {
    const WORDS: [&str; 6] = [
        "will be retried",
        "will keep trying",
        "will continue to try",
        "has been delayed",
        "warning only",
        "not yet been delivered",
    ];
    let text = text.to_lowercase();
    WORDS.iter().any(|words| text.contains(words))
}

/// What a notice in prose says before it quotes the mail.
pub(super) fn before_the_copy(text: &str) -> &str {
    const MARKS: [&str; 5] = [
        "--- below this line is a copy",
        "--- the header of the original",
        "----- original message",
        "------ this is a copy of the message",
        "\nreturn-path:",
    ];
    // Lower case of ASCII only, so that offsets are the same.
    let lower = text.to_ascii_lowercase();
    let end = MARKS.iter().filter_map(|mark| lower.find(mark)).min();
    &text[..end.unwrap_or(text.len())]
}

/// The paragraph of a notice that says why: the one with a code or an address, else the first.
pub(super) fn reason(text: &str) -> &str {
    let mut paragraphs = text
        .split("\n\n")
        .flat_map(|part| part.split("\r\n\r\n"))
        .map(str::trim);
    let telling = |part: &&str| find_status(part).is_some() || part.starts_with('<');
    paragraphs
        .clone()
        .find(telling)
        .or_else(|| paragraphs.find(|part| !part.is_empty()))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_mailbox_that_does_not_exist_is_dead() {
        let dead = [
            (Some("5.1.1"), "550 5.1.1 whatever"),
            (Some("5.1.10"), "RESOLVER.ADR.RecipientNotFound"),
            (
                Some("5.2.1"),
                "The email account that you tried to reach is disabled.",
            ),
            (None, "550 No such user here"),
            (
                None,
                "550 <ada@example.org>: Recipient address rejected: User unknown in virtual mailbox table",
            ),
            (
                Some("5.0.0"),
                "554 delivery error: dd This user doesn't have a yahoo.com account",
            ),
        ];
        let alive = [
            (Some("5.7.1"), "550 5.7.1 no such user, or so"),
            (Some("5.7.26"), "unauthenticated mail: user unknown"),
            (Some("5.2.2"), "mailbox full"),
            (Some("5.3.4"), "message too big"),
            (Some("5.1.8"), "Sender address rejected: Domain not found"),
            (Some("4.4.1"), "connection timed out"),
            (
                Some("5.0.0"),
                "554 Message rejected as spam: mailbox unavailable",
            ),
            (
                None,
                "550 Requested action not taken: mailbox unavailable. Reject due to SPF policy",
            ),
            (None, "554 5.x.x what"),
            (None, "552 over quota: user unknown"),
            (
                Some("5.1.0"),
                "<a@b.example>: Sender address rejected: unknown user",
            ),
            // RFC 5321 has one text for what is gone and what is refused.
            (
                Some("5.5.0"),
                "550 5.5.0 Requested action not taken: mailbox unavailable",
            ),
            // Our own name server may be the one that is wrong.
            (
                Some("5.4.4"),
                "Host or domain name not found. Name service error for name=exmaple.org",
            ),
            (None, ""),
        ];
        for (status, text) in dead {
            assert!(is_dead_mailbox(status, text), "{status:?} {text}");
        }
        for (status, text) in alive {
            assert!(!is_dead_mailbox(status, text), "{status:?} {text}");
        }
    }

    #[test]
    fn a_status_is_told_from_other_numbers() {
        for (text, status) in [
            ("5.1.1", Some("5.1.1")),
            (
                "Sorry, no mailbox here by that name. (#5.1.1)",
                Some("5.1.1"),
            ),
            ("smtp; 550-5.1.10 gone.", Some("5.1.10")),
            ("5.1.1.", Some("5.1.1")),
            ("192.0.2.5 said 5.1", None),
            ("10.5.1.1 refused", None),
            ("since 2.5.1", None),
            ("5.1.1234", None),
            ("5..1", None),
            ("", None),
        ] {
            assert_eq!(find_status(text).as_deref(), status, "{text}");
        }
    }
}
