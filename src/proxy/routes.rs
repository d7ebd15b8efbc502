//! What the proxy answers to HTTP requests.

mod body;
mod bounce;
mod privacy;
mod refusal;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use axum::extract::{Request, State as Shared};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY, USER_AGENT,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tracing::{debug, warn};
use uuid::Uuid;

use super::State;
use super::client::REQUEST_ID;
use super::control::Lane;
use super::database::{DatabaseError, Session, Subscription};
use super::form::{Wish, wish};
use super::hit::{Hit, HitKind, HitMethod};
use super::metrics::{Gauges, Route};
use super::page::{self, Page};
use super::pages::Pages;
use crate::tracking::token::Purpose;
use crate::tracking::url::redirect_target;
use body::read;
use privacy::{is_prefetch, wants_privacy};
use refusal::{Refusal, preferred_language};

/// From the last byte of the header to the first byte of the answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// For an answer to `/readyz`: whoever asks must not have to wait for a server that is silent.
const READY_TIMEOUT: Duration = Duration::from_secs(2);
/// The only body that means anything has 26 bytes; multipart needs a few hundred.
const BODY_LIMIT: usize = 8 * 1024;
/// Longest user agent that is sent on, in characters; the database keeps no more.
const USER_AGENT_LENGTH: usize = 200;

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
/// Also told to caches that do not know `no-store` alone, or the second open would never arrive.
const NEVER_CACHED: HeaderValue =
    HeaderValue::from_static("no-store, no-cache, must-revalidate, private");
const NO_REFERRER: HeaderValue = HeaderValue::from_static("no-referrer");
const NO_INDEX: (HeaderName, HeaderValue) = (
    HeaderName::from_static("x-robots-tag"),
    HeaderValue::from_static("noindex"),
);
const PLAIN_TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// A transparent GIF of one pixel, 43 bytes.
const PIXEL: [u8; 43] = *b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff\
    \x21\xf9\x04\x01\0\0\0\0\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0\x3b";

/// The whole application, ready to be served or called by a test.
pub fn app(state: Arc<State>) -> Router {
    let mut routes = Router::new();
    if state.bounce_token.is_some() {
        routes = routes.route(bounce::PATH, post(bounce::take));
    }
    routes
        .route("/c/{token}", get(click))
        .route("/o/{token}", get(open))
        .route("/u/{token}", get(unsubscribe_page).post(unsubscribe))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(state)
}

async fn click(Shared(state): Shared<Arc<State>>, request: Request) -> Response {
    let visit = Visit::begin(&state, Route::Click, &request);
    let answer = limit(record_click(&state, request)).await;
    visit.end(&state, answer.into_response())
}

async fn open(Shared(state): Shared<Arc<State>>, request: Request) -> Response {
    let visit = Visit::begin(&state, Route::Open, &request);
    let answer = limit(record_open(&state, request)).await;
    visit.end(&state, answer.into_response())
}

async fn unsubscribe_page(Shared(state): Shared<Arc<State>>, request: Request) -> Response {
    let visit = Visit::begin(&state, Route::Unsubscribe, &request);
    let language = preferred_language(request.headers());
    let answer = limit(ask_to_unsubscribe(&state, request.uri())).await;
    let response = answer
        .unwrap_or_else(|refusal| refusal.for_reader(&state.pages.known(), language.as_deref()));
    visit.end(&state, response)
}

async fn unsubscribe(Shared(state): Shared<Arc<State>>, request: Request) -> Response {
    let visit = Visit::begin(&state, Route::Unsubscribe, &request);
    let language = preferred_language(request.headers());
    let answer = limit(do_unsubscribe(&state, request)).await;
    let response = answer
        .unwrap_or_else(|refusal| refusal.for_reader(&state.pages.known(), language.as_deref()));
    visit.end(&state, response)
}

async fn not_found(Shared(state): Shared<Arc<State>>, request: Request) -> Response {
    Visit::begin(&state, Route::Other, &request).end(&state, Refusal::NotFound.into_response())
}

/// The router adds `Allow`.
async fn method_not_allowed(Shared(state): Shared<Arc<State>>, request: Request) -> Response {
    let route = Route::of(request.uri().path());
    let response = Refusal::MethodNotAllowed.into_response();
    Visit::begin(&state, route, &request).end(&state, response)
}

/// What is noted about a request, by its handler: a layer around the router would cost a tenth of the user time of a hit.
struct Visit {
    route: Route,
    id: HeaderValue,
    began: Instant,
}

