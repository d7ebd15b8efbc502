//! Takes in the body of a request, within limits of size and time.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;

use super::refusal::Refusal;

/// For the whole body to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// What the body is, by the header of the request; empty where that does not say.
pub fn content_type(headers: &HeaderMap) -> &str {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

/// The whole body, if it has no more than `limit` bytes.
pub async fn read(body: Body, limit: usize) -> Result<Vec<u8>, Refusal> {
    tokio::time::timeout(BODY_TIMEOUT, read_all(body, limit))
        .await
        .unwrap_or(Err(Refusal::BodyTooSlow))
}

/// Frame by frame, to tell a body that is too large from one that is broken.
async fn read_all(mut body: Body, limit: usize) -> Result<Vec<u8>, Refusal> {
    // What is announced as too large need not be sent.
    if body.size_hint().lower() > limit as u64 {
        return Err(Refusal::BodyTooLarge);
    }
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let frame = frame.map_err(|_| Refusal::BodyBroken)?;
        let data = frame.data_ref().map_or(&[][..], |data| data);
        if bytes.len() + data.len() > limit {
            return Err(Refusal::BodyTooLarge);
        }
        bytes.extend_from_slice(data);
    }
    Ok(bytes)
}
