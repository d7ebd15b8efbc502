//! Tracking tokens and URLs. Pure: shared by the extension and the proxy.
