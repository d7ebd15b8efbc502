//! Tracking tokens and the URLs that carry them. Pure: shared by the extension, which signs, and the proxy, which verifies.

pub mod token;
pub mod url;
