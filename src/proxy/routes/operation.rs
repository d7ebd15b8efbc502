//! `/readyz` and `/metrics`: for whoever runs the proxy.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State as Shared;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::ask::ask;
use super::refusal::Refusal;
use crate::proxy::metrics::Gauges;
use crate::proxy::state::State;

/// For an answer to `/readyz`: whoever asks must not have to wait for a server that is silent.
const READY_TIMEOUT: Duration = Duration::from_secs(2);

/// Whether hits would be answered now: verified, and recorded, which the workers know, and a batch without hits, since a lock
/// or a missing right shows only when it is met; or else spooled.
pub async fn ready(Shared(state): Shared<Arc<State>>) -> Result<String, Refusal> {
    if !state.keys.are_known() {
        return Err(Refusal::Unavailable);
    }
    let ready = match recordable(&state).await {
        Ok(()) => "ready",
        Err(_) if state.recorder.can_spool() => "ready, without the database",
        Err(refusal) => return Err(refusal),
    };
    Ok(match state.keys.mismatch() {
        Some(mismatch) => format!("{ready}, outdated: {mismatch}\n"),
        None => format!("{ready}\n"),
    })
}

async fn recordable(state: &State) -> Result<(), Refusal> {
    if !state.recorder.is_available() {
        return Err(Refusal::Unavailable);
    }
    let probe = ask(state, &state.pools.probes, |session| async move {
        session.probe().await
    });
    tokio::time::timeout(READY_TIMEOUT, probe)
        .await
        .unwrap_or(Err(Refusal::Unavailable))
}

pub async fn metrics(Shared(state): Shared<Arc<State>>) -> Response {
    let text = state.metrics.render(Gauges {
        queue: state.recorder.depth(),
        database_up: state.recorder.is_available(),
        outdated: state.keys.mismatch().is_some(),
        spooled_bytes: state.recorder.spooled_bytes(),
    });
    (
        [(
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; version=0.0.4"),
        )],
        text,
    )
        .into_response()
}
