use axum::body::{Body, Bytes, to_bytes};
use axum::http::StatusCode;
use axum::http::header::{ALLOW, AsHeaderName, LOCATION, RETRY_AFTER, USER_AGENT};
use axum::http::request::Builder;
use tokio::task::JoinHandle;
use tower::ServiceExt;

use super::*;
use crate::proxy::bounce::BounceToken;
use crate::proxy::client::Trust;
use crate::proxy::database::Database;
use crate::proxy::group_commit::{Recorder, answer_with};
use crate::proxy::hit::{Answer, Hit};
use crate::proxy::keys::Keys;
use crate::proxy::links::Links;
use crate::proxy::metrics::Metrics;
use crate::proxy::pages::PageStore;
use crate::proxy::pools::Pools;
use crate::proxy::providers::Providers;
use crate::tracking::token::{Keyring, Purpose, Token};

pub const SHOP: &str = "https://shop.example/offer";

fn keyring() -> Keyring {
    Keyring::new(vec![(1, [1; 32])]).unwrap()
}

pub fn token(purpose: Purpose) -> String {
    let link = (purpose == Purpose::Click).then_some(3);
    keyring().sign(
        purpose,
        &Token {
            record: 1,
            activity: 2,
            link,
        },
    )
}

/// The application with keys and hits that are answered with `answer`, but no database behind everything else.
/// The second result is what has been recorded once the application is dropped.
pub fn app_answering(answer: Answer) -> (Router, JoinHandle<Vec<Hit>>) {
    app_taking_bounces(answer, None)
}

pub fn app_taking_bounces(
    answer: Answer,
    bounce_token: Option<BounceToken>,
) -> (Router, JoinHandle<Vec<Hit>>) {
    let (recorder, queue) = Recorder::new(None);
    let recorded = tokio::spawn(answer_with(queue, move |_| answer.clone()));
    (app_with(recorder, Arc::default(), bounce_token), recorded)
}

/// The application for these providers.
pub fn app_of_providers(providers: Providers) -> Router {
    let (recorder, queue) = Recorder::new(None);
    tokio::spawn(answer_with(queue, |_| Answer::default()));
    app_for(recorder, Arc::default(), None, providers)
}

pub fn app_with(
    recorder: Recorder,
    links: Arc<Links>,
    bounce_token: Option<BounceToken>,
) -> Router {
    app_for(recorder, links, bounce_token, Providers::default())
}

fn app_for(
    recorder: Recorder,
    links: Arc<Links>,
    bounce_token: Option<BounceToken>,
    providers: Providers,
) -> Router {
    let database = Database::parse("host=/nonexistent user=nobody").unwrap();
    let pools = Arc::new(Pools::new(&database));
    let keys = Keys::new(Arc::clone(&pools));
    keys.set(keyring());
    app(Arc::new(State {
        keys: Arc::new(keys),
        links,
        recorder,
        pages: PageStore::new(Arc::clone(&pools)),
        pools,
        metrics: Arc::new(Metrics::default()),
        trust: Trust::default(),
        bounce_token,
        providers,
    }))
}

pub fn known(location: Option<&str>) -> Answer {
    Answer {
        known: true,
        location: location.map(str::to_owned),
    }
}

pub async fn send(app: &Router, method: &str, path: &str) -> Response {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(USER_AGENT, "Mozilla/5.0 (\u{e9}) x");
    deliver(app, request, Body::empty()).await
}

/// Sends a request, after the double has had its first chance to run.
pub async fn deliver(app: &Router, request: Builder, body: Body) -> Response {
    tokio::task::yield_now().await;
    app.clone()
        .oneshot(request.body(body).unwrap())
        .await
        .unwrap()
}

pub fn header(response: &Response, name: impl AsHeaderName) -> &str {
    response
        .headers()
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

pub async fn body(response: Response) -> Bytes {
    to_bytes(response.into_body(), usize::MAX).await.unwrap()
}

#[tokio::test]
async fn bad_tokens_get_an_empty_404_and_are_not_recorded() {
    let (app, recorded) = app_answering(known(Some(SHOP)));
    let open = token(Purpose::Open);
    let clickless = keyring().sign(
        Purpose::Click,
        &Token {
            record: 1,
            activity: 2,
            link: None,
        },
    );
    let paths = [
        "/".to_owned(),
        "/c/".to_owned(),
        "/c/x".to_owned(),
        "/c/%00".to_owned(),
        "/c/%ff%fe".to_owned(),
        "/o/../../etc/passwd".to_owned(),
        format!("/c/{open}"),
        format!("/o/{open}A"),
        format!("/c/{clickless}"),
        format!("/o/{}", "A".repeat(4000)),
    ];
    for path in paths {
        for method in ["GET", "HEAD"] {
            let response = send(&app, method, &path).await;
            assert_eq!(response.status(), StatusCode::NOT_FOUND, "{method} {path}");
            assert!(body(response).await.is_empty(), "{method} {path}");
        }
    }
    let response = send(&app, "POST", &format!("/u/{open}")).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    drop(app);
    assert!(recorded.await.unwrap().is_empty());
}

/// A small generator of pseudo-random numbers (xorshift64), the same for every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides as u64) as usize
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.roll(of.len())]
    }
}

