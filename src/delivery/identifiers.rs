//! Identifiers in a mail's header by which providers group mails of one kind.

use sha2::{Digest, Sha256};

/// Longest name of a scenario, or of a class of mails, in an identifier.
const MAX_NAME: usize = 60;
/// Gmail's bounds for the last field of a Feedback-ID.
const SENDER_CHARS: std::ops::RangeInclusive<usize> = 5..=15;

/// Feedback-ID as Gmail defines it: up to three identifiers and the sender, separated by colons. The third is the class of the mail.
pub fn feedback_id(activity: i32, scenario: &str, class: &str, sender: &str) -> String {
    let field = |name: &str| -> String {
        name.chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .take(MAX_NAME)
            .collect()
    };
    format!("{activity}:{}:{}:{sender}", field(scenario), field(class))
}

/// What the last field of a Feedback-ID must be for Gmail to count by it.
///
/// # Errors
/// Why it is none.
pub fn check_feedback_sender(text: &str) -> Result<(), String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    match SENDER_CHARS.contains(&text.len()) && text.chars().all(is_part) {
        true => Ok(()),
        false => Err(format!(
            "{text:?} is no SenderId: 5 to 15 letters, digits, hyphens, dots and underscores"
        )),
    }
}

/// The SenderId where none is set: the host of the links, of which the last labels stay that fit.
pub fn default_feedback_sender(host: &str) -> String {
    let mut sender = host;
    while sender.len() > *SENDER_CHARS.end()
        && let Some((_, rest)) = sender.split_once('.')
    {
        sender = rest;
    }
    let sender: String = sender
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.'))
        .take(*SENDER_CHARS.end())
        .collect();
    match sender.len() < *SENDER_CHARS.start() {
        true => format!("{sender}-mail"),
        false => sender,
    }
}

/// List-Id (RFC 2919): one for each scenario, whatever letters its name has.
pub fn list_id(scenario: &str, host: &str) -> String {
    let mut label = String::new();
    for c in scenario.to_lowercase().chars().take(MAX_NAME) {
        match c.is_ascii_alphanumeric() {
            true => label.push(c),
            false if !label.ends_with('-') && !label.is_empty() => label.push('-'),
            false => {}
        }
    }
    let label = label.trim_end_matches('-');
    if label == scenario {
        return format!("{label}.{host}");
    }
    // Names that differ in other letters only are different lists.
    let digest: String = Sha256::digest(scenario)
        .iter()
        .take(4)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    match label.is_empty() {
        true => format!("{digest}.{host}"),
        false => format!("{label}-{digest}.{host}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feedback_id_ends_with_a_sender_as_gmail_wants_it() {
        assert_eq!(
            feedback_id(7, "Été 1", "marketing", "shop.example"),
            "7:-t--1:marketing:shop.example"
        );
        assert_eq!(
            feedback_id(7, "orders", "of: ours", "shop.example"),
            "7:orders:of--ours:shop.example"
        );
        for (host, sender) in [
            ("t.shop.example", "t.shop.example"),
            ("links.shop.example", "shop.example"),
            ("links.a-very-long-shop.example", "example"),
            ("averyveryverylongname", "averyveryverylo"),
            ("m.de", "m.de-mail"),
            ("[::1]", "1-mail"),
            ("127.0.0.1", "127.0.0.1"),
        ] {
            assert_eq!(default_feedback_sender(host), sender);
            assert!(check_feedback_sender(sender).is_ok(), "{sender}");
        }
        for sender in [
            "",
            "shop",
            "sixteen-letters1",
            "shop example",
            "shop:example",
            "böser",
        ] {
            assert!(check_feedback_sender(sender).is_err(), "{sender}");
        }
    }

    #[test]
    fn each_scenario_is_a_list_of_its_own() {
        assert_eq!(
            list_id("welcome-2026", "t.example"),
            "welcome-2026.t.example"
        );
        let names = [
            "Welcome 2026",
            "welcome 2026",
            "welcome_2026",
            "Été",
            "été!",
            "Акция",
            "促销",
            "-",
            "a--b",
            "a-b",
        ];
        let mut ids: Vec<String> = names
            .iter()
            .map(|name| list_id(name, "t.example"))
            .collect();
        for id in &ids {
            let label = id.strip_suffix(".t.example").unwrap();
            assert!(
                !label.is_empty()
                    && label
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b == b'-'),
                "{id}"
            );
            assert!(label.len() <= 70);
        }
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), names.len());
    }
}
