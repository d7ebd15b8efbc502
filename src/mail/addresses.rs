//! Who gets a mail beside the party that it is about, or instead of it, as the activity's expressions have said for its row.

use serde_json::{Map, Value, json};

use super::canonical_address::canonical;
use super::message::{MessageError, is_forbidden_in_header, mailboxes, name_and_address};

/// Most mailboxes that get a copy of one mail.
pub const MAX_COPIES: usize = 10;

/// Why a mail cannot go where its expressions say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressesError {
    #[error(transparent)]
    Mailbox(#[from] MessageError),
    #[error("recipient {0:?} is no mailbox, as ann@shop.example or Ann <ann@shop.example>")]
    Recipient(String),
    #[error("it has {0} copies, and cc and bcc take {MAX_COPIES} together")]
    TooMany(usize),
}

/// What an activity's expressions have given for a row; None: it has no such expression, or that was null.
#[derive(Debug, Clone, Copy, Default)]
pub struct Given<'a> {
    /// Whether it has one that gives the recipient.
    pub has_recipient: bool,
    pub recipient: Option<&'a str>,
    pub cc: Option<&'a str>,
    pub bcc: Option<&'a str>,
    /// Name and address of the row.
    pub party_name: Option<&'a str>,
    pub party_email: Option<&'a str>,
}

/// The mailboxes of a claimed mail but its first recipient.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addresses {
    /// The party that it is about, where that does not get it.
    pub party: Option<Party>,
    pub cc: Vec<String>,
    pub bcc: Vec<String>,
    /// Suppressed, so that they get none.
    pub left_out: Vec<String>,
}

/// Name and address of a row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Party {
    pub name: Option<String>,
    pub email: Option<String>,
}

/// Makes what is kept with a mail: `to`, name and email of the recipient, where it is another one than the party; `party`, whom the mail is
/// about then; `cc` and `bcc`, each mailbox once. Without any of them the mail goes to its party, or, for want of `to`, to nobody.
///
/// # Errors
/// The first mailbox that is none, or too many of them.
pub fn resolve(given: &Given<'_>) -> Result<Value, AddressesError> {
    let mut kept = Map::new();
    let mut known = Vec::new();
    let recipient = given.recipient.map(str::trim).unwrap_or_default();
    if given.has_recipient {
        kept.insert(
            "party".to_owned(),
            json!({"name": given.party_name, "email": given.party_email}),
        );
    } else if let Some(own) = given.party_email {
        known.push(canonical(own));
    }
    if given.has_recipient && !recipient.is_empty() {
        let (name, email) = name_and_address(recipient)
            .ok_or_else(|| AddressesError::Recipient(recipient.to_owned()))?;
        known.push(canonical(&email));
        kept.insert("to".to_owned(), json!({"name": name, "email": email}));
    }
    let mut copies = 0;
    for (kind, list) in [("cc", given.cc), ("bcc", given.bcc)] {
        let list = list.unwrap_or_default();
        if let Some(character) = list.chars().find(|&c| is_forbidden_in_header(c)) {
            let field = kind;
            return Err(MessageError::ControlCharacter { field, character }.into());
        }
        let mut mailboxes = mailboxes(kind, list)?;
        mailboxes.retain(|mailbox| {
            let address = canonical(&mailbox.address);
            let is_new = !known.contains(&address);
            known.push(address);
            is_new
        });
        copies += mailboxes.len();
        if !mailboxes.is_empty() {
            let texts = mailboxes.into_iter().map(|mailbox| mailbox.text);
            kept.insert(kind.to_owned(), texts.collect());
        }
    }
    match copies > MAX_COPIES {
        true => Err(AddressesError::TooMany(copies)),
        false => Ok(Value::Object(kept)),
    }
}

impl Addresses {
    /// Reads what the claim gives; None: the mail goes to its party alone.
    pub fn read(json: Option<&str>) -> Addresses {
        let kept = json.and_then(|json| serde_json::from_str(json).ok());
        kept.as_ref().map(Addresses::of).unwrap_or_default()
    }

    /// Reads what [`resolve`] has made.
    pub fn of(kept: &Value) -> Addresses {
        let texts = |name: &str| {
            let list = kept.get(name).and_then(Value::as_array);
            let texts = list.into_iter().flatten().filter_map(Value::as_str);
            texts.map(str::to_owned).collect()
        };
        Addresses {
            party: kept.get("party").map(|party| Party {
                name: text(party, "name"),
                email: text(party, "email"),
            }),
            cc: texts("cc"),
            bcc: texts("bcc"),
            left_out: texts("left_out"),
        }
    }

