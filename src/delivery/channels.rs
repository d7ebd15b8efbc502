//! The ways to deliver.

pub mod any;
pub mod email;
pub mod webhook;
