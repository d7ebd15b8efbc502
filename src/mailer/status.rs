//! How a mailer is doing, for its database, its log and whoever asks over HTTP; and how it is woken and stopped.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::delivery::host::{Counts, State};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    pub state: State,
    /// What went wrong last.
    pub error: Option<String>,
    pub counts: Counts,
    pub is_connected: bool,
}

/// What the threads of a mailer share.
pub struct Shared {
    status: Mutex<Status>,
    is_stopping: AtomicBool,
    /// Ends a wait of the engine.
    pub wake: Notify,
}

impl Default for Shared {
    fn default() -> Self {
        Shared {
            status: Mutex::new(Status {
                state: State::Starting,
                error: None,
                counts: Counts::default(),
                is_connected: false,
            }),
            is_stopping: AtomicBool::new(false),
            wake: Notify::new(),
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn status(&self) -> Status {
        self.lock().clone()
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.lock());
    }

    pub(super) fn set_connected(&self, is_connected: bool) {
        self.lock().is_connected = is_connected;
    }

    /// Asks the engine to end.
    pub fn stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    pub fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }
}
