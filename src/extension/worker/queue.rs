//! Where rendered mails wait for a courier, and how many couriers there are. Who is hired and who goes home is decided
//! under the lock of the queue, so no mail is left without a courier.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::job::Parcel;

/// A connection that nobody needs is closed after this time.
const IDLE: Duration = Duration::from_secs(10);

#[derive(Default)]
pub(super) struct Desk {
    books: Mutex<Books>,
    arrived: Notify,
}

#[derive(Default)]
struct Books {
    parcels: VecDeque<Parcel>,
    couriers: usize,
    /// Couriers that wait for a mail.
    idle: usize,
    allowed: usize,
    /// When a courier last came for a mail, or was hired.
    served_at: Option<Instant>,
}

impl Books {
    /// Couriers that have a mail.
    fn busy(&self) -> usize {
        self.couriers - self.idle
    }
}

impl Desk {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes mails in; gives seats for the couriers that are needed for them beside those at work, `allowed` in all.
    pub(super) fn put(self: &Arc<Self>, parcels: Vec<Parcel>, allowed: usize) -> Vec<Seat> {
        let arrived = parcels.len();
        let mut books = self.books();
        books.parcels.extend(parcels);
        books.allowed = allowed;
        // A busy courier may hang for long, so each mail that waits wants one who is free.
        let wanted = (books.busy() + books.parcels.len()).min(allowed);
        let hired = wanted.saturating_sub(books.couriers);
        books.couriers += hired;
        if hired > 0 {
            books.served_at = Some(Instant::now());
        }
        drop(books);
        for _ in 0..arrived {
            self.arrived.notify_one();
        }
        (0..hired)
            .map(|_| Seat {
                desk: Arc::clone(self),
                taken: true,
            })
            .collect()
    }

    /// Takes all waiting mails back.
    pub(super) fn clear(&self) -> Vec<Parcel> {
        self.books().parcels.drain(..).collect()
    }

    /// Takes back the mails that have waited for too long, as couriers do when they come to them: all may hang.
    pub(super) fn take_stale(&self) -> Vec<Parcel> {
        let mut books = self.books();
        let stale = |parcel: &Parcel| !parcel.mail.job.is_fresh();
        let count = books
            .parcels
            .iter()
            .take_while(|parcel| stale(parcel))
            .count();
        books.parcels.drain(..count).collect()
    }

    /// Whether a mail waits here or is with a courier.
    pub(super) fn is_busy(&self) -> bool {
        let books = self.books();
        books.busy() > 0 || !books.parcels.is_empty()
    }

    /// Couriers that have a mail.
    pub(super) fn busy(&self) -> usize {
        self.books().busy()
    }

    /// Whether there may be no more couriers, and none has come back for so long.
    pub(super) fn is_stuck(&self, patience: Duration) -> bool {
        let books = self.books();
        let served = books.served_at.is_none_or(|at| at.elapsed() < patience);
        !served && books.busy() > 0 && books.busy() >= books.allowed
    }
}

/// One courier's place; given up when it is dropped.
pub(super) struct Seat {
    desk: Arc<Desk>,
    taken: bool,
}

impl Seat {
    /// The next mail; None: the courier is needed no more, and no longer counted.
    pub(super) async fn next(&mut self) -> Option<Parcel> {
        let closing = Instant::now() + IDLE;
        loop {
            let arrived = self.desk.arrived.notified();
            tokio::pin!(arrived);
            // Before the look into the queue, so that what arrives after it wakes.
            arrived.as_mut().enable();
            {
                let mut books = self.desk.books();
                books.served_at = Some(Instant::now());
                let too_many = books.couriers > books.allowed;
                let parcel = match too_many {
                    true => None,
                    false => books.parcels.pop_front(),
                };
                if parcel.is_some() {
                    return parcel;
                }
                if too_many || Instant::now() >= closing {
                    books.couriers -= 1;
                    self.taken = false;
                    return None;
                }
                books.idle += 1;
            }
            let _ = timeout_at(closing, arrived).await;
            self.desk.books().idle -= 1;
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.taken {
            self.desk.books().couriers -= 1;
        }
    }
}
