//! Lists of mailboxes: those that replies go to instead of the sender's (RFC 5322, section 3.6.2), and those that get copies (section
//! 3.6.3).

use lettre::message::header::{Cc, ReplyTo};
use lettre::message::{Mailbox, Mailboxes};

use super::address::parse_mailbox;
use super::encoded_word;
use super::error::MessageError;

const REPLY_TO: &str = "reply-to";

/// Checks mailboxes with commas between them, each as that of a sender.
///
/// # Errors
/// Names the first that is none, and why; no mailbox at all.
pub fn check_reply_to(list: &str) -> Result<(), MessageError> {
    parse(list).map(drop)
}

/// A mailbox of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedMailbox {
    /// As a list may hold it: `Name <local@domain>` or `local@domain`.
    pub text: String,
    pub address: String,
}

/// Takes mailboxes with commas between them apart; none are none.
///
/// # Errors
/// Names the first that is none, and why. `field`: what the list is called.
pub fn mailboxes(field: &'static str, list: &str) -> Result<Vec<ListedMailbox>, MessageError> {
    let mailboxes = parse_list(field, list)?.into_iter();
    let listed = mailboxes.map(|mailbox| ListedMailbox {
        text: mailbox.to_string(),
        address: mailbox.email.to_string(),
    });
    Ok(listed.collect())
}

/// Takes the mailboxes that replies go to apart.
pub(super) fn parse(list: &str) -> Result<Vec<Mailbox>, MessageError> {
    let mailboxes = parse_list(REPLY_TO, list)?;
    match mailboxes.is_empty() {
        true => parse_mailbox(REPLY_TO, "").map(|mailbox| vec![mailbox]),
        false => Ok(mailboxes),
    }
}

/// Empty places in a list are skipped, as a row may have nothing for one of them.
fn parse_list(field: &'static str, list: &str) -> Result<Vec<Mailbox>, MessageError> {
    split(list)
        .into_iter()
        .filter(|mailbox| !mailbox.is_empty())
        .map(|mailbox| parse_mailbox(field, mailbox))
        .collect()
}

/// Splits at commas, but for those in a quoted name or between angle brackets.
fn split(list: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut start = 0;
    let mut end_of_group = None;
    let mut is_escaped = false;
    for (at, c) in list.char_indices() {
        match (end_of_group, c) {
            (Some('"'), _) if is_escaped => is_escaped = false,
            (Some('"'), '\\') => is_escaped = true,
            (Some(end), c) if c == end => end_of_group = None,
            (Some(_), _) => {}
            // Elsewhere in a name it is a letter like others.
            (None, '"') if list[start..at].trim().is_empty() => end_of_group = Some('"'),
            (None, '<') => end_of_group = Some('>'),
            (None, ',') => {
                parts.push(list[start..at].trim());
                start = at + 1;
            }
            (None, _) => {}
        }
    }
    parts.push(list[start..].trim());
    parts
}

/// The header `Reply-To` as lettre writes it.
pub(super) fn reply_to(mailboxes: &[Mailbox]) -> ReplyTo {
    ReplyTo::from(list(mailboxes))
}

/// The header `Cc` as lettre writes it.
pub(super) fn cc(mailboxes: &[Mailbox]) -> Cc {
    Cc::from(list(mailboxes))
}

fn list(mailboxes: &[Mailbox]) -> Mailboxes {
    let mut list = Mailboxes::new();
    list.extend(mailboxes.iter().cloned());
    list
}

/// The header's value, and the same with all names as encoded words, where lettre would write one as it is that must be.
pub(super) fn encoded(mailboxes: &[Mailbox]) -> Option<(String, String)> {
    let mut names = mailboxes
        .iter()
        .filter_map(|mailbox| mailbox.name.as_deref());
    if !names.any(encoded_word::is_needed) {
        return None;
    }
    let shown: Vec<String> = mailboxes.iter().map(Mailbox::to_string).collect();
    let encoded: Vec<String> = mailboxes
        .iter()
        .map(|mailbox| match mailbox.name.as_deref() {
            Some(name) => format!("{}\r\n <{}>", encoded_word::encode(name), mailbox.email),
            None => mailbox.email.to_string(),
        })
        .collect();
    Some((shown.join(", "), encoded.join(",\r\n ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_in_names_and_brackets_do_not_split() {
        for (list, parts) in [
            ("a@b.example", vec!["a@b.example"]),
            (
                " a@b.example ,c@d.example",
                vec!["a@b.example", "c@d.example"],
            ),
            (
                r#""Tea, \"Ltd\", all" <a@b.example>, O"Brien, <c@d.example>"#,
                vec![
                    r#""Tea, \"Ltd\", all" <a@b.example>"#,
                    "O\"Brien",
                    "<c@d.example>",
                ],
            ),
            ("Tea <a,b@c.example>, ", vec!["Tea <a,b@c.example>", ""]),
            (
                r#""never ends, <a@b.example>"#,
                vec![r#""never ends, <a@b.example>"#],
            ),
        ] {
            assert_eq!(split(list), parts, "{list}");
        }
    }

    #[test]
    fn one_that_is_none_is_named() {
        for (list, error) in [
            ("", "reply-to \"\" is no address: it is empty"),
            (" , ", "reply-to \"\" is no address: it is empty"),
            (
                "a@b.example, Zoë",
                "reply-to \"Zoë\" is no address: it has no @",
            ),
            (
                "a@b.example c@d.example",
                "reply-to \"a@b.example c@d.example\" is no address: it has more than one @",
            ),
        ] {
            assert_eq!(
                check_reply_to(list).unwrap_err().to_string(),
                error,
                "{list}"
            );
        }
        assert_eq!(check_reply_to("a@b.example, , Zoë <c@d.example>,"), Ok(()));
    }
}
