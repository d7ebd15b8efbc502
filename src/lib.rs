//! `marketing_automation`: marketing campaigns inside the PostgreSQL database that already holds the customers.

pub mod email;
pub mod tracking;

#[cfg(feature = "extension")]
mod extension;

#[cfg(feature = "proxy")]
pub mod proxy;

#[cfg(feature = "extension")]
pgrx::pg_module_magic!(name, version);
