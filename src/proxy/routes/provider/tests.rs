use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::{ALLOW, AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};
use tempfile::NamedTempFile;

use super::*;
use crate::proxy::providers::{ProviderFiles, Providers};
use crate::proxy::routes::tests::{app_of_providers, body, deliver, header};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const OWN: &str = "0f6d2b1e-1c3a-4c55-9d59-2b8c5a8f3f10.17";

fn file(text: &str) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    std::fs::write(&file, text).unwrap();
    file
}

fn app() -> Router {
    let secret = file(TOKEN);
    let path = Some(secret.path().to_owned());
    let files = ProviderFiles {
        mailgun_key: path.clone(),
        brevo_credential: path,
        ..ProviderFiles::default()
    };
    app_of_providers(Providers::load(&files).unwrap())
}

async fn send(app: &Router, method: &str, path: &str, authorization: &str, json: &str) -> Response {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(AUTHORIZATION, authorization);
    deliver(app, request, Body::from(json.to_owned())).await
}

async fn brevo(app: &Router, json: &str) -> Response {
    send(
        app,
        "POST",
        "/bounce/brevo",
        &format!("Bearer {TOKEN}"),
        json,
    )
    .await
}

#[tokio::test]
async fn only_those_who_are_configured_have_a_route() {
    let app = app();
    for path in [
        "/bounce/ses",
        "/bounce/sendgrid",
        "/bounce/postmark",
        "/bounce/",
        "/bounce",
        "/bounce/brevo/x",
    ] {
        let response = send(&app, "POST", path, &format!("Bearer {TOKEN}"), "{}").await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
    }
    for path in ["/bounce/mailgun", "/bounce/brevo"] {
        let response = send(&app, "GET", path, "", "").await;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(header(&response, ALLOW), "POST");
    }
}

#[tokio::test]
async fn who_does_not_say_the_token_is_not_read() {
    let app = app();
    for authorization in ["", "Bearer x", &format!("Basic {TOKEN}")] {
        let long = "x".repeat(BODY_LIMIT + 1);
        let response = send(&app, "POST", "/bounce/brevo", authorization, &long).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(
            header(&response, WWW_AUTHENTICATE),
            "Bearer realm=\"bounces\""
        );
    }
}

#[tokio::test]
async fn what_nobody_signed_is_forbidden_and_what_is_broken_is_not_asked_for_again() {
    let app = app();
    for (json, status) in [
        ("{}", StatusCode::FORBIDDEN),
        (
            r#"{"signature": {"timestamp": "1", "token": "t", "signature": "00"}, "event-data": {}}"#,
            StatusCode::FORBIDDEN,
        ),
        ("{", StatusCode::NOT_ACCEPTABLE),
    ] {
        let response = send(&app, "POST", "/bounce/mailgun", "", json).await;
        assert_eq!(response.status(), status, "{json}");
        assert!(body(response).await.is_empty());
    }
}

#[tokio::test]
async fn events_are_counted_and_what_is_not_ours_needs_no_database() {
    let app = app();
    for (json, expected) in [
        ("[]", "{\"events\":0,\"recorded\":0}\n"),
        (
            r#"[{"event": "opened"}, {"event": "spam", "message-id": "<x@y>"}, 7]"#,
            "{\"events\":3,\"recorded\":0}\n",
        ),
    ] {
        let response = brevo(&app, json).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(body(response).await, expected);
    }
    let metrics = body(send(&app, "GET", "/metrics", "", "").await).await;
    let metrics = String::from_utf8(metrics.to_vec()).unwrap();
    for line in [
        "marketing_tracking_provider_events_total{provider=\"brevo\",result=\"foreign\"} 1",
        "marketing_tracking_provider_events_total{provider=\"brevo\",result=\"ignored\"} 2",
        "marketing_tracking_requests_total{route=\"bounce_brevo\",status=\"200\"} 2",
    ] {
        assert!(metrics.lines().any(|written| written == line), "{metrics}");
    }
}

#[tokio::test]
async fn hostile_bodies_are_refused() {
    let app = app();
    for (json, status) in [
        (String::new(), StatusCode::BAD_REQUEST),
        ("[".repeat(500_000), StatusCode::BAD_REQUEST),
        (
            format!("[{}{{}}]", "{},".repeat(100_000)),
            StatusCode::PAYLOAD_TOO_LARGE,
        ),
        ("x".repeat(BODY_LIMIT + 1), StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        assert_eq!(brevo(&app, &json).await.status(), status);
    }
}

#[tokio::test]
async fn without_a_database_the_provider_is_asked_to_try_again() {
    let json = format!(r#"{{"event": "spam", "message-id": "<{OWN}@shop.example>"}}"#);
    let response = brevo(&app(), &json).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(header(&response, RETRY_AFTER), "10");
}

#[tokio::test]
async fn so_many_at_once_and_no_more() {
    let providers = Providers::default();
    let places: Vec<_> = std::iter::from_fn(|| providers.begin())
        .take(1000)
        .collect();
    assert_eq!(places.len(), 64);
    drop(places);
    assert!(providers.begin().is_some());
}
