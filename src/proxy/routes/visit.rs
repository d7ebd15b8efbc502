//! One request, from its beginning to its end.

use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::http::{HeaderValue, Uri};
use axum::response::Response;
use percent_encoding::percent_decode_str;
use tracing::debug;

use super::browser::preferred_language;
use super::refusal::Refusal;
use crate::proxy::client::REQUEST_ID;
use crate::proxy::metrics::Route;
use crate::proxy::state::State;

/// From the last byte of the header to the first byte of the answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// `/c/`, `/o/`, `/u/`, `/p/`, `/s/`, `/r/` or `/v/`.
const ROUTE_LENGTH: usize = 3;

/// What is noted about a request, by its handler: a layer around the router would cost a tenth of the user time of a hit.
pub(super) struct Visit {
    route: Route,
    id: HeaderValue,
    began: Instant,
}

impl Visit {
    pub(super) fn begin(state: &State, route: Route, request: &Request) -> Self {
        Self {
            route,
            id: state
                .trust
                .request_id(request.extensions(), request.headers()),
            began: Instant::now(),
        }
    }

    /// Counts the request, logs it without what could name a person, and tells its id.
    pub(super) fn end(self, state: &State, mut response: Response) -> Response {
        let status = response.status().as_u16();
        state.metrics.count_request(self.route, status);
        debug!(
            request_id = self.id.to_str().unwrap_or_default(),
            route = self.route.name(),
            status,
            microseconds = self.began.elapsed().as_micros(),
            "answered"
        );
        response.headers_mut().insert(REQUEST_ID, self.id);
        response
    }
}

/// The visit of a person, who gets a page whatever becomes of it, in the language of the browser where nothing better is known.
pub(super) struct ReaderVisit {
    visit: Visit,
    pub(super) language: Option<String>,
}

impl ReaderVisit {
    pub(super) fn begin(state: &State, route: Route, request: &Request) -> Self {
        Self {
            visit: Visit::begin(state, route, request),
            language: preferred_language(request.headers()),
        }
    }

    /// Waits for the answer, or refuses with a page, and ends the visit.
    pub(super) async fn end(
        self,
        state: &State,
        answer: impl Future<Output = Result<Response, Refusal>>,
    ) -> Response {
        let response = limit(answer).await.unwrap_or_else(|refusal| {
            refusal.for_reader(&state.pages.known(), self.language.as_deref())
        });
        self.visit.end(state, response)
    }
}

/// Ends a request that takes too long.
pub(super) async fn limit(
    answer: impl Future<Output = Result<Response, Refusal>>,
) -> Result<Response, Refusal> {
    tokio::time::timeout(REQUEST_TIMEOUT, answer)
        .await
        .unwrap_or(Err(Refusal::Unavailable))
}

/// The token in a path that a route has matched, whatever mail programs have made of it: percent-encoded, which is the same URL
/// (RFC 3986, section 6.2.2.2), or with what stood around the link in the text, as in `/u/TOKEN>`, `/u/TOKEN).` and `/u/TOKEN/`. What is
/// left is verified as it is.
pub(super) fn token_in(uri: &Uri) -> String {
    let path = uri.path().get(ROUTE_LENGTH..).unwrap_or_default();
    let decoded = percent_decode_str(path).decode_utf8_lossy();
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let token = decoded.trim_start_matches(|c| !is_part(c));
    token.chars().take_while(|c| is_part(*c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_in_what_mail_programs_make_of_its_link() {
        for path in [
            "/u/Ab-_9",
            "/u/Ab-_9/",
            "/u/Ab-_9//",
            "/u/Ab-_9%3E",
            "/u/Ab-_9%3e%20",
            "/u/Ab-_9).",
            "/u/Ab-_9.",
            "/u/Ab-_9,",
            "/u/Ab-_9;",
            "/u/Ab-_9'",
            "/u/Ab-_9%22",
            "/u/Ab-_9]",
            "/u/Ab-_9&utm_source=mail",
            "/u/Ab-_9?utm_source=mail",
            "/u/Ab-_9=",
            "/u/Ab-_9%E2%80%9D",
            "/u/Ab-_9/index.html",
            "/u/%20Ab-_9",
            "/u/%41b-_9",
            "/u/Ab%2D%5F9",
            "/u/Ab%2d%5f9?x",
        ] {
            assert_eq!(token_in(&path.parse().unwrap()), "Ab-_9", "{path}");
        }
        for path in ["/u/", "/u/%3E", "/u/.", "/u/%", "/u/%ff"] {
            assert_eq!(token_in(&path.parse().unwrap()), "", "{path}");
        }
    }
}
