//! What the proxy answers to HTTP requests.

mod ask;
mod body;
mod bounce;
mod browser;
mod confirm;
mod hits;
mod mail;
mod operation;
mod preferences;
mod provider;
mod refusal;
mod report;
mod response;
mod unsubscribe;
mod visit;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State as Shared};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use super::metrics::Route;
use super::state::State;
use refusal::Refusal;
use visit::Visit;

/// The whole application, ready to be served or called by a test.
pub fn app(state: Arc<State>) -> Router {
    let mut routes = Router::new();
    if state.bounce_token.is_some() {
        routes = routes.route(bounce::PATH, post(bounce::take));
    }
    provider::add(routes, &state)
        .route("/c/{*token}", get(hits::click))
        .route("/o/{*token}", get(hits::open))
        .route(
            "/u/{*token}",
            get(unsubscribe::show).post(unsubscribe::submit),
        )
        .route(
            "/p/{*token}",
            get(preferences::show).post(preferences::submit),
        )
        .route("/s/{*token}", get(confirm::show).post(confirm::submit))
        .route("/r/{*token}", get(report::show))
        .route("/v/{*token}", get(mail::show))
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

#[cfg(test)]
mod tests;
