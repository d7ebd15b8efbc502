//! Mail addresses, with reasons for the person who has to correct them.

use lettre::Address;
use lettre::message::Mailbox;

use super::error::MessageError;

/// Checks a recipient address.
///
/// # Errors
/// Names the address and why it is none.
pub fn check_address(address: &str) -> Result<(), MessageError> {
    parse_recipient("recipient address", address).map(drop)
}

/// Checks the mailbox of a sender: `Name <local@domain>` or `local@domain`.
///
/// # Errors
/// Names the mailbox and why it is none.
pub fn check_sender(mailbox: &str) -> Result<(), MessageError> {
    parse_mailbox("sender", mailbox).map(drop)
}

/// Takes the mailbox of a sender apart: its display name, if it has one, and its address. `None` for what is no mailbox.
pub fn name_and_address(mailbox: &str) -> Option<(Option<String>, String)> {
    let mailbox = parse_mailbox("sender", mailbox).ok()?;
    Some((mailbox.name, mailbox.email.to_string()))
}

/// The domain of a sender's address; None: it is no mailbox.
pub fn sender_domain(mailbox: &str) -> Option<String> {
    let mailbox = parse_mailbox("sender", mailbox).ok()?;
    Some(mailbox.email.domain().to_owned())
}

/// Parses an address of ours, which every server must understand: in ASCII before the @.
pub(super) fn parse_address(field: &'static str, text: &str) -> Result<Address, MessageError> {
    let address = parse_recipient(field, text)?;
    match address.user().is_ascii() {
        true => Ok(address),
        false => Err(MessageError::Address {
            field,
            value: text.to_owned(),
            reason:
                "the part before the @ is not ASCII, which not every server understands (RFC 6531)"
                    .to_owned(),
        }),
    }
}

/// Parses `local@domain`; a domain outside ASCII becomes punycode (RFC 5891), which every server understands, and a local
/// part outside ASCII remains (RFC 6531).
pub(super) fn parse_recipient(field: &'static str, text: &str) -> Result<Address, MessageError> {
    let text = text.trim();
    let refuse = |reason: &str| MessageError::Address {
        field,
        value: text.to_owned(),
        reason: reason.to_owned(),
    };
    if text.is_empty() {
        return Err(refuse("it is empty"));
    }
    let (local, domain) = text.rsplit_once('@').ok_or_else(|| refuse("it has no @"))?;
    if local.is_empty() {
        return Err(refuse("nothing stands before the @"));
    }
    if domain.is_empty() {
        return Err(refuse("nothing stands after the @"));
    }
    // RFC 5321 allows both; lettre cannot read them back from the header, and real mailboxes have neither.
    if local.starts_with('"') {
        return Err(refuse("a quoted part before the @ is not supported"));
    }
    if domain.starts_with('[') {
        return Err(refuse("an IP address after the @ is not supported"));
    }
    if local.contains('@') {
        return Err(refuse("it has more than one @"));
    }
    let ascii_domain = match domain.is_ascii() {
        true => domain.to_owned(),
        false => match url::Host::parse(domain) {
            Ok(url::Host::Domain(ascii)) => ascii,
            _ => {
                return Err(refuse(
                    "the domain is no internationalised domain name (RFC 5891)",
                ));
            }
        },
    };
    // RFC 5321, section 4.5.3.1: 64 octets, and 254 for the address (256 for the path with its brackets).
    if local.len() > 64 {
        return Err(refuse("the part before the @ is longer than 64 bytes"));
    }
    if local.len() + 1 + ascii_domain.len() > 254 {
        return Err(refuse("it is longer than 254 characters"));
    }
    Address::new(local, &ascii_domain).map_err(|error| match error {
        lettre::address::AddressError::InvalidUser => {
            refuse("the part before the @ is not well-formed (RFC 5321)")
        }
        lettre::address::AddressError::InvalidDomain => {
            refuse("the domain is not well-formed (RFC 5321)")
        }
        _ => refuse(&error.to_string().to_lowercase()),
    })
}

/// Parses `Name <local@domain>`, `"Name, quoted" <local@domain>` or `local@domain`.
pub(super) fn parse_mailbox(field: &'static str, text: &str) -> Result<Mailbox, MessageError> {
    let text = text.trim();
    let Some(inner) = text.strip_suffix('>') else {
        return parse_address(field, text).map(Mailbox::from);
    };
    let (name, address) = inner
        .rsplit_once('<')
        .ok_or_else(|| MessageError::Address {
            field,
            value: text.to_owned(),
            reason: "it ends with > but has no <".to_owned(),
        })?;
    let name = unquote(name.trim());
    Ok(Mailbox::new(
        Some(name).filter(|name| !name.is_empty()),
        parse_address(field, address)?,
    ))
}

/// Undoes the quoting of a display name (RFC 5322, section 3.2.4); lettre quotes and encodes it again as needed.
fn unquote(name: &str) -> String {
    let Some(quoted) = name
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    else {
        return name.to_owned();
    };
    let mut unquoted = String::with_capacity(quoted.len());
    let mut characters = quoted.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => unquoted.extend(characters.next()),
            _ => unquoted.push(c),
        }
    }
    unquoted
}
