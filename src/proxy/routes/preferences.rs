//! `/p/…`: shows the topics, and takes what readers choose.

use std::sync::Arc;

use axum::extract::{Request, State as Shared};
use axum::http::header::LOCATION;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use super::ask::ask;
use super::body::{content_type, read};
use super::browser::user_agent;
use super::refusal::Refusal;
use super::response::page_response;
use super::unsubscribe::subscription;
use super::visit::{ReaderVisit, token_in};
use crate::proxy::form::{self, Preference};
use crate::proxy::metrics::Route;
use crate::proxy::page::preferences;
use crate::proxy::state::State;
use crate::tracking::token::Purpose;

/// A hundred topics with names of a hundred letters, shown and wanted.
const BODY_LIMIT: usize = 64 * 1024;

pub async fn show(Shared(state): Shared<Arc<State>>, request: Request) -> Response {
    let visit = ReaderVisit::begin(&state, Route::Preferences, &request);
    visit.end(&state, first_page(&state, request.uri())).await
}

pub async fn submit(Shared(state): Shared<Arc<State>>, request: Request) -> Response {
    let visit = ReaderVisit::begin(&state, Route::Preferences, &request);
    visit.end(&state, fulfil(&state, request)).await
}

/// Shows the page; whatever follows links in mails may come here, so it changes nothing.
async fn first_page(state: &State, uri: &Uri) -> Result<Response, Refusal> {
    let (_, token) = state
        .keys
        .find(Purpose::Unsubscribe, &token_in(uri))
        .await?;
    page(state, &token, None).await
}

async fn fulfil(state: &State, request: Request) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    let (_, token) = state
        .keys
        .find(Purpose::Unsubscribe, &token_in(&parts.uri))
        .await?;
    let preference =
        form::read_preference(content_type(&parts.headers), &read(body, BODY_LIMIT).await?);
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
