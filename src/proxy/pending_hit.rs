//! A hit between its request and its answer.

use tokio::sync::oneshot;

use super::hit::{Answer, Hit};

/// A hit, and where its request waits for the answer.
pub struct PendingHit {
    pub hit: Hit,
    /// Whether the answer is known without the database, so that the hit need only be kept.
    pub answerable: bool,
    pub(super) answer: oneshot::Sender<Answer>,
}

impl PendingHit {
    /// Answers the request; nobody listens when the reader has gone.
    pub fn answer(self, answer: Answer) {
        let _ = self.answer.send(answer);
    }
}
