//! Mail addresses within a text that somebody else wrote, as a reply of a server.

use std::ops::Range;

/// What stands for an address in a text that must not hold one.
const LEFT_OUT: &str = "…";

/// Where the first address in a text stands: what is around an @ and may be part of an address.
pub(crate) fn first(text: &str) -> Option<Range<usize>> {
    let sign = text.find('@')?;
    let inside = |c: char| c.is_alphanumeric() || "!#$%&*+/=?^_`{|}~-.\"".contains(c);
    // Within a name it is no quote.
    let joins = |at: usize, c| c == '\'' && text[..at].ends_with(char::is_alphanumeric);
    let start = text[..sign]
        .char_indices()
        .rev()
        .take_while(|(at, c)| inside(*c) || joins(*at, *c))
        .last()
        .map_or(sign, |(at, _)| at);
    let domain = &text[sign + 1..];
    let end = domain.find(|c| !inside(c)).unwrap_or(domain.len());
    Some(start..sign + 1 + end)
}

/// The text with `…` for each address: logs and the state of a mailer are read by people who may not see whom mails go to, and
/// servers like to repeat it.
pub fn without(text: &str) -> String {
    let mut rest = text;
    let mut plain = String::with_capacity(text.len());
    while let Some(address) = first(rest) {
        plain.push_str(&rest[..address.start]);
        plain.push_str(LEFT_OUT);
        rest = &rest[address.end..];
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_without_addresses_says_the_rest() {
        for (text, expected) in [
            ("connection refused", "connection refused"),
            (
                "RCPT TO: 550 5.1.1 <ada@example.org> unknown",
                "RCPT TO: 550 5.1.1 <…> unknown",
            ),
            ("421 ada@example.org: later", "421 …: later"),
            ("zoë+x@bücher.example, b@c.example", "…, …"),
            ("to=(a.b@c.example)(d@e)", "to=(…)(…)"),
            ("a@b@c.example", "……"),
            ("@", "…"),
            ("'ada@example.org'", "'…'"),
            ("<o'brien+x@example.org> 'o'hara@example.org'", "<…> '…'"),
            ("", ""),
        ] {
            assert_eq!(without(text), expected, "{text:?}");
        }
    }
}