impl Visit {
    fn begin(state: &State, route: Route, request: &Request) -> Self {
        Self {
            route,
            id: state
                .trust
                .request_id(request.extensions(), request.headers()),
            began: Instant::now(),
        }
    }

    /// Counts the request, logs it without what could name a person, and tells its id.
    fn end(self, state: &State, mut response: Response) -> Response {
        let status = response.status().as_u16();
        state.metrics.count_request(self.route, status);
        debug!(
            request_id = self.id.to_str().unwrap_or_default(),
            route = self.route.name(),
            status,
            microseconds = self.began.elapsed().as_micros(),
            "answered"
        );
        response.headers_mut().insert(REQUEST_ID, self.id);
        response
    }
}

/// Ends a request that takes too long.
async fn limit(
    answer: impl Future<Output = Result<Response, Refusal>>,
) -> Result<Response, Refusal> {
    tokio::time::timeout(REQUEST_TIMEOUT, answer)
        .await
        .unwrap_or(Err(Refusal::Unavailable))
}

async fn record_click(state: &State, request: Request) -> Result<Response, Refusal> {
    let token = token_in(request.uri());
    let verified = state.keys.verify(Purpose::Click, token).await?;
    let link = verified.link.ok_or(Refusal::NotFound)?;
    let hit = hit(state, HitKind::Click, token, &request);
    if let Some(location) = state.links.get(link) {
        state.recorder.record(hit, true).await?;
        return redirect(&location).ok_or(Refusal::NotFound);
    }
    let answer = state.recorder.record(hit, false).await?;
    let location = answer.location.filter(|_| answer.known);
    let location = location.ok_or(Refusal::NotFound)?;
    state.links.learn(link, &location);
    redirect(&location).ok_or(Refusal::NotFound)
}

/// The redirect to where the database says, if that is a web page.
fn redirect(location: &str) -> Option<Response> {
    let location = HeaderValue::try_from(redirect_target(location)?).ok()?;
    let headers = [
        (LOCATION, location),
        (CACHE_CONTROL, NO_STORE),
        (REFERRER_POLICY, NO_REFERRER),
        NO_INDEX,
    ];
    Some((StatusCode::FOUND, headers).into_response())
}

/// The image is the same whether or not the database knows what was opened: a mail is better read without a broken image.
async fn record_open(state: &State, request: Request) -> Result<Response, Refusal> {
    let token = token_in(request.uri());
    state.keys.verify(Purpose::Open, token).await?;
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

/// Shows the page; whatever follows links in mails may come here, so it changes nothing.
async fn ask_to_unsubscribe(state: &State, uri: &Uri) -> Result<Response, Refusal> {
    let token = token_in(uri);
    state.keys.verify(Purpose::Unsubscribe, token).await?;
    let subscription = subscription(state, token).await?;
    let pages = state.pages.fresh().await;
    Ok(page_response(page::unsubscribe(&pages, &subscription)))
}

async fn subscription(state: &State, token: &str) -> Result<Subscription, Refusal> {
    let token = token.to_owned();
    let subscription = ask(state, &state.control.lookups, move |session| {
        let token = token.clone();
        async move { session.subscription(&token).await }
    })
    .await?;
    subscription.ok_or(Refusal::NotFound)
}

async fn do_unsubscribe(state: &State, request: Request) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    let token = token_in(&parts.uri);
    state.keys.verify(Purpose::Unsubscribe, token).await?;
    let content_type = parts
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let wish = wish(content_type, &read(body, BODY_LIMIT).await?);
    let user_agent = user_agent(&parts.headers);
    let wished = token.to_owned();
    let location = ask(state, &state.control.unsubscriptions, move |session| {
        let (token, user_agent) = (wished.clone(), user_agent.clone());
        async move {
            let user_agent = user_agent.as_deref();
            match wish {
                Wish::Resubscribe => session.resubscribe(&token, user_agent).await.map(|()| None),
                Wish::OneClick => session.unsubscribe(&token, false, user_agent).await,
                Wish::Unsubscribe { everything } => {
                    session.unsubscribe(&token, everything, user_agent).await
                }
            }
        }
    })
    .await?;
    let subscription = subscription(state, token).await?;
    let pages = state.pages.fresh().await;
    Ok(done(&pages, wish, &subscription, location.as_deref()))
}

