//! The spool: where hits are kept while the database is away. A hit is answered when it is durable in a file, and replayed
//! to the database when that is back.
//!
//! Hits are appended to numbered segments. What is to be replayed is sealed first: new hits go to the next segment. A
//! segment is deleted when all its hits are recorded; if that is interrupted it is replayed from its beginning, which the
//! ids of the hits make safe. So a crash at any moment loses no answered hit and counts none twice.

mod segment;

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::{Notify, mpsc, oneshot};
use tracing::{error, info, warn};

use super::hit::{Answer, Hit};
use super::pending_hit::PendingHit;
use segment::{End, SegmentWriter};

/// Hits that may wait for the disk.
const QUEUE_LENGTH: usize = 8192;
/// Hits that share one fsync.
const GROUP: usize = 1000;
/// A segment is sealed when it has grown so large, so that replaying needs little memory.
const SEGMENT_BYTES: u64 = 16 << 20;

/// Where to spool, and how much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolSettings {
    pub directory: PathBuf,
    /// Bytes in all segments together; more hits are refused.
    pub limit: u64,
}

/// Takes hits in. Cheap to clone; the writer ends with the last clone.
#[derive(Clone)]
pub struct Spool {
    directory: Arc<Path>,
    requests: mpsc::Sender<Request>,
    state: Arc<State>,
}

enum Request {
    Keep(PendingHit),
    Seal(oneshot::Sender<()>),
}

/// What the writer and the replayer share.
struct State {
    sealed: Mutex<VecDeque<PathBuf>>,
    bytes: AtomicU64,
    limit: u64,
    arrived: Notify,
}

impl State {
    fn sealed(&self) -> MutexGuard<'_, VecDeque<PathBuf>> {
        self.sealed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Spool {
    /// Takes a directory, which is made if need be, and starts the writer. Another process that uses it is an error.
    pub fn open(settings: &SpoolSettings) -> io::Result<(Self, WriterThread)> {
        fs::create_dir_all(&settings.directory)?;
        let lock = lock(&settings.directory)?;
        let segments = segment::list(&settings.directory)?;
        let mut bytes = 0;
        for (_, path) in &segments {
            bytes += fs::metadata(path)?.len();
        }
        if bytes > 0 {
            info!(bytes, "hits of the last run are in the spool");
        }
        let state = Arc::new(State {
            bytes: AtomicU64::new(bytes),
            limit: settings.limit,
            arrived: Notify::new(),
            sealed: Mutex::new(segments.iter().map(|(_, path)| path.clone()).collect()),
        });
        state.arrived.notify_one();
        let (requests, queue) = mpsc::channel(QUEUE_LENGTH);
        let writer = Writer {
            directory: settings.directory.clone(),
            next: segments.last().map_or(0, |(number, _)| number + 1),
            current: None,
            state: Arc::clone(&state),
            failed: false,
            _lock: lock,
        };
        let writer = std::thread::Builder::new()
            .name("spool".to_owned())
            .spawn(move || writer.work(queue))?;
        let spool = Self {
            directory: settings.directory.as_path().into(),
            requests,
            state,
        };
        Ok((spool, WriterThread(writer)))
    }

    /// The directory, which no other process uses.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Tries whether the directory can be used. A process that uses it now shows that it can.
    pub fn try_out(settings: &SpoolSettings) -> io::Result<()> {
        fs::create_dir_all(&settings.directory)?;
        match lock(&settings.directory) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => Ok(()),
            outcome => outcome.map(drop),
        }
    }

    /// Takes a hit: it is answered when it is durable, and dropped when it cannot be made so.
    pub fn keep(&self, pending: PendingHit) {
        let _ = self.requests.try_send(Request::Keep(pending));
    }

    /// Bytes that wait to be replayed.
    pub fn bytes(&self) -> u64 {
        self.state.bytes.load(Ordering::Relaxed)
    }

    /// Whether there is room for more.
    pub fn has_room(&self) -> bool {
        self.bytes() < self.state.limit
    }

    /// Waits for hits to replay, seals them, and gives the oldest segment.
    pub async fn oldest(&self) -> PathBuf {
        loop {
            let arrived = self.state.arrived.notified();
            if self.state.sealed().is_empty() && self.bytes() > 0 {
                let (sealed, done) = oneshot::channel();
                if self.requests.send(Request::Seal(sealed)).await.is_ok() {
                    let _ = done.await;
                }
            }
            if let Some(path) = self.state.sealed().front().cloned() {
                return path;
            }
            arrived.await;
        }
    }

