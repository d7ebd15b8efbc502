//! `/v/…`: a mail in a browser, for its reader.

use std::sync::Arc;

use axum::extract::{Request, State as Shared};
use axum::http::Uri;
use axum::response::Response;

use super::ask::ask;
use super::refusal::Refusal;
use super::response::page_response;
use super::visit::{ReaderVisit, token_in};
use crate::proxy::metrics::Route;
use crate::proxy::page;
use crate::proxy::state::State;
use crate::tracking::token::Purpose;

pub async fn show(Shared(state): Shared<Arc<State>>, request: Request) -> Response {
    let visit = ReaderVisit::begin(&state, Route::Browser, &request);
    visit.end(&state, mail(&state, request.uri())).await
}

/// The mail; of one that is shown no more, whatever the reason, the same page.
async fn mail(state: &State, uri: &Uri) -> Result<Response, Refusal> {
    let text = token_in(uri);
    let (_, token) = state.keys.find(Purpose::Browser, &text).await?;
    let html = ask(state, &state.pools.mails, move |session| {
        let token = token.clone();
        async move { session.mail(&token).await }
    })
    .await?;
    html.map(|html| page_response(page::mail(html)))
        .ok_or(Refusal::Gone)
}
