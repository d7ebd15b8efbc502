//! The process of a mailer as the engine of delivery sees it: it waits on its latch, shows how it does in the registry, and its
//! threads stay away from PostgreSQL.

use std::sync::Arc;
use std::time::Duration;

use pgrx::prelude::*;
use tokio::runtime::{Handle, Runtime};

use super::{bgworker, registry};
use crate::delivery::host::{Counts, Host, State};
use crate::delivery::job::WakeUp;
use crate::delivery::pool::THREADS;

pub(super) struct Process;

impl Host for Process {
    fn is_stopping(&self) -> bool {
        bgworker::is_stopping()
    }

    fn wait(&mut self, patience: Duration) {
        bgworker::wait(patience);
    }

    fn sleep(&mut self, pause: Duration) {
        bgworker::sleep(pause);
    }

    fn show_state(&mut self, state: State) {
        registry::update(|slot| slot.state = state);
    }

    fn show_error(&mut self, error: &str) {
        registry::note_error(error);
    }

    fn clear_error(&mut self) {
        registry::clear_error();
    }

    fn count(&mut self, counts: Counts) {
        registry::update(|slot| {
            slot.sent += counts.sent;
            slot.failed += counts.failed;
            slot.retried += counts.retried;
        });
    }

    fn log(&mut self, message: &str) {
        log!("marketing_automation mailer: {message}");
    }

    fn warn(&mut self, message: &str) {
        warning!("marketing_automation mailer: {message}");
    }
}

/// The threads that messages are prepared and sent on.
pub(super) struct Threads {
    pub(super) handle: Handle,
    /// None only while it is dropped.
    runtime: Option<Runtime>,
}

impl Drop for Threads {
    fn drop(&mut self) {
        // A plain drop waits for whatever runs, such as a name server that does not answer.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Starts the threads, with all signals blocked: PostgreSQL's handlers belong to the main thread.
pub(super) fn start_threads() -> std::io::Result<Threads> {
    // SAFETY: blocks all signals while the threads are made, which inherit the mask, and restores it.
    let runtime = unsafe {
        let mut all = std::mem::zeroed();
        let mut before = std::mem::zeroed();
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            // For name resolution.
            .max_blocking_threads(4)
            .thread_name("ma-sender")
            .enable_all()
            .build();
        libc::pthread_sigmask(libc::SIG_SETMASK, &before, std::ptr::null_mut());
        runtime?
    };
    Ok(Threads {
        handle: runtime.handle().clone(),
        runtime: Some(runtime),
    })
}

/// SIGUSR1 to this process: other threads block it, so PostgreSQL's handler runs on the main thread and sets its latch.
pub(super) fn wake_main_thread() -> WakeUp {
    // SAFETY: plain system calls.
    Arc::new(|| unsafe {
        libc::kill(libc::getpid(), libc::SIGUSR1);
    })
}
