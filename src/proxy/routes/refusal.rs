//! What a request gets that gets no answer of its own.

use axum::http::header::{CACHE_CONTROL, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::response::{NO_STORE, page_response};
use crate::proxy::group_commit::Unavailable;
use crate::proxy::keys::Refused;
use crate::proxy::page;
use crate::proxy::pages::Pages;

/// Seconds after which to try again when the database is away.
const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("10");

/// Why a request gets no answer of its own. Nothing more is said: what a token lacks is nobody's business.
pub enum Refusal {
    NotFound,
    /// It was ours, and shows nothing any more.
    Gone,
    /// With how to say who one is; the same for no token and a wrong one.
    Unauthorized(&'static str),
    /// It is not signed, or not by whom it should be.
    Forbidden,
    /// It is broken, for who tries again after any other refusal.
    NotAcceptable,
    MethodNotAllowed,
    Unavailable,
    BodyBroken,
    BodyTooLarge,
    BodyTooSlow,
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Gone => StatusCode::GONE,
            Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::BodyBroken => StatusCode::BAD_REQUEST,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
        }
    }

    /// For a person who wants to unsubscribe: an empty page would leave them with nothing. The page is the same for every
    /// token that is not found, and in the language of the browser, since the recipient's is not known or not theirs.
    pub fn for_reader(self, pages: &Pages, language: Option<&str>) -> Response {
        let page = match self {
            Self::NotFound => page::not_found(pages, language),
            Self::Gone => page::gone(pages, language),
            Self::Unavailable => page::unavailable(pages, language),
            _ => return self.into_response(),
        };
        let mut response = (self.status(), page_response(page)).into_response();
        self.add_advice(&mut response);
        response
    }

    fn add_advice(&self, response: &mut Response) {
        let headers = response.headers_mut();
        match self {
            Self::Unavailable => drop(headers.insert(RETRY_AFTER, RETRY_SECONDS)),
            Self::Unauthorized(challenge) => {
                drop(headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge)));
            }
            _ => {}
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status(), [(CACHE_CONTROL, NO_STORE)]).into_response();
        self.add_advice(&mut response);
        response
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Bad => Self::NotFound,
            Refused::NoKeys => Self::Unavailable,
        }
    }
}

impl From<Unavailable> for Refusal {
    fn from(Unavailable: Unavailable) -> Self {
        Self::Unavailable
    }
}
