//! `/r/…`: the report of a scenario, for who has a link to it that has not expired.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

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
    let visit = ReaderVisit::begin(&state, Route::Report, &request);
    let language = visit.language.clone();
    visit
        .end(&state, report(&state, request.uri(), language))
        .await
}

async fn report(state: &State, uri: &Uri, language: Option<String>) -> Result<Response, Refusal> {
    let text = token_in(uri);
    let (verified, token) = state.keys.find(Purpose::Report, &text).await?;
    // The database looks again; one that has expired is no reason to ask it.
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs());
    if u64::try_from(verified.record).is_ok_and(|until| until <= now) {
        return Err(Refusal::NotFound);
    }
    let html = ask(state, &state.pools.reports, move |session| {
        let (token, language) = (token.clone(), language.clone());
        async move { session.report(&token, language.as_deref()).await }
    })
    .await?;
    html.map(|html| page_response(page::report(html)))
        .ok_or(Refusal::NotFound)
}