#[tokio::test]
async fn no_request_chooses_where_it_is_redirected_to() {
    const EVIL: [&str; 10] = [
        "https://evil.example",
        "//evil.example",
        "%2f%2fevil.example",
        "https:%2f%2fevil.example/%0d%0aLocation:%20https://evil.example",
        "javascript:alert(1)",
        "url=https://evil.example",
        "redirect=//evil.example&to=https://evil.example&u=evil.example",
        "@evil.example",
        "..%2f..%2fevil.example",
        "evil.example",
    ];
    const ALPHABET: &[u8] = b"ABCxyz019-_=.%~";
    let (app, _recorded) = app_answering(known(Some(SHOP)));
    let tokens = [Purpose::Click, Purpose::Open, Purpose::Unsubscribe].map(token);
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut redirects = 0;
    for _ in 0..20_000 {
        let mut token = tokens[dice.roll(3)].clone().into_bytes();
        for _ in 0..dice.roll(3) {
            let at = dice.roll(token.len());
            match dice.roll(3) {
                0 => token[at] = ALPHABET[dice.roll(ALPHABET.len())],
                1 => token.insert(at, ALPHABET[dice.roll(ALPHABET.len())]),
                _ => drop(token.remove(at)),
            }
        }
        let token = String::from_utf8(token).unwrap();
        let route = dice.pick(&["/c/", "/o/", "/c//", "/c/./", "/"]);
        let path = match dice.roll(4) {
            0 => format!("{route}{token}"),
            1 => format!("{route}{token}?{}", dice.pick(&EVIL)),
            2 => format!("{route}{token}/{}", dice.pick(&EVIL)),
            _ => format!("{route}{}{token}", dice.pick(&EVIL)),
        };
        let request = Request::builder()
            .method(dice.pick(&["GET", "HEAD"]))
            .uri(&path)
            .header("host", dice.pick(&EVIL))
            .header("x-forwarded-host", dice.pick(&EVIL))
            .header("referer", dice.pick(&EVIL))
            .header("x-original-url", dice.pick(&EVIL));
        let Ok(request) = request.body(Body::empty()) else {
            // No such path can be in a request.
            continue;
        };
        let response = app.clone().oneshot(request).await.unwrap();
        let location = header(&response, LOCATION).to_owned();
        match response.status() {
            StatusCode::FOUND => {
                redirects += 1;
                assert_eq!(location, SHOP, "{path}");
            }
            status => {
                assert_eq!(location, "", "{path}");
                assert!(
                    matches!(status.as_u16(), 200 | 404 | 503),
                    "{status} {path}"
                );
            }
        }
    }
    assert!(redirects > 100);
}

#[tokio::test]
async fn other_methods_are_refused_with_the_allowed_ones() {
    let (app, recorded) = app_answering(known(None));
    for (path, allowed) in [
        ("/c/x", "GET,HEAD"),
        ("/o/x", "GET,HEAD"),
        ("/healthz", "GET,HEAD"),
    ] {
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PURGE"] {
            let response = send(&app, method, path).await;
            assert_eq!(
                response.status(),
                StatusCode::METHOD_NOT_ALLOWED,
                "{method} {path}"
            );
            assert_eq!(header(&response, ALLOW), allowed);
        }
    }
    assert_eq!(
        header(&send(&app, "PUT", "/u/x").await, ALLOW),
        "GET,HEAD,POST"
    );
    drop(app);
    assert!(recorded.await.unwrap().is_empty());
}

#[tokio::test]
async fn without_a_database_readers_are_asked_to_return() {
    let (app, _recorded) = app_answering(known(None));
    let unsubscribe = format!("/u/{}", token(Purpose::Unsubscribe));
    for (method, path) in [
        ("GET", unsubscribe.as_str()),
        ("POST", unsubscribe.as_str()),
        ("GET", "/readyz"),
    ] {
        let response = send(&app, method, path).await;
        assert_eq!(
            response.status(),
            StatusCode::SERVICE_UNAVAILABLE,
            "{method} {path}"
        );
        assert_eq!(header(&response, RETRY_AFTER), "10");
        let page = String::from_utf8(body(response).await.to_vec()).unwrap();
        assert_eq!(
            page.contains("<h1>Not available at the moment</h1>"),
            path.starts_with("/u/"),
            "{method} {path}"
        );
    }
    assert_eq!(send(&app, "GET", "/healthz").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn requests_are_counted_without_their_tokens() {
    let (app, _recorded) = app_answering(known(Some(SHOP)));
    let token = token(Purpose::Click);
    send(&app, "GET", &format!("/c/{token}")).await;
    send(&app, "GET", "/nowhere").await;
    let text = String::from_utf8(body(send(&app, "GET", "/metrics").await).await.to_vec()).unwrap();
    assert!(
        text.contains("requests_total{route=\"click\",status=\"302\"} 1"),
        "{text}"
    );
    assert!(
        text.contains("requests_total{route=\"other\",status=\"404\"} 1"),
        "{text}"
    );
    assert!(!text.contains(&token));
}
