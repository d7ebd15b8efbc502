//! The process of a mailer as the engine of delivery sees it.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::confirmation::BOUND;
use super::session::Session;
use super::status::Shared;
use crate::delivery::host::{Counts, Host, State};

/// Nobody wakes a mailer when a mail is due, so it looks this often.
const POLL: Duration = Duration::from_secs(1);

pub(super) struct Process {
    session: Rc<RefCell<Session>>,
    shared: Arc<Shared>,
}

impl Process {
    pub(super) fn new(session: &Rc<RefCell<Session>>) -> Self {
        Process {
            session: Rc::clone(session),
            shared: Arc::clone(&session.borrow().shared),
        }
    }
}

impl Host for Process {
    fn is_stopping(&self) -> bool {
        self.shared.is_stopping()
    }

    fn wait(&mut self, patience: Duration) {
        if self.is_stopping() {
            return;
        }
        let session = self.session.borrow();
        // What is claimed and may wait for long is asked about in between.
        let longest = match session.in_hand.is_empty() {
            true => POLL,
            false => BOUND / 2,
        };
        let woken = self.shared.wake.notified();
        // The connection moves meanwhile.
        let _ = session
            .runtime
            .block_on(async { timeout(patience.min(longest), woken).await });
    }

    fn sleep(&mut self, pause: Duration) {
        if !self.is_stopping() {
            let session = self.session.borrow();
            session.runtime.block_on(async { sleep(pause).await });
        }
    }

    fn show_state(&mut self, state: State) {
        self.shared.update(|status| status.state = state);
    }

    fn show_error(&mut self, error: &str) {
        self.shared
            .update(|status| status.error = Some(error.to_owned()));
    }

    fn clear_error(&mut self) {
        self.shared.update(|status| status.error = None);
    }

    fn count(&mut self, counts: Counts) {
        self.shared.update(|status| {
            status.counts.sent += counts.sent;
            status.counts.failed += counts.failed;
            status.counts.retried += counts.retried;
        });
    }

    fn log(&mut self, message: &str) {
        info!("{message}");
    }

    fn warn(&mut self, message: &str) {
        warn!("{message}");
    }
}