/// What follows a POST: a line for a mail client (RFC 8058 wants no redirect there), for a reader the page that the
/// mail's author chose, or our own.
fn done(
    pages: &Pages,
    wish: Wish,
    subscription: &Subscription,
    location: Option<&str>,
) -> Response {
    match wish {
        Wish::OneClick => {
            let headers = [
                (CONTENT_TYPE, PLAIN_TEXT),
                (CACHE_CONTROL, NO_STORE),
                NO_INDEX,
            ];
            let line = page::one_click(pages, subscription.language.as_deref());
            (headers, line).into_response()
        }
        Wish::Resubscribe => page_response(page::resubscribed(pages, subscription)),
        Wish::Unsubscribe { .. } => {
            let location = location.and_then(redirect_target);
            match location.and_then(|location| HeaderValue::try_from(location).ok()) {
                Some(location) => {
                    let headers = [
                        (LOCATION, location),
                        (CACHE_CONTROL, NO_STORE),
                        (REFERRER_POLICY, NO_REFERRER),
                        NO_INDEX,
                    ];
                    (StatusCode::SEE_OTHER, headers).into_response()
                }
                None => page_response(page::unsubscribed(pages, subscription)),
            }
        }
    }
}

fn page_response(page: Page) -> Response {
    let headers = [
        (
            CONTENT_TYPE,
            HeaderValue::from_static("text/html; charset=utf-8"),
        ),
        (CONTENT_SECURITY_POLICY, page.policy),
        (CACHE_CONTROL, NO_STORE),
        (REFERRER_POLICY, NO_REFERRER),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        NO_INDEX,
    ];
    (headers, page.html).into_response()
}

/// Whether hits would be answered now: recorded, which the workers know, and a batch without hits, since a lock or a
/// missing right shows only when it is met; or else spooled.
async fn ready(Shared(state): Shared<Arc<State>>) -> Result<&'static str, Refusal> {
    match recordable(&state).await {
        Ok(()) => Ok("ready\n"),
        Err(_) if state.keys.are_known() && state.recorder.can_spool() => {
            Ok("ready, without the database\n")
        }
        Err(refusal) => Err(refusal),
    }
}

async fn recordable(state: &State) -> Result<(), Refusal> {
    if !state.recorder.is_available() {
        return Err(Refusal::Unavailable);
    }
    let probe = ask(state, &state.control.probes, |session| async move {
        session.probe().await
    });
    tokio::time::timeout(READY_TIMEOUT, probe)
        .await
        .unwrap_or(Err(Refusal::Unavailable))
}

async fn metrics(Shared(state): Shared<Arc<State>>) -> Response {
    let text = state.metrics.render(Gauges {
        queue: state.recorder.depth(),
        database_up: state.recorder.is_available(),
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

/// Asks the database something other than to record a hit.
async fn ask<T, F>(
    state: &State,
    lane: &Lane,
    question: impl Fn(Arc<Session>) -> F + Send + Sync + 'static,
) -> Result<T, Refusal>
where
    T: Send + 'static,
    F: Future<Output = Result<T, DatabaseError>> + Send,
{
    lane.call(question).await.map_err(|error| {
        match error {
            // A flood must not become a flood of messages.
            DatabaseError::Busy => debug!(%error, "the database was not asked"),
            // That the database is away has been said by the recorder, once.
            _ if state.recorder.is_available() => warn!(%error, "the database did not answer"),
            _ => {}
        }
        Refusal::Unavailable
    })
}

/// The last segment of a path that a route has matched. As it was written: a token has no characters to be decoded.
fn token_in(uri: &Uri) -> &str {
    uri.path().rsplit('/').next().unwrap_or_default()
}

fn hit(state: &State, kind: HitKind, token: &str, request: &Request) -> Hit {
    let headers = request.headers();
    Hit {
        id: Uuid::now_v7(),
        kind,
        token: token.to_owned(),
        occurred_at: SystemTime::now(),
        method: match *request.method() {
            Method::HEAD => HitMethod::Head,
            _ if is_prefetch(headers) => HitMethod::Prefetch,
            _ => HitMethod::Get,
        },
        address: state
            .trust
            .address(request.extensions(), headers)
            .filter(|_| !wants_privacy(headers)),
        user_agent: user_agent(headers),
    }
}

/// The user agent, cut and reduced to ASCII: a character that the database's encoding lacks would fail a whole batch.
/// None of those who do not want to be tracked.
fn user_agent(headers: &HeaderMap) -> Option<String> {
    let value = headers
        .get(USER_AGENT)
        .filter(|_| !wants_privacy(headers))?;
    let printable = |byte: &u8| {
        if (b' '..=b'~').contains(byte) {
            char::from(*byte)
        } else {
            '?'
        }
    };
    Some(
        value
            .as_bytes()
            .iter()
            .take(USER_AGENT_LENGTH)
            .map(printable)
            .collect(),
    )
}

#[cfg(test)]
mod tests;
