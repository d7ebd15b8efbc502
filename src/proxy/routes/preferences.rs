//! `/p/…`: shows the topics, and takes what readers choose.

use std::sync::Arc;

use axum::extract::{Request, State as Shared};
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use super::ask::ask;
use super::body::read;
use super::browser::{preferred_language, user_agent};
use super::refusal::Refusal;
use super::response::page_response;
use super::unsubscribe::subscription;
use super::visit::{Visit, limit, token_in};
use crate::proxy::form::{self, Preference};
use crate::proxy::metrics::Route;
use crate::proxy::page::preferences;
use crate::proxy::state::State;
use crate::tracking::token::Purpose;

/// A hundred topics with names of a hundred letters, shown and wanted.
const BODY_LIMIT: usize = 64 * 1024;

pub async fn show(Shared(state): Shared<Arc<State>>, request: Request) -> Response {
    let visit = Visit::begin(&state, Route::Preferences, &request);
    let language = preferred_language(request.headers());
    let answer = limit(first_page(&state, request.uri())).await;
    let response = answer
        .unwrap_or_else(|refusal| refusal.for_reader(&state.pages.known(), language.as_deref()));
    visit.end(&state, response)
}

pub async fn submit(Shared(state): Shared<Arc<State>>, request: Request) -> Response {
    let visit = Visit::begin(&state, Route::Preferences, &request);
    let language = preferred_language(request.headers());
    let answer = limit(fulfil(&state, request)).await;
    let response = answer
        .unwrap_or_else(|refusal| refusal.for_reader(&state.pages.known(), language.as_deref()));
    visit.end(&state, response)
}

/// Shows the page; whatever follows links in mails may come here, so it changes nothing.
async fn first_page(state: &State, uri: &Uri) -> Result<Response, Refusal> {
    let token = token_in(uri);
    state.keys.verify(Purpose::Unsubscribe, &token).await?;
    page(state, &token, None).await
}

async fn fulfil(state: &State, request: Request) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    let token = token_in(&parts.uri);
    state.keys.verify(Purpose::Unsubscribe, &token).await?;
    let content_type = parts
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let preference = form::read_preference(content_type, &read(body, BODY_LIMIT).await?);
    let user_agent = user_agent(&parts.headers);
    let wished = token.clone();
    let changed = ask(state, &state.pools.unsubscriptions, move |session| {
        let (token, user_agent, preference) =
            (wished.clone(), user_agent.clone(), preference.clone());
        async move {
            let user_agent = user_agent.as_deref();
            match &preference {
                Preference::Save { shown, wanted } => session
                    .choose(&token, shown, wanted, user_agent)
                    .await
                    .map(Some),
                Preference::Undo { topics } => session
                    .undo_choice(&token, topics, user_agent)
                    .await
                    .map(|()| Some(Vec::new())),
                Preference::LeaveEverything => session
                    .unsubscribe(&token, true, user_agent)
                    .await
                    .map(|_| None),
                Preference::Resubscribe => session
                    .resubscribe(&token, user_agent)
                    .await
                    .map(|()| Some(Vec::new())),
                Preference::Nothing => Ok(None),
            }
        }
    })
    .await?;
    page(state, &token, changed.as_deref()).await
}

/// The page, with what has just been changed; where there is no topic to choose, the one that unsubscribes.
async fn page(state: &State, token: &str, changed: Option<&[String]>) -> Result<Response, Refusal> {
    let subscription = subscription(state, token).await?;
    if subscription.choices.is_empty() {
        // Characters of a token that has been verified.
        return Ok((StatusCode::SEE_OTHER, [(LOCATION, format!("/u/{token}"))]).into_response());
    }
    let pages = state.pages.fresh().await;
    Ok(page_response(preferences(&pages, &subscription, changed)))
}
