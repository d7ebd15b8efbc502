use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::header::{
    ACCEPT_LANGUAGE, CONTENT_SECURITY_POLICY, LOCATION, X_CONTENT_TYPE_OPTIONS,
};

use super::*;
use crate::proxy::routes::tests::{SHOP, app_answering, body, deliver, header, known, token};

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
            let response = deliver(&app, request, Body::empty()).await;
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
async fn large_bodies_are_refused() {
    let (app, _recorded) = app_answering(known(None));
    let path = format!("/u/{}", token(Purpose::Unsubscribe));
    let request = Request::builder().method("POST").uri(path);
    let large = Body::from(vec![b'x'; BODY_LIMIT + 1]);
    let response = deliver(&app, request, large).await;
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
}

/// A body whose sender hangs up in the middle.
struct Broken;

impl HttpBody for Broken {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
        Poll::Ready(Some(Err(std::io::ErrorKind::UnexpectedEof.into())))
    }
}

#[tokio::test]
async fn broken_bodies_are_not_called_large() {
    let (app, _recorded) = app_answering(known(None));
    let request = Request::builder()
        .method("POST")
        .uri(format!("/u/{}", token(Purpose::Unsubscribe)));
    let response = deliver(&app, request, Body::new(Broken)).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
}

fn answered(request: form::Request, location: Option<&str>) -> Response {
    let subscription = Subscription {
        language: Some("de".to_owned()),
        scenario: "welcome".to_owned(),
        is_titled: true,
        sender: None,
        has_party: true,
        unsubscribed: request != form::Request::Resubscribe,
        everything: false,
        choices: Vec::new(),
    };
    done(&Pages::default(), request, &subscription, "T", location)
}

#[tokio::test]
async fn one_click_gets_a_line_and_no_redirect() {
    let response = answered(form::Request::OneClick, Some(SHOP));
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(header(&response, LOCATION), "");
    assert_eq!(header(&response, "set-cookie"), "");
    assert_eq!(body(response).await, "Sie sind abgemeldet\n".as_bytes());
}

#[tokio::test]
async fn a_reader_goes_on_to_the_chosen_page_or_gets_a_confirmation() {
    let request = form::Request::Unsubscribe { everything: false };
    let response = answered(request, Some(SHOP));
    assert_eq!(
        (response.status(), header(&response, LOCATION)),
        (StatusCode::SEE_OTHER, SHOP)
    );
    for location in [None, Some("javascript:alert(1)")] {
        let response = answered(request, location);
        assert_eq!(response.status(), StatusCode::OK);
        assert!(header(&response, CONTENT_SECURITY_POLICY).contains("default-src 'none'"));
        assert_eq!(header(&response, X_CONTENT_TYPE_OPTIONS), "nosniff");
        let page = String::from_utf8(body(response).await.to_vec()).unwrap();
        assert!(page.contains("<h1>Sie sind abgemeldet</h1>"));
    }
}

#[tokio::test]
async fn the_undo_stays_on_our_page() {
    let response = answered(form::Request::Resubscribe, Some(SHOP));
    assert_eq!(response.status(), StatusCode::OK);
    let page = String::from_utf8(body(response).await.to_vec()).unwrap();
    assert!(page.contains("<h1>Sie sind wieder angemeldet</h1>"));
}
