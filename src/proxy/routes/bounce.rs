//! `POST /bounce`: takes a mail that came back, from whoever has the token.

use std::sync::Arc;

use axum::extract::{Request, State as Shared};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::ask::ask;
use super::body::read;
use super::refusal::Refusal;
use super::response::NO_STORE;
use super::visit::{Visit, limit};
use crate::proxy::database::Bounce;
use crate::proxy::metrics::Route;
use crate::proxy::state::State;

pub const PATH: &str = "/bounce";
/// How to say who one is (RFC 6750).
const CHALLENGE: &str = "Bearer realm=\"bounces\"";
/// Of a longer mail `ingest_bounce()` would read no more.
const MAIL_LIMIT: usize = 1024 * 1024;

pub async fn take(Shared(state): Shared<Arc<State>>, request: Request) -> Response {
    let visit = Visit::begin(&state, Route::Bounce, &request);
    let answer = limit(ingest(&state, request)).await;
    visit.end(&state, answer.into_response())
}

/// Whoever has no token does not get as far as to send a mail. What was not recorded is not kept here either: the mail
/// server keeps it until it is told 200, and the same mail twice counts once.
async fn ingest(state: &State, request: Request) -> Result<Response, Refusal> {
    let token = state.bounce_token.as_ref().ok_or(Refusal::NotFound)?;
    if !token.authorizes(request.headers()) {
        return Err(Refusal::Unauthorized(CHALLENGE));
    }
    let mail = read(request.into_body(), MAIL_LIMIT).await?;
    if mail.is_empty() {
        return Err(Refusal::BodyBroken);
    }
    let mail: Arc<[u8]> = mail.into();
    let bounce = ask(state, &state.pools.bounces, move |session| {
        let mail = Arc::clone(&mail);
        async move { session.ingest_bounce(&mail).await }
    })
    .await?;
    Ok(taken(&bounce))
}

/// One line of JSON: `kind`, `status` and `message` as in the row of `bounce`.
fn taken(bounce: &Bounce) -> Response {
    let line = json!({"kind": bounce.kind, "status": bounce.status, "message": bounce.message});
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (CACHE_CONTROL, NO_STORE),
    ];
    (headers, format!("{line}\n")).into_response()
}

#[cfg(test)]
mod tests;
