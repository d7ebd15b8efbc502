use axum::Router;
use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::{ALLOW, AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};

use super::*;
use crate::proxy::bounce::BounceToken;
use crate::proxy::hit::Answer;
use crate::proxy::routes::tests::{app_taking_bounces, body, deliver, header};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn app() -> Router {
    app_taking_bounces(Answer::default(), BounceToken::parse(TOKEN)).0
}

async fn send(app: &Router, method: &str, authorization: &str, mail: Vec<u8>) -> Response {
    let request = Request::builder()
        .method(method)
        .uri(PATH)
        .header(AUTHORIZATION, authorization);
    deliver(app, request, Body::from(mail)).await
}

#[tokio::test]
async fn without_a_configured_token_there_is_no_route() {
    let app = app_taking_bounces(Answer::default(), None).0;
    for method in ["POST", "GET"] {
        let response = send(&app, method, "Bearer x", b"mail".to_vec()).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn without_the_token_nothing_is_read() {
    let app = app();
    for authorization in ["", "Bearer 0123456789abcdef0123456789abcdeX"] {
        let response = send(&app, "POST", authorization, vec![b'x'; MAIL_LIMIT + 1]).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(
            header(&response, WWW_AUTHENTICATE),
            "Bearer realm=\"bounces\""
        );
        assert!(body(response).await.is_empty());
    }
}

#[tokio::test]
async fn mails_have_a_size_and_are_posted() {
    let app = app();
    let authorization = format!("Bearer {TOKEN}");
    for (method, size, status) in [
        ("POST", 0, StatusCode::BAD_REQUEST),
        ("POST", MAIL_LIMIT + 1, StatusCode::PAYLOAD_TOO_LARGE),
        ("GET", 4, StatusCode::METHOD_NOT_ALLOWED),
        ("PUT", 4, StatusCode::METHOD_NOT_ALLOWED),
    ] {
        let response = send(&app, method, &authorization, vec![b'x'; size]).await;
        assert_eq!(response.status(), status, "{method} {size}");
        if status == StatusCode::METHOD_NOT_ALLOWED {
            assert_eq!(header(&response, ALLOW), "POST");
        }
    }
}

#[tokio::test]
async fn without_a_database_the_mail_server_is_asked_to_try_again() {
    let authorization = format!("Bearer {TOKEN}");
    let response = send(&app(), "POST", &authorization, vec![b'x'; MAIL_LIMIT]).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(header(&response, RETRY_AFTER), "10");
}

#[tokio::test]
async fn the_answer_says_in_a_line_what_it_was() {
    let bounce = Bounce {
        kind: "hard".to_owned(),
        status: Some("5.1.1".to_owned()),
        message: None,
    };
    let response = taken(&bounce);
    assert_eq!(header(&response, CONTENT_TYPE), "application/json");
    assert_eq!(
        body(response).await,
        "{\"kind\":\"hard\",\"message\":null,\"status\":\"5.1.1\"}\n"
    );
}
