//! The HTTP tracking proxy.
