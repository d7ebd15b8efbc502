//! Mail addresses as SQL checks and compares them.

use pgrx::prelude::*;
use sha2::{Digest, Sha256};

use super::argument::{refuse, refuse_with_hint};
use crate::extension::settings::SMTP_URL_HINT;
use crate::mail::addresses::{Given, resolve};
use crate::mail::{canonical_address, message};
use crate::smtp::TransportConfig;

/// Digest of the address in the spelling by which it is compared.
#[pg_extern(sql = false)]
fn address_hash(address: &str) -> Vec<u8> {
    Sha256::digest(canonical_address::canonical(address)).to_vec()
}

/// Raises unless a mail can go to this address.
#[pg_extern(sql = false)]
fn check_address(address: &str) {
    if let Err(error) = message::check_address(address) {
        refuse(error);
    }
}

/// Domain of the address in the spelling by which it is compared.
#[pg_extern(sql = false)]
fn address_domain(address: &str) -> Option<String> {
    canonical_address::domain(address)
}

/// What is kept of those who get a mail beside its party, or instead; a string of JSON: why it cannot go to them.
#[pg_extern(sql = false)]
fn mail_addresses(
    has_recipient: bool,
    recipient: Option<&str>,
    cc: Option<&str>,
    bcc: Option<&str>,
    party_email: Option<&str>,
    party_name: Option<&str>,
) -> pgrx::JsonB {
    let kept = resolve(&Given {
        has_recipient,
        recipient,
        cc,
        bcc,
        party_name,
        party_email,
    });
    pgrx::JsonB(kept.unwrap_or_else(|error| error.to_string().into()))
}

/// Raises unless mail can be sent with this URL.
#[pg_extern(sql = false)]
fn check_smtp_url(url: &str) {
    if let Err(error) = TransportConfig::parse(url) {
        refuse_with_hint(error, &SMTP_URL_HINT.to_string_lossy());
    }
}
