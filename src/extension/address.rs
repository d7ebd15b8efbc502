//! Mail addresses as SQL compares them.

use pgrx::prelude::*;
use sha2::{Digest, Sha256};

use crate::email::identity;

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
        Sha256::digest(identity::canonical(address)).to_vec()
    }
}
