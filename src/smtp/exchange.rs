//! Commands and replies, each within its time.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::time::timeout;

use super::dialogue::Dialogue;
use super::error::SendError;
use super::reply::Reply;

/// Says a line outside of a mail, and wants it accepted.
pub(super) async fn ask(
    dialogue: &mut Dialogue,
    name: &str,
    line: &str,
    limit: Duration,
) -> Result<Reply, SendError> {
    write(dialogue, name, &format!("{line}\r\n"), limit).await?;
    let reply = read(dialogue, name, limit).await?;
    match reply.is_success() {
        true => Ok(reply),
        false => Err(SendError::replied(name, &reply).before_any_mail()),
    }
}

pub(super) async fn write(
    dialogue: &mut Dialogue,
    name: &str,
    text: &str,
    limit: Duration,
) -> Result<(), SendError> {
    within(limit, name, dialogue.write(text.as_bytes(), &mut false)).await
}

pub(super) async fn read(
    dialogue: &mut Dialogue,
    name: &str,
    limit: Duration,
) -> Result<Reply, SendError> {
    within(limit, name, dialogue.read_reply()).await
}

/// Runs one step of the dialogue within its time.
pub(super) async fn within<T>(
    limit: Duration,
    name: &str,
    work: impl Future<Output = io::Result<T>>,
) -> Result<T, SendError> {
    match timeout(limit, work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(SendError::connection(format!("{name}: {error}"))),
        Err(_) => Err(SendError::connection(format!(
            "{name}: no reply within {} s",
            limit.as_secs_f32()
        ))),
    }
}
