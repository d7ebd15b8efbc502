//! The queue of one server: mails that wait for a sender, and the slots of its senders. Whether a sender starts or ends is decided
//! under the lock of the queue, so that no mail waits without a sender.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::clock::Clock;
use super::job::ReadyMail;

/// A sender that gets no mail for so long ends, and closes its connection.
const IDLE: Duration = Duration::from_secs(10);

pub struct SendQueue {
    clock: Clock,
    state: Mutex<State>,
    arrived: Notify,
}

#[derive(Default)]
struct State {
    mails: VecDeque<ReadyMail>,
    senders: usize,
    /// Senders that wait for a mail.
    idle: usize,
    allowed: usize,
    /// When a sender last asked for a mail, or was started.
    served_at: Option<Instant>,
}

impl State {
    /// Senders that have a mail.
    fn busy(&self) -> usize {
        self.senders - self.idle
    }
}

impl SendQueue {
    pub(super) fn new(clock: Clock) -> Self {
        SendQueue {
            clock,
            state: Mutex::default(),
            arrived: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes mails in; gives slots for the senders to start for them beside those at work, `allowed` in all.
    pub(super) fn put(self: &Arc<Self>, mails: Vec<ReadyMail>, allowed: usize) -> Vec<WorkerSlot> {
        let arrived = mails.len();
        let mut state = self.state();
        state.mails.extend(mails);
        state.allowed = allowed;
        // A busy sender may hang for long, so each waiting mail needs one that is free.
        let wanted = (state.busy() + state.mails.len()).min(allowed);
        let started = wanted.saturating_sub(state.senders);
        state.senders += started;
        if started > 0 {
            state.served_at = Some(self.clock.now());
        }
        drop(state);
        for _ in 0..arrived {
            self.arrived.notify_one();
        }
        (0..started)
            .map(|_| WorkerSlot {
                queue: Arc::clone(self),
                taken: true,
            })
            .collect()
    }

    /// Lets so many senders go on; those that are too many end, the idle ones at once.
    pub(super) fn allow(&self, allowed: usize) {
        self.state().allowed = allowed;
        self.arrived.notify_waiters();
    }

    /// Takes all waiting mails back.
    pub(super) fn clear(&self) -> Vec<ReadyMail> {
        self.state().mails.drain(..).collect()
    }

    /// Takes back the mails whose lease has expired. Senders give such mails back too, but all of them may hang.
    pub(super) fn take_expired(&self) -> Vec<ReadyMail> {
        let mut state = self.state();
        let expired = |mail: &ReadyMail| !mail.job.has_lease();
        let count = state.mails.iter().take_while(|mail| expired(mail)).count();
        state.mails.drain(..count).collect()
    }

    /// Messages that wait for a sender.
    pub(super) fn waiting(&self) -> usize {
        self.state().mails.len()
    }

    /// Whether a mail waits here or is with a sender.
    pub(super) fn is_busy(&self) -> bool {
        let state = self.state();
        state.busy() > 0 || !state.mails.is_empty()
    }

    /// Senders that have a mail.
    pub(super) fn busy(&self) -> usize {
        self.state().busy()
    }

    /// Whether all senders that are allowed are busy, and none has asked for a mail for so long.
    pub(super) fn is_stuck(&self, patience: Duration) -> bool {
        let state = self.state();
        let now = self.clock.now();
        let served = state
            .served_at
            .is_none_or(|at| now.saturating_duration_since(at) < patience);
        !served && state.busy() > 0 && state.busy() >= state.allowed
    }
}

/// The place of one sender among those that are allowed; dropping it gives the place up.
pub(super) struct WorkerSlot {
    queue: Arc<SendQueue>,
    taken: bool,
}

impl WorkerSlot {
    /// The next mail; None: the sender is not needed any more, and no longer counted.
    pub(super) async fn next(&mut self) -> Option<ReadyMail> {
        let closing = tokio::time::sleep(IDLE);
        tokio::pin!(closing);
        let mut is_closing = false;
        loop {
            let arrived = self.queue.arrived.notified();
            tokio::pin!(arrived);
            // Before the look into the queue, so that what arrives after it wakes.
            arrived.as_mut().enable();
            {
                let mut state = self.queue.state();
                state.served_at = Some(self.queue.clock.now());
                let too_many = state.senders > state.allowed;
                let mail = match too_many {
                    true => None,
                    false => state.mails.pop_front(),
                };
                if mail.is_some() {
                    return mail;
                }
                if too_many || is_closing {
                    state.senders -= 1;
                    self.taken = false;
                    if !state.mails.is_empty() {
                        // The mail that this one was woken for.
                        self.queue.arrived.notify_one();
                    }
                    return None;
                }
                state.idle += 1;
            }
            tokio::select! {
                () = arrived => {}
                () = &mut closing => is_closing = true,
            }
            self.queue.state().idle -= 1;
        }
    }
}

impl Drop for WorkerSlot {
    fn drop(&mut self) {
        if self.taken {
            self.queue.state().senders -= 1;
        }
    }
}
