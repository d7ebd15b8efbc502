//! One request, from its beginning to its end.

use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::http::{HeaderValue, Uri};
use axum::response::Response;
use tracing::debug;

use super::refusal::Refusal;
use crate::proxy::client::REQUEST_ID;
use crate::proxy::metrics::Route;
use crate::proxy::state::State;

/// From the last byte of the header to the first byte of the answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

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

/// Ends a request that takes too long.
pub(super) async fn limit(
    answer: impl Future<Output = Result<Response, Refusal>>,
) -> Result<Response, Refusal> {
    tokio::time::timeout(REQUEST_TIMEOUT, answer)
        .await
        .unwrap_or(Err(Refusal::Unavailable))
}

/// The last segment of a path that a route has matched. As it was written: a token has no characters to be decoded.
pub(super) fn token_in(uri: &Uri) -> &str {
    uri.path().rsplit('/').next().unwrap_or_default()
}
