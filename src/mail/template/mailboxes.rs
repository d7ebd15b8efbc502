//! Addresses in the templates of sender and Reply-To that are none, whatever a row says.

use minijinja::machinery::ast::Stmt;
use minijinja::machinery::{Token, parse, tokenize};
use minijinja::syntax::SyntaxConfig;

use super::dead_links::{TAG, without_tags};
use super::error::{Part, TemplateError};
use crate::mail::message::{MessageError, check_reply_to, check_sender};

/// What an expression may give anywhere in an address.
const SOMETHING: &str = "a";

/// Finds the first address that no value of an expression makes one. Branches that hold whole senders are judged one by one; what
/// stands in others, where it is a constant between brackets: only there is clear where an address begins and ends.
///
/// # Errors
/// The address, where it stands, and why it is none.
pub(super) fn refuse_no_address(part: Part, source: &str) -> Result<(), TemplateError> {
    let text = without_tags(source);
    // That of all mails alike is the caller's.
    if !text.contains(TAG) {
        return Ok(());
    }
    if let Ok(Stmt::Template(template)) = parse(source, "", SyntaxConfig::default())
        && let Some(choice) = only_choice(&template.children)
    {
        return refuse_branch(part, source, choice);
    }
    let has_branches = has_statements(source);
    let mut addresses: Vec<(usize, &str)> = text
        .match_indices('>')
        .filter_map(|(end, _)| {
            let start = text[..end].rfind('<')? + 1;
            Some((start, &text[start..end]))
        })
        .collect();
    // A bracket may come from an expression.
    if !has_branches && text.contains('@') && !text.contains(['<', '>']) {
        match part {
            Part::ReplyTo => {
                let mut start = 0;
                for part in text.split(',') {
                    let address = part.trim();
                    if !address.is_empty() {
                        addresses.push((start + part.find(address).unwrap_or(0), address));
                    }
                    start += part.len() + 1;
                }
            }
            _ => addresses.push((0, &text)),
        }
    }
    for (at, address) in addresses {
        if has_branches && address.contains(TAG) {
            continue;
        }
        let written = &source[at..at + address.len()];
        refuse(part, address, written, source, at)?;
    }
    Ok(())
}

/// Refuses what no expression makes an address, as its author has written it.
fn refuse(
    part: Part,
    address: &str,
    written: &str,
    source: &str,
    at: usize,
) -> Result<(), TemplateError> {
    // Without an @ of its own an expression may give the whole of it.
    if address.contains(TAG) && !address.contains('@') {
        return Ok(());
    }
    let is_mailbox = match part {
        Part::ReplyTo => check_reply_to(&filled(address)),
        _ => check_sender(&filled(address)),
    };
    let Err(error) = is_mailbox else {
        return Ok(());
    };
    let message = match error {
        MessageError::Address { field, reason, .. } => {
            format!("{field} {:?} is no address: {reason}", written.trim())
        }
        error => error.to_string(),
    };
    let hint = match part {
        Part::ReplyTo => {
            "A mailbox is written Name <local@domain>, or local@domain; commas stand between several."
        }
        _ => "A sender is written Name <local@domain>, or local@domain.",
    };
    Err(TemplateError::at(part, source, at, message).with_hint(Some(hint.to_owned())))
}

/// The only statement of a template or a branch, if it is an `if`.
fn only_choice<'a, 'b>(statements: &'a [Stmt<'b>]) -> Option<&'a Stmt<'b>> {
    let mut printing = statements.iter().filter(
        |statement| !matches!(statement, Stmt::EmitRaw(text) if text.raw.trim().is_empty()),
    );
    let only = printing.next()?;
    (matches!(only, Stmt::IfCond(_)) && printing.next().is_none()).then_some(only)
}

/// The same for a choice between whole senders.
fn refuse_branch(part: Part, source: &str, choice: &Stmt<'_>) -> Result<(), TemplateError> {
    let Stmt::IfCond(choice) = choice else {
        return Ok(());
    };
    for branch in [&choice.true_body, &choice.false_body] {
        if let Some(choice) = only_choice(branch) {
            refuse_branch(part, source, choice)?;
            continue;
        }
        let (mut text, mut written, mut start) = (String::new(), String::new(), None);
        let mut is_whole = true;
        for statement in branch {
            match statement {
                Stmt::EmitRaw(piece) => {
                    let at = piece.raw.as_ptr().addr();
                    let at = at.saturating_sub(source.as_ptr().addr());
                    let blank = piece.raw.len() - piece.raw.trim_start().len();
                    start = start.or((blank < piece.raw.len()).then_some(at + blank));
                    text.push_str(piece.raw);
                    written.push_str(piece.raw);
                }
                Stmt::EmitExpr(printed) => {
                    let span = printed.span();
                    let place = |offset| usize::try_from(offset).unwrap_or(usize::MAX);
                    let range = place(span.start_offset)..place(span.end_offset);
                    start = start.or(Some(range.start));
                    text.push(TAG);
                    let expression = source.get(range).unwrap_or_default().trim();
                    written.push_str(&format!("{{{{ {expression} }}}}"));
                }
                Stmt::Set(_) => {}
                _ => is_whole = false,
            }
        }
        let Some(start) = start.filter(|_| is_whole) else {
            continue;
        };
        // A bracket may come from an expression.
        let (address, shown) = match (text.trim().strip_suffix('>'), text.contains('<')) {
            (Some(inner), true) => (behind(inner), behind(written.trim().trim_end_matches('>'))),
            (None, false) if part == Part::ReplyTo => {
                for address in text.split(',').filter(|address| !address.trim().is_empty()) {
                    let shown = address.replace(TAG, "{{ … }}");
                    refuse(part, address, &shown, source, start)?;
                }
                continue;
            }
            (None, false) => (text.trim(), written.trim()),
            _ => continue,
        };
        refuse(part, address, shown, source, start)?;
    }
    Ok(())
}

