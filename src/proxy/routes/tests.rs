use std::pin::Pin;

use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::http::header::{ACCEPT_LANGUAGE, ALLOW, CONTENT_LENGTH, RETRY_AFTER};
use tokio::task::JoinHandle;
use tower::ServiceExt;

use super::*;
use crate::proxy::bounce::BounceToken;
use crate::proxy::client::{Peer, Trust};
use crate::proxy::control::Control;
use crate::proxy::database::Database;
use crate::proxy::hit::Answer;
use crate::proxy::keys::Keys;
use crate::proxy::links::Links;
use crate::proxy::metrics::Metrics;
use crate::proxy::pages::PageStore;
use crate::proxy::recorder::{Recorder, answer_with};
use crate::tracking::token::{Keyring, Token};

const SHOP: &str = "https://shop.example/offer";

fn keyring() -> Keyring {
    Keyring::new(vec![(1, [1; 32])]).unwrap()
}

fn token(purpose: Purpose) -> String {
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
fn app_answering(answer: Answer) -> (Router, JoinHandle<Vec<Hit>>) {
    app_taking_bounces(answer, None)
}

pub(super) fn app_taking_bounces(
    answer: Answer,
    bounce_token: Option<BounceToken>,
) -> (Router, JoinHandle<Vec<Hit>>) {
    let database = Database::parse("host=/nonexistent user=nobody").unwrap();
    let control = Arc::new(Control::new(&database));
    let keys = Keys::new(Arc::clone(&control));
    keys.set(keyring());
    let (recorder, queue) = Recorder::new(None);
    let recorded = tokio::spawn(answer_with(queue, move |_| answer.clone()));
    let state = State {
        keys: Arc::new(keys),
        links: Links::default(),
        recorder,
        pages: PageStore::new(Arc::clone(&control)),
        control,
        metrics: Arc::new(Metrics::default()),
        trust: Trust::default(),
        bounce_token,
    };
    (app(Arc::new(state)), recorded)
}

fn known(location: Option<&str>) -> Answer {
    Answer {
        known: true,
        location: location.map(str::to_owned),
    }
}

/// Sends one request, after the double has had its first chance to run.
async fn send(app: &Router, method: &str, path: &str) -> Response {
    tokio::task::yield_now().await;
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(USER_AGENT, "Mozilla/5.0 (\u{e9}) x");
    app.clone()
        .oneshot(request.body(Body::empty()).unwrap())
        .await
        .unwrap()
}

pub(super) fn header(response: &Response, name: impl axum::http::header::AsHeaderName) -> &str {
    response
        .headers()
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

pub(super) async fn body(response: Response) -> Bytes {
    to_bytes(response.into_body(), usize::MAX).await.unwrap()
}

#[tokio::test]
async fn a_click_is_recorded_and_redirected() {
    let (app, recorded) = app_answering(known(Some(SHOP)));
    let token = token(Purpose::Click);
    let response = send(&app, "GET", &format!("/c/{token}?to=https://evil.example")).await;
    assert_eq!(response.status(), StatusCode::FOUND);
    assert_eq!(header(&response, LOCATION), SHOP);
    assert_eq!(header(&response, CACHE_CONTROL), "no-store");
    assert_eq!(header(&response, REFERRER_POLICY), "no-referrer");
    assert_eq!(header(&response, "x-robots-tag"), "noindex");
    drop(app);
    let hits = recorded.await.unwrap();
    assert_eq!(hits.len(), 1);
    assert_eq!(
        (hits[0].kind, hits[0].token.as_str()),
        (HitKind::Click, token.as_str())
    );
    assert_eq!(hits[0].user_agent.as_deref(), Some("Mozilla/5.0 (??) x"));
    assert_eq!(hits[0].id.get_version_num(), 7);
}

#[tokio::test]
async fn a_request_has_an_id_and_its_hit_the_address_of_the_reader() {
    let (app, recorded) = app_answering(known(None));
    let request = Request::builder()
        .uri(format!("/o/{}", token(Purpose::Open)))
        .header(REQUEST_ID, "from-nginx-1")
        .header("x-forwarded-for", "198.51.100.7")
        .extension(Peer::Unix);
    let request = request.body(Body::empty()).unwrap();
    tokio::task::yield_now().await;
    let response = app.clone().oneshot(request).await.unwrap();
    assert_eq!(header(&response, REQUEST_ID), "from-nginx-1");
    let response = send(&app, "GET", "/nothing").await;
    assert_eq!(header(&response, REQUEST_ID).len(), 32);
    drop(app);
    let address = recorded.await.unwrap()[0].address;
    assert_eq!(address, Some("198.51.100.7".parse().unwrap()));
}

#[tokio::test]
async fn an_open_is_recorded_and_never_cached() {
    let (app, recorded) = app_answering(known(None));
    let response = send(&app, "GET", &format!("/o/{}", token(Purpose::Open))).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(header(&response, CONTENT_TYPE), "image/gif");
    assert_eq!(
        header(&response, CACHE_CONTROL),
        "no-store, no-cache, must-revalidate, private"
    );
    let image = body(response).await;
    assert_eq!(image.len(), 43);
    assert!(image.starts_with(b"GIF89a\x01\0\x01\0") && image.ends_with(b"\x3b"));
    drop(app);
    assert_eq!(recorded.await.unwrap()[0].kind, HitKind::Open);
}

#[tokio::test]
async fn a_prefetch_is_answered_and_recorded_as_such() {
    let (app, recorded) = app_answering(known(Some(SHOP)));
    let request = Request::builder()
        .uri(format!("/c/{}", token(Purpose::Click)))
        .header("sec-purpose", "prefetch;prerender");
    let request = request.body(Body::empty()).unwrap();
    tokio::task::yield_now().await;
    let response = app.clone().oneshot(request).await.unwrap();
    assert_eq!(header(&response, LOCATION), SHOP);
    drop(app);
    assert_eq!(recorded.await.unwrap()[0].method, HitMethod::Prefetch);
}

#[tokio::test]
async fn a_hit_of_who_does_not_want_to_be_tracked_says_nothing_of_them() {
    let (app, recorded) = app_answering(known(Some(SHOP)));
    let request = Request::builder()
        .uri(format!("/c/{}", token(Purpose::Click)))
        .header("sec-gpc", "1")
        .header(USER_AGENT, "Mozilla/5.0")
        .header("x-forwarded-for", "198.51.100.7")
        .extension(Peer::Unix);
    let request = request.body(Body::empty()).unwrap();
    tokio::task::yield_now().await;
    let response = app.clone().oneshot(request).await.unwrap();
    assert_eq!(header(&response, LOCATION), SHOP);
    drop(app);
    let hits = recorded.await.unwrap();
    assert_eq!((&hits[0].address, &hits[0].user_agent), (&None, &None));
}

#[tokio::test]
async fn head_of_the_image_has_its_headers_and_is_recorded_as_such() {
    let (app, recorded) = app_answering(known(None));
    let response = send(&app, "HEAD", &format!("/o/{}", token(Purpose::Open))).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(header(&response, CONTENT_LENGTH), "43");
    assert!(body(response).await.is_empty());
    drop(app);
    assert_eq!(recorded.await.unwrap()[0].method, HitMethod::Head);
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
        format!("/o/{open}/"),
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

#[tokio::test]
async fn what_the_database_does_not_know_looks_like_a_bad_token() {
    let (app, _recorded) = app_answering(Answer::default());
    let response = send(&app, "GET", &format!("/c/{}", token(Purpose::Click))).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert!(body(response).await.is_empty());
}

#[tokio::test]
async fn get_and_head_of_an_image_agree_when_the_database_does_not_know_it() {
    let (app, _recorded) = app_answering(Answer::default());
    let path = format!("/o/{}", token(Purpose::Open));
    for method in ["GET", "HEAD"] {
        let response = send(&app, method, &path).await;
        assert_eq!(response.status(), StatusCode::OK, "{method}");
        assert_eq!(header(&response, CONTENT_LENGTH), "43", "{method}");
    }
}

#[tokio::test]
async fn a_person_with_a_bad_link_reads_why_in_their_language() {
    let (app, _recorded) = app_answering(known(None));
    let open = token(Purpose::Open);
    let mut pages = Vec::new();
    for path in ["/u/x".to_owned(), format!("/u/{open}")] {
        for method in ["GET", "POST"] {
            let request = Request::builder()
                .method(method)
                .uri(&path)
                .header(ACCEPT_LANGUAGE, "de-CH;q=0.9, en");
            let response = app
                .clone()
                .oneshot(request.body(Body::empty()).unwrap())
                .await
                .unwrap();
            assert_eq!(response.status(), StatusCode::NOT_FOUND);
            assert_eq!(header(&response, CACHE_CONTROL), "no-store");
            assert!(header(&response, CONTENT_SECURITY_POLICY).starts_with("default-src 'none'"));
            pages.push(body(response).await);
        }
    }
    let page = String::from_utf8(pages[0].to_vec()).unwrap();
    assert!(page.contains("<h1>Dieser Link ist ungültig</h1>"), "{page}");
    assert!(pages.iter().all(|other| *other == pages[0]));
}

#[tokio::test]
async fn redirects_go_to_web_pages_only() {
    for location in [
        Some("javascript:alert(1)"),
        Some("//evil.example"),
        Some(""),
        None,
    ] {
        let (app, _recorded) = app_answering(known(location));
        let response = send(&app, "GET", &format!("/c/{}", token(Purpose::Click))).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{location:?}");
        assert_eq!(header(&response, LOCATION), "");
    }
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
async fn large_bodies_are_refused() {
    let (app, _recorded) = app_answering(known(None));
    let path = format!("/u/{}", token(Purpose::Unsubscribe));
    let request = Request::builder()
        .method("POST")
        .uri(path)
        .body(Body::from(vec![b'x'; BODY_LIMIT + 1]))
        .unwrap();
    let response = app.oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
}

/// A body whose sender hangs up in the middle.
struct Broken;

impl HttpBody for Broken {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
        std::task::Poll::Ready(Some(Err(std::io::ErrorKind::UnexpectedEof.into())))
    }
}

#[tokio::test]
async fn broken_bodies_are_not_called_large() {
    let (app, _recorded) = app_answering(known(None));
    let request = Request::builder()
        .method("POST")
        .uri(format!("/u/{}", token(Purpose::Unsubscribe)))
        .body(Body::new(Broken))
        .unwrap();
    let response = app.oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
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

fn answered(wish: Wish, location: Option<&str>) -> Response {
    let subscription = Subscription {
        language: Some("de".to_owned()),
        scenario: "welcome".to_owned(),
        has_party: true,
        unsubscribed: wish != Wish::Resubscribe,
        everything: false,
    };
    done(&Pages::default(), wish, &subscription, location)
}

#[tokio::test]
async fn one_click_gets_a_line_and_no_redirect() {
    let response = answered(Wish::OneClick, Some(SHOP));
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(header(&response, LOCATION), "");
    assert_eq!(header(&response, "set-cookie"), "");
    assert_eq!(body(response).await, "Sie sind abgemeldet\n".as_bytes());
}

#[tokio::test]
async fn a_reader_goes_on_to_the_chosen_page_or_gets_a_confirmation() {
    let wish = Wish::Unsubscribe { everything: false };
    let response = answered(wish, Some(SHOP));
    assert_eq!(
        (response.status(), header(&response, LOCATION)),
        (StatusCode::SEE_OTHER, SHOP)
    );
    for location in [None, Some("javascript:alert(1)")] {
        let response = answered(wish, location);
        assert_eq!(response.status(), StatusCode::OK);
        assert!(header(&response, CONTENT_SECURITY_POLICY).contains("default-src 'none'"));
        assert_eq!(header(&response, X_CONTENT_TYPE_OPTIONS), "nosniff");
        let page = String::from_utf8(body(response).await.to_vec()).unwrap();
        assert!(page.contains("<h1>Sie sind abgemeldet</h1>"));
    }
}

#[tokio::test]
async fn the_undo_stays_on_our_page() {
    let response = answered(Wish::Resubscribe, Some(SHOP));
    assert_eq!(response.status(), StatusCode::OK);
    let page = String::from_utf8(body(response).await.to_vec()).unwrap();
    assert!(page.contains("<h1>Sie sind wieder angemeldet</h1>"));
}

#[test]
fn user_agents_are_cut_and_harmless() {
    let mut headers = HeaderMap::new();
    assert_eq!(user_agent(&headers), None);
    headers.insert(
        USER_AGENT,
        HeaderValue::from_bytes(&[b'a', 0xff, b'\t', b'\'']).unwrap(),
    );
    assert_eq!(user_agent(&headers).as_deref(), Some("a??'"));
    headers.insert(
        USER_AGENT,
        HeaderValue::from_str(&"x".repeat(5000)).unwrap(),
    );
    assert_eq!(user_agent(&headers).unwrap().len(), USER_AGENT_LENGTH);
}