    /// Whether others than the party get it, who must not have what is the party's to do.
    pub fn are_shared(&self) -> bool {
        *self != Addresses::default()
    }

    /// The addresses of all copies.
    pub fn copies(&self) -> impl Iterator<Item = &str> {
        self.cc
            .iter()
            .chain(&self.bcc)
            .map(|mailbox| address(mailbox))
    }
}

/// The address of a mailbox that [`resolve`] has written.
pub fn address(mailbox: &str) -> &str {
    match mailbox
        .strip_suffix('>')
        .and_then(|inner| inner.rsplit_once('<'))
    {
        Some((_, address)) => address,
        None => mailbox,
    }
}

fn text(value: &Value, name: &str) -> Option<String> {
    value.get(name)?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(given: Given<'_>) -> Result<Value, String> {
        let party = Given {
            party_name: Some("Ada"),
            party_email: Some("ada@buyer.example"),
            ..given
        };
        resolve(&party).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_kept_is_each_mailbox_once() {
        let cases = [
            (Given::default(), json!({})),
            (
                Given {
                    cc: Some(" Zoë <zoe@shop.example>, ,ADA@Buyer.example, b@shop.example"),
                    bcc: Some("b@SHOP.example,\"Berg, Eva\" <eva@shop.example>"),
                    ..Given::default()
                },
                json!({"cc": ["Zoë <zoe@shop.example>", "b@shop.example"], "bcc": ["\"Berg, Eva\" <eva@shop.example>"]}),
            ),
            (
                Given {
                    has_recipient: true,
                    recipient: Some("Max <max@shop.example>"),
                    cc: Some("max@shop.example, ada@buyer.example"),
                    ..Given::default()
                },
                json!({"party": {"name": "Ada", "email": "ada@buyer.example"},
                    "to": {"name": "Max", "email": "max@shop.example"}, "cc": ["ada@buyer.example"]}),
            ),
            (
                Given {
                    has_recipient: true,
                    recipient: Some(" "),
                    ..Given::default()
                },
                json!({"party": {"name": "Ada", "email": "ada@buyer.example"}}),
            ),
        ];
        for (given, kept) in cases {
            assert_eq!(resolved(given), Ok(kept), "{given:?}");
        }
    }

    #[test]
    fn what_is_no_mailbox_is_named() {
        let many: Vec<String> = (0..11).map(|n| format!("a{n}@shop.example")).collect();
        let many = many.join(",");
        let cases = [
            (
                Given {
                    cc: Some("a@shop.example, nobody"),
                    ..Given::default()
                },
                "cc \"nobody\" is no address: it has no @",
            ),
            (
                Given {
                    bcc: Some("é@shop.example"),
                    ..Given::default()
                },
                "bcc \"é@shop.example\" is no address: the part before the @ is not ASCII",
            ),
            (
                Given {
                    cc: Some("A\r\nBcc: x@evil.example <a@shop.example>"),
                    ..Given::default()
                },
                "cc holds the control character U+000D",
            ),
            (
                Given {
                    has_recipient: true,
                    recipient: Some("a@shop.example, b@shop.example"),
                    ..Given::default()
                },
                "recipient \"a@shop.example, b@shop.example\" is no mailbox",
            ),
            (
                Given {
                    bcc: Some(&many),
                    ..Given::default()
                },
                "it has 11 copies, and cc and bcc take 10 together",
            ),
        ];
        for (given, reason) in cases {
            let error = resolved(given).unwrap_err();
            assert!(error.starts_with(reason), "{error}");
        }
    }

    #[test]
    fn a_claim_is_read() {
        assert!(!Addresses::read(None).are_shared());
        let read = Addresses::read(Some(
            r#"{"party": {"name": null, "email": "a@b.example"}, "cc": ["Eva <e@b.example>"], "bcc": ["f@b.example"], "left_out": ["g@b.example"]}"#,
        ));
        assert!(read.are_shared());
        assert_eq!(
            read.copies().collect::<Vec<_>>(),
            ["e@b.example", "f@b.example"]
        );
        assert_eq!(read.left_out, ["g@b.example"]);
        assert_eq!(read.party.unwrap().email.as_deref(), Some("a@b.example"));
    }
}
