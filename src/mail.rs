//! Everything about a mail but its transport, without PostgreSQL: templates, links, MIME, DKIM, and the mails that come back.
//!
//! The way of one mail: [`template::MailTemplate::render`] gives a [`rendered::Rendered`] whose tracked URLs are
//! placeholders, [`rendered::Rendered::assemble`] puts the signed URLs in, [`message::build`] makes the MIME message
//! and [`dkim::Signer::sign`] signs it; [`crate::smtp`] hands it to a server. Nothing here reads the clock or the database.

#![deny(unsafe_code)]

pub mod addresses;
pub mod addresses_in_text;
pub mod attachment;
pub mod bounce;
pub mod browser_page;
pub mod campaign;
pub mod canonical_address;
pub mod dkim;
pub(crate) mod edits;
mod html_tokens;
mod inline_css;
pub mod locale;
pub mod message;
pub mod mjml;
pub mod placeholder;
pub mod plain_text;
mod preheader;
pub mod provider;
pub mod rendered;
pub mod rewrite;
pub mod template;
mod text_links;
mod tracking_pixel;
