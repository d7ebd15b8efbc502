//! Addresses in the template of a sender that are none, whatever a row says.

use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;

use super::dead_links::{TAG, without_tags};
use super::error::{Part, TemplateError};
use crate::mail::message::check_sender;

/// What an expression may give anywhere in an address.
const SOMETHING: &str = "a";

/// Finds the first address that no value of an expression makes one. What stands in branches is judged where it is a constant
/// between brackets: only there is clear where an address begins and ends.
///
/// # Errors
/// The address, where it stands, and why it is none.
pub(super) fn refuse_no_address(source: &str) -> Result<(), TemplateError> {
    let text = without_tags(source);
    // That of all mails alike is the caller's.
    if !text.contains(TAG) {
        return Ok(());
    }
    let has_branches = tokenize(source, false, SyntaxConfig::default())
        .map_while(Result::ok)
        .any(|(token, _)| matches!(token, Token::BlockStart));
    let mut addresses: Vec<(usize, &str)> = text
        .match_indices('>')
        .filter_map(|(end, _)| {
            let start = text[..end].rfind('<')? + 1;
            Some((start, &text[start..end]))
        })
        .collect();
    // A bracket may come from an expression.
    if !has_branches && text.contains('@') && !text.contains(['<', '>']) {
        addresses.push((0, &text));
    }
    for (at, address) in addresses {
        if has_branches && address.contains(TAG) {
            continue;
        }
        let is_mailbox = check_sender(&filled(address));
        // Without an @ of its own an expression may give the whole of it.
        if let Err(error) = is_mailbox
            && (address.contains('@') || !address.contains(TAG))
        {
            return Err(
                TemplateError::at(Part::Sender, source, at, error.to_string()).with_hint(Some(
                    "A sender is written Name <local@domain>, or local@domain.".to_owned(),
                )),
            );
        }
    }
    Ok(())
}

/// The address with something in the place of each expression, however long.
fn filled(address: &str) -> String {
    let mut filled = String::with_capacity(address.len());
    let mut last = None;
    for c in address.chars() {
        match c {
            TAG if last != Some(TAG) => filled.push_str(SOMETHING),
            TAG => {}
            c => filled.push(c),
        }
        last = Some(c);
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_row_makes_an_address_is_refused() {
        for (sender, column) in [
            ("{{ record.shop }} <hello@@shop.example>", 20),
            ("{{ record.shop }} <hello shop.example>", 20),
            ("{{ record.shop }} <>", 20),
            ("{{ record.shop }} <{{ record.local }}@@shop.example>", 20),
            ("{{ record.shop }} <{{ record.local }}@shop..example>", 20),
            ("{{ record.local }}@@shop.example", 1),
            ("{{ record.local }} @shop.example", 1),
            (
                "{% if record.x %}A <a@shop.example>{% else %}B <b@>{% endif %}",
                49,
            ),
        ] {
            let error = refuse_no_address(sender).expect_err(sender);
            assert_eq!(
                (error.line, error.column),
                (Some(1), Some(column)),
                "{sender}: {error}"
            );
        }
    }

    #[test]
    fn what_a_row_may_make_an_address_is_none_of_its_business() {
        for sender in [
            "hello@@shop.example",
            "{{ record.sender }}",
            "{{ record.name }} <{{ record.address }}>",
            "{{ record.name }} <{{ record.local }}@{{ record.domain }}>",
            "{{ record.name }} <hello@{{ record.country }}.shop.example>",
            "{{ record.name }} <{{ record.at_shop_because_it_is_so_long_that_no_local_part_may_be_so_long }}@shop.example>",
            "\"{{ record.name }}, {{ record.city }}\" <hello@shop.example>",
            "{{ record.local }}shop.example",
            "{{ 'A <' ~ record.local }}@shop.example>",
            "{% if record.x > 3 %}a@shop.example{% else %}b@shop.example{% endif %}",
            "Shop <{% if record.x %}a@{% else %}b@{% endif %}shop.example>",
            "{{ 'I <3' }} <hello@shop.example>",
            "I <3 {{ record.x }} <hello@shop.example>",
        ] {
            assert_eq!(refuse_no_address(sender), Ok(()), "{sender}");
        }
    }
}
