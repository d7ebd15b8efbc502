//! Tokens and public ids for SQL.

use std::cell::RefCell;

use pgrx::prelude::*;

use super::argument::refuse;
use crate::extension::keyring::keyring;
use crate::mail::message::TokenMailbox;
use crate::tracking::address_token;
use crate::tracking::token::{Keyring, Purpose, Token};

fn purpose(kind: &str) -> Option<Purpose> {
    match kind {
        "email_opened" => Some(Purpose::Open),
        "email_clicked" => Some(Purpose::Click),
        "unsubscribed" => Some(Purpose::Unsubscribe),
        "confirmed" => Some(Purpose::Confirm),
        "report" => Some(Purpose::Report),
        "browser" => Some(Purpose::Browser),
        _ => None,
    }
}

/// What a token says, if it was signed for this kind of event.
fn verify(keyring: &Keyring, kind: &str, token: &str) -> Option<Token> {
    let purpose = purpose(kind)?;
    let token = keyring.verify(purpose, token)?;
    // A click without a link, or an open with one, is none that we signed.
    let fits = match purpose {
        Purpose::Click | Purpose::Browser => token.link.is_some(),
        Purpose::Open | Purpose::Confirm | Purpose::Report => token.link.is_none(),
        Purpose::Unsubscribe => true,
        Purpose::Bounce => false,
    };
    fits.then_some(token)
}

thread_local! {
    /// Random bytes fetched ahead, and how many of them are used: a system call for each record would cost 1 µs.
    static RANDOM: RefCell<([u8; 4096], usize)> = const { RefCell::new(([0; 4096], 4096)) };
}

/// 16 bytes from PostgreSQL's strong random source; each is given once.
fn random_bytes() -> [u8; 16] {
    RANDOM.with_borrow_mut(|(bytes, used)| {
        if *used == bytes.len() {
            // SAFETY: fills the buffer that it is given.
            if !unsafe { pg_sys::pg_strong_random(bytes.as_mut_ptr().cast(), bytes.len()) } {
                pgrx::error!("could not obtain random data");
            }
            *used = 0;
        }
        let mut next = [0; 16];
        next.copy_from_slice(&bytes[*used..*used + 16]);
        *used += 16;
        next
    })
}

/// Verifies a token against the kind of event that it is presented for.
#[pg_extern(sql = false)]
#[allow(clippy::type_complexity)] // The macro wants the row written out.
fn verify_token(
    kind: &str,
    token: &str,
) -> Result<
    TableIterator<
        'static,
        (
            name!(record_id, i64),
            name!(activity_id, i32),
            name!(link_id, Option<i64>),
        ),
    >,
    spi::Error,
> {
    let verified = keyring()?.and_then(|keyring| verify(&keyring, kind, token));
    let row = verified.map(|token| (token.record, token.activity, token.link));
    Ok(TableIterator::new(row))
}

/// Verifies tokens, each against the kind of event that it is presented for.
#[pg_extern(sql = false)]
#[allow(clippy::type_complexity)] // The macro wants the row written out.
fn verify_tokens(
    kinds: Array<&str>,
    tokens: Array<&str>,
) -> Result<
    TableIterator<
        'static,
        (
            name!(records, Vec<Option<i64>>),
            name!(activities, Vec<Option<i32>>),
            name!(links, Vec<Option<i64>>),
        ),
    >,
    spi::Error,
> {
    let keyring = keyring()?;
    let verified: Vec<Option<Token>> = kinds
        .iter()
        .zip(tokens.iter())
        .map(|(kind, token)| verify(keyring.as_ref()?, kind?, token?))
        .collect();
    Ok(TableIterator::once((
        verified
            .iter()
            .map(|token| Some(token.as_ref()?.record))
            .collect(),
        verified
            .iter()
            .map(|token| Some(token.as_ref()?.activity))
            .collect(),
        verified.iter().map(|token| token.as_ref()?.link).collect(),
    )))
}

/// Signs a token, as the mailer does for the URLs of a mail.
#[pg_extern(sql = false)]
fn sign_token(
    kind: &str,
    record_id: i64,
    activity_id: i32,
    link_id: Option<i64>,
) -> Result<Option<String>, spi::Error> {
    let Some(purpose) = purpose(kind) else {
        refuse(format!("kind \"{kind}\" of token does not exist"));
    };
    let token = Token {
        record: record_id,
        activity: activity_id,
        link: link_id,
    };
    Ok(keyring()?.map(|keyring| keyring.sign(purpose, &token)))
}

