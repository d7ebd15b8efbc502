//! Mail addresses as SQL checks and compares them.

use pgrx::prelude::*;
use sha2::{Digest, Sha256};

use super::argument::refuse;
use crate::mail::{canonical_address, message};
use crate::smtp::TransportConfig;

#[pg_schema]
mod marketing_automation {
    use super::*;

    /// Digest of the address in the spelling by which it is compared.
    #[pg_extern(sql = r#"
create function marketing_automation.address_hash(address text) returns bytea
language c immutable strict parallel safe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function marketing_automation.address_hash(text) is
    'API: public. SHA-256 of a mail address in lower case, its domain as punycode: the key of the table suppression';
"#)]
    fn address_hash(address: &str) -> Vec<u8> {
        Sha256::digest(canonical_address::canonical(address)).to_vec()
    }

    /// Raises unless a mail can go to this address.
    #[pg_extern(sql = r#"
create function marketing_automation.check_address(address text) returns void
language c strict immutable parallel safe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function marketing_automation.check_address(text) is
    'API: private. Raises unless a mail can go to this address (RFC 5321, section 4.1.2, without quoted local parts and address literals)';
"#)]
    fn check_address(address: &str) {
        if let Err(error) = message::check_address(address) {
            refuse(error);
        }
    }

    /// Domain of the address in the spelling by which it is compared.
    #[pg_extern(sql = r#"
create function marketing_automation.address_domain(address text) returns text
language c immutable strict parallel safe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function marketing_automation.address_domain(text) is
    'API: private. Domain of a mail address in lower case, as punycode: the key of the table domain_limit; null: it has none';
"#)]
    fn address_domain(address: &str) -> Option<String> {
        canonical_address::domain(address)
    }

    /// Raises unless mail can be sent with this URL.
    #[pg_extern(sql = r#"
create function marketing_automation.check_smtp_url(url text) returns void
language c strict immutable parallel safe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function marketing_automation.check_smtp_url(text) is
    'API: private. Raises, without quoting it, unless the URL is one for marketing_automation.smtp_url';
"#)]
    fn check_smtp_url(url: &str) {
        if let Err(error) = TransportConfig::parse(url) {
            refuse(error);
        }
    }
}
