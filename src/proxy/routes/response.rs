//! What responses of several routes have in common.

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::proxy::page::Page;
use crate::tracking::url::redirect_target;

pub const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
pub const NO_REFERRER: HeaderValue = HeaderValue::from_static("no-referrer");
pub const NO_INDEX: (HeaderName, HeaderValue) = (
    HeaderName::from_static("x-robots-tag"),
    HeaderValue::from_static("noindex"),
);

/// A redirect to where the database says, if that is a web page.
pub fn redirect(status: StatusCode, location: &str) -> Option<Response> {
    let location = HeaderValue::try_from(redirect_target(location)?).ok()?;
    let headers = [
        (LOCATION, location),
        (CACHE_CONTROL, NO_STORE),
        (REFERRER_POLICY, NO_REFERRER),
        NO_INDEX,
    ];
    Some((status, headers).into_response())
}

pub fn page_response(page: Page) -> Response {
    let headers = [
        (
            CONTENT_TYPE,
            HeaderValue::from_static("text/html; charset=utf-8"),
        ),
        (CONTENT_SECURITY_POLICY, page.policy),
        (CACHE_CONTROL, NO_STORE),
        (REFERRER_POLICY, NO_REFERRER),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        NO_INDEX,
    ];
    (headers, page.html).into_response()
}
