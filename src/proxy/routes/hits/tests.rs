use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, LOCATION, USER_AGENT};

use super::*;
use crate::program::listener::Peer;
use crate::proxy::client::REQUEST_ID;
use crate::proxy::group_commit::{Recorder, answer_with};
use crate::proxy::hit::Answer;
use crate::proxy::links::Links;
use crate::proxy::routes::tests::{
    SHOP, app_answering, app_with, body, deliver, header, known, send, token,
};
use crate::proxy::spool::{Spool, SpoolSettings};

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
async fn a_click_counts_with_what_mail_programs_make_of_its_link() {
    let (app, recorded) = app_answering(known(Some(SHOP)));
    let token = token(Purpose::Click);
    let encoded: String = token.bytes().map(|byte| format!("%{byte:02X}")).collect();
    for path in [
        format!("/c/{token}%3E"),
        format!("/c/{token}/"),
        format!("/c/{token})."),
        format!("/c/{token}_"),
        format!("/c/{token}-"),
        format!("/c/_{token}__"),
        format!("/c/{encoded}"),
    ] {
        let response = send(&app, "GET", &path).await;
        assert_eq!(header(&response, LOCATION), SHOP, "{path}");
    }
    // What was not glued on but is part of it does not verify, nor does it elsewhere.
    for path in [
        format!("/c/{token}A"),
        format!("/c/_{token}A_"),
        format!("/o/{token}%3E"),
        format!("/o/{token}_"),
    ] {
        let response = send(&app, "GET", &path).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
    }
    drop(app);
    let hits = recorded.await.unwrap();
    assert!(hits.len() == 7 && hits.iter().all(|hit| hit.token == token));
}

#[tokio::test]
async fn a_request_has_an_id_and_its_hit_the_network_of_the_reader() {
    let (app, recorded) = app_answering(known(None));
    let request = Request::builder()
        .uri(format!("/o/{}", token(Purpose::Open)))
        .header(REQUEST_ID, "from-nginx-1")
        .header("x-forwarded-for", "198.51.100.7")
        .extension(Peer::Unix);
    let response = deliver(&app, request, Body::empty()).await;
    assert_eq!(header(&response, REQUEST_ID), "from-nginx-1");
    let response = send(&app, "GET", "/nothing").await;
    assert_eq!(header(&response, REQUEST_ID).len(), 32);
    drop(app);
    let address = recorded.await.unwrap()[0].address;
    assert_eq!(address, Some("198.51.100.0".parse().unwrap()));
    assert_eq!(
        network("2001:db8:a:b::7".parse().unwrap()),
        "2001:db8:a::".parse::<IpAddr>().unwrap()
    );
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
    let response = deliver(&app, request, Body::empty()).await;
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
    let response = deliver(&app, request, Body::empty()).await;
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

#[tokio::test]
async fn a_link_that_was_to_be_confirmed_works_when_the_database_goes_just_then() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, _writer) = Spool::open(&SpoolSettings {
        directory: directory.path().to_owned(),
        limit: 1 << 20,
    })
    .unwrap();
    let links = Arc::new(Links::default());
    links.remember((3, SHOP.to_owned(), SystemTime::now()));
    let (recorder, queue) = Recorder::new(Some(spool.clone()));
    let database = tokio::spawn(answer_with(queue, |_| panic!("the database goes")));
    let app = app_with(recorder, links, None);
    let response = send(&app, "GET", &format!("/c/{}", token(Purpose::Click))).await;
    assert_eq!(response.status(), StatusCode::FOUND);
    assert_eq!(header(&response, LOCATION), SHOP);
    assert!(database.await.is_err() && spool.bytes() > 0);
}

#[tokio::test]
async fn a_link_that_the_database_does_not_know_any_more_is_forgotten() {
    let links = Arc::new(Links::default());
    links.remember((3, SHOP.to_owned(), SystemTime::now()));
    let (recorder, queue) = Recorder::new(None);
    let _recorded = tokio::spawn(answer_with(queue, |_| known(None)));
    let app = app_with(recorder, Arc::clone(&links), None);
    let response = send(&app, "GET", &format!("/c/{}", token(Purpose::Click))).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert_eq!(links.get(3, true), None);
}
