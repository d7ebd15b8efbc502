//! Replies without what differs from mail to mail, so that a server that refuses everybody with the same words is told
//! from one that knows some recipients not: Postfix writes the recipient into its reply, others their queue's id.

use super::refusal::statuses;

/// A reply with what names one mail left out: addresses, URLs, names of hosts, numbers, ids, and the recipient's local
/// part where it stands alone. Reply code and enhanced status codes stay. Replies for the same reason are then equal.
pub fn comparable(reply: &str, recipient: &str) -> String {
    let recipient = recipient.trim_matches(['<', '>', ' ']).to_lowercase();
    let local = recipient
        .rsplit_once('@')
        .map_or(&*recipient, |(local, _)| local);
    let mut kept: Vec<String> = Vec::new();
    for word in reply.to_lowercase().split_whitespace() {
        // Lines of a long reply repeat the codes, as in `550-5.1.1`.
        let (code, rest) = split_code(word);
        if let Some(code) = code {
            keep_once(&mut kept, code);
        }
        if let Some(status) = statuses(rest).next() {
            keep_once(&mut kept, status);
            continue;
        }
        if rest.contains('@') || rest.contains("://") {
            continue;
        }
        // One with a tag, as in `ada+news`, would come apart below.
        let rest = match is_word(local) {
            true => rest.to_owned(),
            false => rest.replace(local, " "),
        };
        let pieces = rest
            .split(|c: char| !is_inside(c))
            .map(|piece| piece.trim_matches(|c: char| !c.is_alphanumeric()));
        for piece in pieces.filter(|piece| !piece.is_empty() && !is_of_one_mail(piece, local)) {
            kept.push(piece.to_owned());
        }
    }
    kept.join(" ")
}

fn keep_once(kept: &mut Vec<String>, code: &str) {
    if !kept.iter().any(|known| known == code) {
        kept.push(code.to_owned());
    }
}

/// The reply code at the beginning of a word, and the rest.
fn split_code(word: &str) -> (Option<&str>, &str) {
    let is_code =
        |code: &str| code.bytes().all(|byte| byte.is_ascii_digit()) && code.starts_with(['4', '5']);
    match word.split_at_checked(3) {
        Some((code, "")) if is_code(code) => (Some(code), ""),
        Some((code, rest)) if is_code(code) && rest.starts_with('-') => (Some(code), &rest[1..]),
        _ => (None, word),
    }
}

/// Whether a local part stays in one piece; the shortest ones stand within other words.
fn is_word(local: &str) -> bool {
    local.len() < 3 || local.chars().all(is_inside)
}

/// What a word is made of.
fn is_inside(c: char) -> bool {
    c.is_alphanumeric() || "'’.-_".contains(c)
}

/// Whether a word is a number, an id, the name of a host, or the recipient's.
fn is_of_one_mail(word: &str, local: &str) -> bool {
    let is_host = word.contains('.') && !word.ends_with("...");
    word == local || is_host || word.contains(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_refusal_of_two_recipients_is_the_same() {
        for (one, other, same) in [
            (
                "554 5.7.1 <r17@example.com>: Relay access denied",
                "554 5.7.1 <r18@mail.example.org>: Relay access denied",
                "554 5.7.1 relay access denied",
            ),
            (
                "RCPT TO: 550 5.1.1 <r17@example.com>: Recipient address rejected: User unknown in virtual mailbox table",
                "RCPT TO: 550 5.1.1 <ada@example.com>: Recipient address rejected: User unknown in virtual mailbox table",
                "rcpt to 550 5.1.1 recipient address rejected user unknown in virtual mailbox table",
            ),
            (
                "550-5.7.1 [203.0.113.9      12] Our system has detected\n550 5.7.1 spam. p131si8414989oif.118 - gsmtp",
                "550-5.7.1 [203.0.113.9      11] Our system has detected\n550 5.7.1 spam. q7si41498oif.3 - gsmtp",
                "550 5.7.1 our system has detected spam gsmtp",
            ),
            (
                "450 4.2.0 r17... Greylisted, see https://grey.example/?id=r17 in 300 seconds (queue 4N1w263TMDz1wYtp)",
                "450 4.2.0 ada... Greylisted, see https://grey.example/?id=ada in 271 seconds (queue 5C1w2R3TMDz1wYtq)",
                "450 4.2.0 greylisted see in seconds queue",
            ),
            (
                "550 unknown user r17 at example.com",
                "550 Unknown user ada at mail.example.org",
                "550 unknown user at",
            ),
        ] {
            assert_eq!(comparable(one, "r17@example.com"), same);
            assert_eq!(comparable(other, "<Ada@example.org>"), same);
        }
    }

    #[test]
    fn local_parts_with_a_tag_are_left_out_too() {
        for (reply, recipient) in [
            (
                "550 5.1.1 user o'brien+news not known here",
                "o'brien+news@example.org",
            ),
            (
                "550 5.1.1 User ada=x/y not known here",
                "Ada=x/Y@example.org",
            ),
            ("550 5.1.1 user (ada) not known here", "ada@example.org"),
            ("550 5.1.1 user <a+b> not known here", "a+b@example.org"),
        ] {
            assert_eq!(
                comparable(reply, recipient),
                "550 5.1.1 user not known here",
                "{reply}"
            );
        }
    }

    #[test]
    fn other_reasons_stay_different() {
        let replies = [
            "550 5.1.1 <a@x.example>: User unknown",
            "550 5.7.1 <a@x.example>: User unknown",
            "554 5.1.1 <a@x.example>: User unknown",
            "550 5.1.1 <a@x.example>: User gone",
            "550 User unknown",
            "",
        ];
        for (at, reply) in replies.iter().enumerate() {
            for other in &replies[..at] {
                assert_ne!(
                    comparable(reply, "a@x.example"),
                    comparable(other, "a@x.example")
                );
            }
        }
    }
}
