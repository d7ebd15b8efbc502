//! Functions in Rust that SQL calls, by subject.

mod address;
mod argument;
mod bounce;
mod expression;
mod nearest_name;
mod preview;
mod queue_cursor;
mod status;
pub(super) mod template;
pub(super) mod token;
