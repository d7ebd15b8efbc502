//! Webhooks: whom a message may be POSTed to, its signature, the HTTP client, and what an answer means. No database, no clock of its
//! own, nothing of mails.
//!
//! | what | where |
//! | --- | --- |
//! | which server a URL is of, and what a template may change of it | [`origin`] |
//! | which addresses may be connected to | [`address`] |
//! | the signature, as standard-webhooks.com has it | [`signature`] |
//! | the HTTP client | [`client`] |
//! | what becomes of a message | [`answer`] |

pub mod address;
pub mod answer;
pub mod client;
pub mod origin;
pub mod signature;
