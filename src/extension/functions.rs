//! Functions in Rust that SQL calls, by subject.

mod address;
mod argument;
mod bounce;
mod expression;
mod nearest_name;
mod notify;
mod preview;
mod queue_cursor;
mod revocation;
mod status;
mod template;
mod token;
