//! From templates to the SMTP server, without PostgreSQL: rendering, link rewriting, MIME and transport.
//!
//! The way of one mail: [`template::MailTemplate::render`] gives a [`rendered::Rendered`] whose tracked URLs are
//! placeholders, [`rendered::Rendered::assemble`] puts the signed URLs in, [`message::build`] makes the MIME message
//! and [`transport::Connection::send`] hands it to the server. Nothing here reads the clock or the database.

#![deny(unsafe_code)]

mod beacon;
pub mod bounce;
pub mod dkim;
pub mod identity;
pub mod locale;
mod markup;
pub mod message;
pub mod mjml;
pub mod placeholder;
pub mod plain_text;
pub mod rendered;
pub mod rewrite;
pub mod template;
pub mod transport;
