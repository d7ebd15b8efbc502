//! What sessions of the programs have in common.

/// Takes away the limit of `transaction_timeout`, which servers have from PostgreSQL 17 on: it would end the session, not a statement.
pub const NO_TRANSACTION_TIMEOUT: &str = "select pg_catalog.set_config('transaction_timeout', '0', false) \
     where pg_catalog.current_setting('transaction_timeout', true) is not null";
