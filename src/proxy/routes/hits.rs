//! `/o/…` and `/c/…`: records that a mail was opened, that a link was followed.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::{Request, State as Shared};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, REFERRER_POLICY};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use ipnet::IpNet;
use uuid::Uuid;

use super::browser::{is_prefetch, user_agent, wants_privacy};
use super::refusal::Refusal;
use super::response::{NO_INDEX, NO_REFERRER, redirect};
use super::visit::{Visit, limit, token_in};
use crate::proxy::hit::{Hit, HitKind, HitMethod};
use crate::proxy::metrics::Route;
use crate::proxy::state::State;
use crate::tracking::token::Purpose;

/// Also told to caches that do not know `no-store` alone, or the second open would never arrive.
const NEVER_CACHED: HeaderValue =
    HeaderValue::from_static("no-store, no-cache, must-revalidate, private");

/// A transparent GIF of one pixel, 43 bytes.
const PIXEL: [u8; 43] = *b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff\
    \x21\xf9\x04\x01\0\0\0\0\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0\x3b";

pub async fn click(Shared(state): Shared<Arc<State>>, request: Request) -> Response {
    let visit = Visit::begin(&state, Route::Click, &request);
    let answer = limit(record_click(&state, request)).await;
    visit.end(&state, answer.into_response())
}

pub async fn open(Shared(state): Shared<Arc<State>>, request: Request) -> Response {
    let visit = Visit::begin(&state, Route::Open, &request);
    let answer = limit(record_open(&state, request)).await;
    visit.end(&state, answer.into_response())
}

async fn record_click(state: &State, request: Request) -> Result<Response, Refusal> {
    let text = token_in(request.uri());
    let (verified, token) = state.keys.find(Purpose::Click, &text).await?;
    let link = verified.link.ok_or(Refusal::NotFound)?;
    let hit = hit(state, HitKind::Click, token, &request);
    if let Some(location) = state.links.get(link, !state.recorder.is_available()) {
        state.recorder.record(hit, true).await?;
        return redirect(StatusCode::FOUND, &location).ok_or(Refusal::NotFound);
    }
    let answer = match state.recorder.record(hit.clone(), false).await {
        Ok(answer) => answer,
        Err(unavailable) => {
            // It went away just now: what it once said will do. The same id counts once.
            let location = state.links.get(link, true).ok_or(unavailable)?;
            state.recorder.record(hit, true).await?;
            return redirect(StatusCode::FOUND, &location).ok_or(Refusal::NotFound);
        }
    };
    if answer.known && answer.location.is_none() {
        state.links.forget(link);
    }
    let location = answer.location.filter(|_| answer.known);
    let location = location.ok_or(Refusal::NotFound)?;
    state.links.learn(link, &location);
    redirect(StatusCode::FOUND, &location).ok_or(Refusal::NotFound)
}

/// The image is the same whether or not the database knows what was opened: a mail is better read without a broken image.
async fn record_open(state: &State, request: Request) -> Result<Response, Refusal> {
    let (_, token) = state
        .keys
        .find(Purpose::Open, &token_in(request.uri()))
        .await?;
    let hit = hit(state, HitKind::Open, token, &request);
    state.recorder.record(hit, true).await?;
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("image/gif")),
        (CACHE_CONTROL, NEVER_CACHED),
        (REFERRER_POLICY, NO_REFERRER),
        NO_INDEX,
    ];
    Ok((headers, PIXEL.as_slice()).into_response())
}

fn hit(state: &State, kind: HitKind, token: String, request: &Request) -> Hit {
    let headers = request.headers();
    Hit {
        id: Uuid::now_v7(),
        kind,
        token,
        occurred_at: SystemTime::now(),
        method: match *request.method() {
            Method::HEAD => HitMethod::Head,
            _ if is_prefetch(headers) => HitMethod::Prefetch,
            _ => HitMethod::Get,
        },
        address: state
            .trust
            .address(request.extensions(), headers)
            .filter(|_| !wants_privacy(headers))
            .map(network),
        user_agent: user_agent(headers),
    }
}

/// The network of an address, as the database's `address_prefix()` has it: the rest must not get as far as to the spool or
/// to a server that logs the parameters of its statements.
fn network(address: IpAddr) -> IpAddr {
    let bits = if address.is_ipv4() { 24 } else { 48 };
    IpNet::new(address, bits).map_or(address, |net| net.network())
}

#[cfg(test)]
mod tests;