/// The mail that a bounce speaks of.
#[pg_extern(sql = false)]
fn verify_return_path(
    address: &str,
) -> Result<TableIterator<'static, (name!(record_id, i64), name!(activity_id, i32))>, spi::Error> {
    let token = keyring()?.and_then(|keyring| address_token::verify_return_path(&keyring, address));
    Ok(TableIterator::new(
        token.map(|token| (token.record, token.activity)),
    ))
}

/// Makes the return path of a mail, as the mailer does.
#[pg_extern(sql = false)]
fn sign_return_path(
    bounce_address: &str,
    record_id: i64,
    activity_id: i32,
) -> Result<Option<String>, spi::Error> {
    let address =
        TokenMailbox::parse("bounce address", bounce_address).unwrap_or_else(|error| refuse(error));
    Ok(keyring()?.map(|keyring| {
        let token = address_token::sign(&keyring, Purpose::Bounce, record_id, activity_id);
        address.with(&token)
    }))
}

/// A random uuid that carries the record's id: RFC 9562 version 8, 48 bits of id, then 74 random bits.
///
/// Without a pinned search_path, as it runs no SQL: switching it would cost 2 µs for each record that enters.
#[pg_extern(sql = false)]
fn new_record_uuid(record_id: i64) -> pgrx::Uuid {
    let mut bytes = random_bytes();
    bytes[..6].copy_from_slice(&record_id.to_be_bytes()[2..]);
    bytes[6] = (bytes[6] & 0x0f) | 0x80;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    pgrx::Uuid::from_bytes(bytes)
}

#[cfg(any(test, feature = "pg_test"))]
#[pg_schema]
mod tests {
    use super::*;

    #[pg_test]
    fn tokens_verify_for_their_own_kind_only() {
        Spi::run("select marketing_automation.tracking_keys()").expect("a key is made");
        for kind in ["email_opened", "email_clicked", "unsubscribed", "confirmed"] {
            let seen = Spi::get_one_with_args::<String>(
                "select string_agg(k.kind, ',') from unnest(array['email_opened', 'email_clicked', 'unsubscribed', 'confirmed']) k (kind),
                 lateral marketing_automation_internal.verify_token(k.kind,
                    marketing_automation_internal.sign_token($1, 7, 3, case when $1 = 'email_clicked' then 9 end)) t
                 where (t.record_id, t.activity_id) = (7, 3)",
                &[kind.into()],
            );
            assert_eq!(seen, Ok(Some(kind.to_owned())));
        }
    }

    #[pg_test]
    fn a_return_path_leads_back_to_its_mail() {
        Spi::run("select marketing_automation.tracking_keys()").expect("a key is made");
        let seen = Spi::get_one::<String>(
            "select string_agg(format('%s %s', p.record_id, p.activity_id), ',')
             from marketing_automation_internal.sign_return_path('bounces@shop.example', 300, 5) address,
                  unnest(array[address, upper(address), 'bounces+x@shop.example', 'bounces@shop.example']) tried,
                  marketing_automation_internal.verify_return_path(tried) p",
        );
        assert_eq!(seen, Ok(Some("300 5,300 5".to_owned())));
    }

    #[pg_test]
    fn without_a_key_nothing_is_signed_or_verified() {
        Spi::run("delete from marketing_automation_internal.tracking_key").expect("deleted");
        let signed = Spi::get_one::<String>(
            "select marketing_automation_internal.sign_token('email_opened', 1, 1)",
        );
        assert_eq!(signed, Ok(None));
        let verified = Spi::get_one::<i64>(
            "select count(*) from marketing_automation_internal.verify_token('email_opened', 'AAAA')",
        );
        assert_eq!(verified, Ok(Some(0)));
        let verified = Spi::get_one::<bool>(
            "select (records, activities, links) = (array[null::bigint, null], array[null::integer, null], array[null::bigint, null])
             from marketing_automation_internal.verify_tokens(array['email_opened', null], array['AAAA', 'AAAA'])",
        );
        assert_eq!(verified, Ok(Some(true)));
    }

    #[pg_test]
    fn the_public_uuid_gives_its_id_back() {
        for id in [1_i64, 255, 65_536, (1 << 48) - 1] {
            let back = Spi::get_one_with_args::<i64>(
                "select marketing_automation.record_id(marketing_automation_internal.new_record_uuid($1))",
                &[id.into()],
            );
            assert_eq!(back, Ok(Some(id)));
        }
    }
}
