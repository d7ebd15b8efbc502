//! What the proxy answers to HTTP requests.

mod body;
mod bounce;
mod browser;
mod hits;
mod operation;
mod refusal;
mod response;
mod unsubscribe;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Request, State as Shared};
use axum::http::{HeaderValue, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tracing::{debug, warn};

use super::State;
use super::client::REQUEST_ID;
use super::database::{DatabaseError, Session};
use super::metrics::Route;
use super::pools::Pool;
use refusal::Refusal;

/// From the last byte of the header to the first byte of the answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The whole application, ready to be served or called by a test.
pub fn app(state: Arc<State>) -> Router {
    let mut routes = Router::new();
    if state.bounce_token.is_some() {
        routes = routes.route(bounce::PATH, post(bounce::take));
    }
    routes
        .route("/c/{token}", get(hits::click))
        .route("/o/{token}", get(hits::open))
        .route(
            "/u/{token}",
            get(unsubscribe::show).post(unsubscribe::submit),
        )
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(operation::ready))
        .route("/metrics", get(operation::metrics))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(state)
}

async fn not_found(Shared(state): Shared<Arc<State>>, request: Request) -> Response {
    Visit::begin(&state, Route::Other, &request).end(&state, Refusal::NotFound.into_response())
}

/// The router adds `Allow`.
async fn method_not_allowed(Shared(state): Shared<Arc<State>>, request: Request) -> Response {
    let route = Route::of(request.uri().path());
    let response = Refusal::MethodNotAllowed.into_response();
    Visit::begin(&state, route, &request).end(&state, response)
}

/// What is noted about a request, by its handler: a layer around the router would cost a tenth of the user time of a hit.
struct Visit {
    route: Route,
    id: HeaderValue,
    began: Instant,
}

impl Visit {
    fn begin(state: &State, route: Route, request: &Request) -> Self {
        Self {
            route,
            id: state
                .trust
                .request_id(request.extensions(), request.headers()),
            began: Instant::now(),
        }
    }

    /// Counts the request, logs it without what could name a person, and tells its id.
    fn end(self, state: &State, mut response: Response) -> Response {
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
async fn limit(
    answer: impl Future<Output = Result<Response, Refusal>>,
) -> Result<Response, Refusal> {
    tokio::time::timeout(REQUEST_TIMEOUT, answer)
        .await
        .unwrap_or(Err(Refusal::Unavailable))
}

/// Asks the database something other than to record a hit.
async fn ask<T, F>(
    state: &State,
    pool: &Pool,
    question: impl Fn(Arc<Session>) -> F + Send + Sync + 'static,
) -> Result<T, Refusal>
where
    T: Send + 'static,
    F: Future<Output = Result<T, DatabaseError>> + Send,
{
    pool.call(question).await.map_err(|error| {
        match error {
            // A flood must not become a flood of messages.
            DatabaseError::Busy => debug!(%error, "the database was not asked"),
            // That the database is away has been said by the recorder, once.
            _ if state.recorder.is_available() => warn!(%error, "the database did not answer"),
            _ => {}
        }
        Refusal::Unavailable
    })
}

/// The last segment of a path that a route has matched. As it was written: a token has no characters to be decoded.
fn token_in(uri: &Uri) -> &str {
    uri.path().rsplit('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests;
