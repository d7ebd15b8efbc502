//! Tracking tokens, and the URLs and return paths that carry them. Pure: shared by the extension, which signs, and the
//! proxy, which verifies.

pub mod address_token;
pub mod token;
pub mod url;
