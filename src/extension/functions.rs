//! Functions in Rust that SQL calls, by subject. What works on rows is SQL; these do what SQL cannot.

mod address;
mod argument;
mod attachments;
mod bounce;
mod browser;
mod call_with_caller;
mod expression;
mod nearest_name;
mod notify;
mod preview;
mod queue_cursor;
mod report;
mod revocation;
mod script;
mod status;
mod step;
mod template;
mod template_headers;
mod time;
mod token;
mod turn;
mod webhook;