/// What follows the last bracket.
fn behind(text: &str) -> &str {
    text.rsplit('<').next().unwrap_or_default()
}

/// Whether a template has `{% … %}`, so that what stands in it may be left out, or come more than once.
pub(super) fn has_statements(source: &str) -> bool {
    tokenize(source, false, SyntaxConfig::default())
        .map_while(Result::ok)
        .any(|(token, _)| matches!(token, Token::BlockStart))
}

/// The text with something in the place of each expression, however long.
pub(super) fn filled(address: &str) -> String {
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
                46,
            ),
            (
                "{% if record.x %}a@shop.example{% elif record.y %} b@@shop.example{% endif %}",
                52,
            ),
            (
                "{% if record.x %}{{ record.y }}@shop..example{% else %}{{ record.z }}{% endif %}",
                21,
            ),
            (
                "{% if record.x %}hello{% else %}a@shop.example{% endif %}",
                18,
            ),
        ] {
            let error = refuse_no_address(Part::Sender, sender).expect_err(sender);
            assert_eq!(
                (error.line, error.column),
                (Some(1), Some(column)),
                "{sender}: {error}"
            );
        }
    }

    #[test]
    fn the_address_is_shown_as_it_is_written() {
        for (sender, shown) in [
            (
                "{{ record.shop }} <{{ record.local }}@@shop.example>",
                "{{ record.local }}@@shop.example",
            ),
            (
                "{% if record.x %}{{ record.y|lower }}@@shop.example{% endif %}",
                "{{ record.y|lower }}@@shop.example",
            ),
            ("{{ record.shop }} <>", ""),
        ] {
            let message = refuse_no_address(Part::Sender, sender)
                .expect_err(sender)
                .message;
            let expected = format!("sender {shown:?} is no address");
            assert!(message.starts_with(&expected), "{sender}: {message}");
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
            "{% if record.x %}{{ record.sender }}{% else %}Shop <{{ record.address }}>{% endif %}",
            "{% if record.x %}{{ record.bracket }}a@shop.example>{% endif %}",
            "{% if record.x %}a{% if record.y %}b{% endif %}@shop.example{% endif %}",
            "Shop <{% if record.x %}a@{% else %}b@{% endif %}shop.example>",
            "{{ 'I <3' }} <hello@shop.example>",
            "I <3 {{ record.x }} <hello@shop.example>",
        ] {
            assert_eq!(refuse_no_address(Part::Sender, sender), Ok(()), "{sender}");
        }
    }

    #[test]
    fn each_of_several_addresses_is_judged() {
        for (reply_to, column) in [
            ("{{ record.local }}@shop.example, help@@shop.example", 34),
            ("{{ record.a }} <a@shop.example>, Help <help@>", 40),
            ("{{ record.a }} <a@shop.example>, <>", 35),
            (
                "{% if record.x %}{{ record.a }}, help@@shop.example{% endif %}",
                21,
            ),
        ] {
            let error = refuse_no_address(Part::ReplyTo, reply_to).expect_err(reply_to);
            assert_eq!(
                (error.part, error.line, error.column),
                (Part::ReplyTo, Some(1), Some(column)),
                "{reply_to}: {error}"
            );
            assert!(error.message.starts_with("reply-to "), "{error}");
        }
        for reply_to in [
            "{{ record.manager }}, help@shop.example",
            "{{ record.manager }}{% if record.manager %}, {% endif %}help@shop.example",
            "\"{{ record.name }}, {{ record.city }}\" <a@shop.example>, b@shop.example",
            "{{ record.a }}@shop.example, ",
            "{% if record.x %}{{ record.a }}, help@shop.example{% endif %}",
            "{% if record.x %}A <a@shop.example>, b@shop.example{% else %}{{ record.a }}{% endif %}",
        ] {
            assert_eq!(
                refuse_no_address(Part::ReplyTo, reply_to),
                Ok(()),
                "{reply_to}"
            );
        }
    }
}
