//! `/s/…`: asks whether a subscription is meant, and takes the answer.

use std::sync::Arc;

use axum::extract::{Request, State as Shared};
use axum::response::Response;

use super::ask::ask;
use super::browser::user_agent;
use super::refusal::Refusal;
use super::response::page_response;
use super::visit::{ReaderVisit, token_in};
use crate::proxy::metrics::Route;
use crate::proxy::page::confirmation;
use crate::proxy::state::State;
use crate::tracking::token::Purpose;

pub async fn show(Shared(state): Shared<Arc<State>>, request: Request) -> Response {
    visit(&state, request, false).await
}

/// Whatever the body says: the URL is for nothing else.
pub async fn submit(Shared(state): Shared<Arc<State>>, request: Request) -> Response {
    visit(&state, request, true).await
}

async fn visit(state: &State, request: Request, confirms: bool) -> Response {
    let visit = ReaderVisit::begin(state, Route::Confirm, &request);
    // Not the request: its body cannot be shared with another thread, and nobody reads it.
    let text = token_in(request.uri());
    let agent = user_agent(request.headers());
    drop(request);
    visit
        .end(state, answer(state, text, confirms.then_some(agent)))
        .await
}

/// Shows the page. Only a POST confirms: whatever follows links in mails would subscribe everybody.
///
/// confirming: the user agent of who confirms; `None`: nobody does.
async fn answer(
    state: &State,
    text: String,
    confirming: Option<Option<String>>,
) -> Result<Response, Refusal> {
    let (_, token) = state.keys.find(Purpose::Confirm, &text).await?;
    if let Some(user_agent) = confirming {
        let wished = token.clone();
        ask(state, &state.pools.unsubscriptions, move |session| {
            let (token, user_agent) = (wished.clone(), user_agent.clone());
            async move { session.confirm(&token, user_agent.as_deref()).await }
        })
        .await?;
    }
    let found = ask(state, &state.pools.lookups, move |session| {
        let token = token.clone();
        async move { session.confirmation(&token).await }
    })
    .await?
    .ok_or(Refusal::NotFound)?;
    let pages = state.pages.fresh().await;
    Ok(page_response(confirmation(&pages, &found)))
}
