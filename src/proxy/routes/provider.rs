//! `POST /bounce/PROVIDER`: takes what a provider tells of mails that it was given, and hands each event on as the mail that
//! would say the same.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State as Shared};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::json;
use tracing::warn;

use super::ask::ask;
use super::body::read;
use super::refusal::Refusal;
use super::response::NO_STORE;
use super::visit::{Visit, limit};
use crate::mail::provider::ses::Message;
use crate::mail::provider::{Event, Provider, Refused, Unreadable};
use crate::proxy::metrics::{EventResult, Route};
use crate::proxy::state::State;

/// The largest batches, SendGrid's, have 768 KB.
const BODY_LIMIT: usize = 1024 * 1024;

/// Adds the routes of the providers that may post.
pub(super) fn add(mut routes: Router<Arc<State>>, state: &State) -> Router<Arc<State>> {
    for provider in Provider::ALL {
        if state.providers.has(provider) {
            let path = format!("/bounce/{}", provider.name());
            let take =
                move |state: Shared<Arc<State>>, request: Request| take(provider, state, request);
            routes = routes.route(&path, post(take));
        }
    }
    routes
}

async fn take(provider: Provider, Shared(state): Shared<Arc<State>>, request: Request) -> Response {
    let visit = Visit::begin(&state, Route::of(request.uri().path()), &request);
    let answer = limit(ingest(&state, provider, request)).await;
    visit.end(&state, answer.into_response())
}

/// It is answered when all is recorded; what was before an interruption is recorded once, however often it comes.
async fn ingest(state: &State, provider: Provider, request: Request) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    if let Some(credential) = state.providers.credential(provider)
        && !credential.authorizes(&parts.headers)
    {
        return Err(Refusal::Unauthorized(credential.challenge()));
    }
    let _place = state.providers.begin().ok_or(Refusal::Unavailable)?;
    let body = read(body, BODY_LIMIT).await?;
    let message = state
        .providers
        .read(provider, &parts.headers, &body)
        .map_err(|refused| refusal(provider, refused))?;
    drop(body);
    match message {
        Message::Events(events) => {
            let recorded = record(state, provider, &events).await?;
            Ok(taken(events.len(), recorded))
        }
        Message::Confirm { topic, url } => {
            warn!(%topic, "the topic posts here once somebody has opened {url}");
            Ok(taken(0, 0))
        }
        Message::Ended { topic } => {
            warn!(%topic, "the topic does not post here any more");
            Ok(taken(0, 0))
        }
    }
}

/// Hands on what may be about a mail of ours; gives how many that were.
async fn record(state: &State, provider: Provider, events: &[Event]) -> Result<usize, Refusal> {
    let mut recorded = 0;
    for event in events {
        let result = match event.mail(provider) {
            Some(mail) => {
                let mail: Arc<[u8]> = mail.into();
                let bounce = ask(state, &state.pools.bounces, move |session| {
                    let mail = Arc::clone(&mail);
                    async move { session.ingest_bounce(&mail).await }
                })
                .await?;
                recorded += 1;
                EventResult::of(&bounce.kind, bounce.message.is_some())
            }
            None if event.matters() => EventResult::Foreign,
            None => EventResult::Ignored,
        };
        state.metrics.count_event(provider, result);
    }
    Ok(recorded)
}

/// What is bad stays so when it comes again: where a provider has a status for that, it gets it.
fn refusal(provider: Provider, refused: Refused) -> Refusal {
    match (refused, provider) {
        (Refused::Unreadable(Unreadable::TooMany), _) => Refusal::BodyTooLarge,
        (Refused::Unreadable(_), Provider::Mailgun) => Refusal::NotAcceptable,
        (Refused::Unreadable(_), _) => Refusal::BodyBroken,
        // By then somebody may have given the proxy the right key.
        (Refused::Distrust(_), _) => Refusal::Forbidden,
    }
}

/// One line of JSON: how many events there were, and how many of them are recorded.
fn taken(events: usize, recorded: usize) -> Response {
    let line = json!({"events": events, "recorded": recorded});
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (CACHE_CONTROL, NO_STORE),
    ];
    (headers, format!("{line}\n")).into_response()
}

#[cfg(test)]
mod tests;