    /// Reads a sealed segment. One that is damaged is renamed when it is forgotten, for a person to look at.
    pub async fn read(&self, path: &Path) -> io::Result<Segment> {
        let path = path.to_owned();
        tokio::task::spawn_blocking(move || {
            let content = fs::read(&path)?;
            let (hits, end) = segment::decode(&content);
            if end == End::Torn {
                info!(segment = %path.display(), "the last hit of the spool was cut off and had not been answered");
            }
            Ok(Segment {
                bytes: content.len() as u64,
                path,
                hits,
                damaged: end == End::Damaged,
            })
        })
        .await
        .map_err(io::Error::other)?
    }

    /// Forgets a segment whose hits are recorded.
    pub fn forget(&self, segment: &Segment) -> io::Result<()> {
        self.skip(&segment.path, segment.bytes);
        if segment.damaged {
            let kept = segment.path.with_extension("damaged");
            error!(kept = %kept.display(), recorded = segment.hits.len(), "a segment of the spool is damaged: what follows its first hits was not recorded");
            fs::rename(&segment.path, kept)
        } else {
            fs::remove_file(&segment.path)
        }
    }

    /// Leaves a segment to the next start of the process.
    pub fn skip(&self, path: &Path, bytes: u64) {
        self.state.sealed().retain(|sealed| sealed != path);
        let less = |counted: u64| Some(counted.saturating_sub(bytes));
        let _ = self
            .state
            .bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }
}

/// A segment as read.
pub struct Segment {
    path: PathBuf,
    bytes: u64,
    pub hits: Vec<Hit>,
    damaged: bool,
}

/// The writer's thread.
pub struct WriterThread(JoinHandle<()>);

impl WriterThread {
    /// Waits until all that was taken in is durable; there must be no spool left.
    pub async fn finish(self) {
        let _ = tokio::task::spawn_blocking(move || self.0.join()).await;
    }
}

/// Keeps other processes away until it is dropped.
fn lock(directory: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(directory.join("lock"))?;
    file.try_lock().map_err(|error| match error {
        fs::TryLockError::WouldBlock => io::Error::new(
            io::ErrorKind::ResourceBusy,
            "another process uses it: each proxy needs a directory of its own",
        ),
        fs::TryLockError::Error(error) => error,
    })?;
    Ok(file)
}

/// Writes segments, on a thread of its own: fsync blocks.
struct Writer {
    directory: PathBuf,
    next: u64,
    current: Option<SegmentWriter>,
    state: Arc<State>,
    failed: bool,
    _lock: File,
}

impl Writer {
    fn work(mut self, mut queue: mpsc::Receiver<Request>) {
        let mut requests = Vec::new();
        while queue.blocking_recv_many(&mut requests, GROUP) > 0 {
            let mut group = Vec::new();
            let mut seals = Vec::new();
            for request in requests.drain(..) {
                match request {
                    Request::Keep(pending) => group.push(pending),
                    Request::Seal(done) => seals.push(done),
                }
            }
            self.keep(group);
            if !seals.is_empty() {
                self.seal();
            }
            for done in seals {
                let _ = done.send(());
            }
        }
    }

    /// Makes hits durable and answers them; drops them when it cannot.
    fn keep(&mut self, group: Vec<PendingHit>) {
        if group.is_empty() {
            return;
        }
        let mut records = Vec::with_capacity(group.len() * 256);
        for pending in &group {
            segment::encode(&pending.hit, &mut records);
        }
        match self.append(&records) {
            Ok(()) => {
                self.failed = false;
                for pending in group {
                    pending.answer(Answer::kept());
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut self.failed, true) {
                    warn!(%error, "hits cannot be spooled");
                }
                self.seal();
            }
        }
    }

    fn append(&mut self, records: &[u8]) -> io::Result<()> {
        let length = records.len() as u64;
        if self.state.bytes.load(Ordering::Relaxed) + length > self.state.limit {
            return Err(io::Error::other("the spool is as large as it may become"));
        }
        let writer = match &mut self.current {
            Some(writer) => writer,
            None => {
                let number = self.next;
                // Whatever is wrong with this one need not be wrong with the next.
                self.next += 1;
                self.current
                    .insert(SegmentWriter::create(&self.directory, number)?)
            }
        };
        writer.append(records)?;
        self.state.bytes.fetch_add(length, Ordering::Relaxed);
        if writer.bytes >= SEGMENT_BYTES {
            self.seal();
        }
        self.state.arrived.notify_one();
        Ok(())
    }

    /// Ends the current segment. On a full disk each attempt makes one that stays empty: these must not add up.
    fn seal(&mut self) {
        match self.current.take() {
            Some(writer) if writer.bytes == 0 => drop(fs::remove_file(writer.path)),
            Some(writer) => self.state.sealed().push_back(writer.path),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests;
