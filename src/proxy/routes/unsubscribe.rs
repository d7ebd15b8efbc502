//! `/u/…`: shows the page, and takes what its buttons or a mail client (RFC 8058) send.

use std::sync::Arc;

use axum::extract::{Request, State as Shared};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use super::ask::ask;
use super::body::{content_type, read};
use super::browser::user_agent;
use super::refusal::Refusal;
use super::response::{NO_INDEX, NO_STORE, page_response, redirect};
use super::visit::{ReaderVisit, token_in};
use crate::proxy::database::Subscription;
use crate::proxy::form;
use crate::proxy::metrics::Route;
use crate::proxy::page;
use crate::proxy::pages::Pages;
use crate::proxy::state::State;
use crate::tracking::token::Purpose;

/// The only body that means anything has 26 bytes; multipart needs a few hundred.
const BODY_LIMIT: usize = 8 * 1024;

const PLAIN_TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

pub async fn show(Shared(state): Shared<Arc<State>>, request: Request) -> Response {
    let visit = ReaderVisit::begin(&state, Route::Unsubscribe, &request);
    visit.end(&state, first_page(&state, request.uri())).await
}

pub async fn submit(Shared(state): Shared<Arc<State>>, request: Request) -> Response {
    let visit = ReaderVisit::begin(&state, Route::Unsubscribe, &request);
    visit.end(&state, fulfil(&state, request)).await
}

/// Shows the page; whatever follows links in mails may come here, so it changes nothing.
async fn first_page(state: &State, uri: &Uri) -> Result<Response, Refusal> {
    let (_, token) = state
        .keys
        .find(Purpose::Unsubscribe, &token_in(uri))
        .await?;
    let subscription = subscription(state, &token).await?;
    let pages = state.pages.fresh().await;
    let page = page::unsubscribe(&pages, &subscription, &token);
    Ok(page_response(page))
}

async fn fulfil(state: &State, request: Request) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    let (_, token) = state
        .keys
        .find(Purpose::Unsubscribe, &token_in(&parts.uri))
        .await?;
    let request = form::read_request(content_type(&parts.headers), &read(body, BODY_LIMIT).await?);
    let user_agent = user_agent(&parts.headers);
    let wished = token.clone();
    let location = ask(state, &state.pools.unsubscriptions, move |session| {
        let (token, user_agent) = (wished.clone(), user_agent.clone());
        async move {
            let user_agent = user_agent.as_deref();
            match request {
                form::Request::Resubscribe => {
                    session.resubscribe(&token, user_agent).await.map(|()| None)
                }
                form::Request::OneClick => session.unsubscribe(&token, false, user_agent).await,
                form::Request::Unsubscribe { everything } => {
                    session.unsubscribe(&token, everything, user_agent).await
                }
            }
        }
    })
    .await?;
    let subscription = subscription(state, &token).await?;
    let pages = state.pages.fresh().await;
    Ok(done(
        &pages,
        request,
        &subscription,
        &token,
        location.as_deref(),
    ))
}

pub(super) async fn subscription(state: &State, token: &str) -> Result<Subscription, Refusal> {
    let token = token.to_owned();
    let subscription = ask(state, &state.pools.lookups, move |session| {
        let token = token.clone();
        async move { session.subscription(&token).await }
    })
    .await?;
    subscription.ok_or(Refusal::NotFound)
}

/// What follows a POST: a line for a mail client (RFC 8058 wants no redirect there), for a reader the page that the
/// mail's author chose, or our own.
fn done(
    pages: &Pages,
    request: form::Request,
    subscription: &Subscription,
    token: &str,
    location: Option<&str>,
) -> Response {
    match request {
        form::Request::OneClick => {
            let headers = [
                (CONTENT_TYPE, PLAIN_TEXT),
                (CACHE_CONTROL, NO_STORE),
                NO_INDEX,
            ];
            let line = page::one_click(pages, subscription.language.as_deref());
            (headers, line).into_response()
        }
        form::Request::Resubscribe => page_response(page::resubscribed(pages, subscription)),
        form::Request::Unsubscribe { .. } => location
            .and_then(|location| redirect(StatusCode::SEE_OTHER, location))
            .unwrap_or_else(|| page_response(page::unsubscribed(pages, subscription, token))),
    }
}

#[cfg(test)]
mod tests;
