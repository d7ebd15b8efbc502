use std::time::{Duration, SystemTime};

use tempfile::TempDir;
use uuid::Uuid;

use super::super::group_commit::{Recorder, Unavailable};
use super::super::hit::{HitKind, HitMethod};
use super::*;

fn hit(n: u128) -> Hit {
    Hit {
        id: Uuid::from_u128(n),
        kind: HitKind::Click,
        token: "AAEC".to_owned(),
        occurred_at: SystemTime::UNIX_EPOCH + Duration::from_nanos(1_700_000_000_123_456_000),
        method: HitMethod::Get,
        address: Some("2001:db8::1".parse().unwrap()),
        user_agent: Some("Mozilla \"5.0\"".to_owned()),
    }
}

struct Directory(TempDir);

impl Directory {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Does not exist before it is opened.
    fn path(&self) -> PathBuf {
        self.0.path().join("spool")
    }

    fn open(&self) -> io::Result<(Spool, WriterThread)> {
        self.open_up_to(1 << 20)
    }

    fn open_up_to(&self, limit: u64) -> io::Result<(Spool, WriterThread)> {
        Spool::open(&SpoolSettings {
            directory: self.path(),
            limit,
        })
    }
}

/// Spools hits and waits for their answers.
async fn keep(spool: &Spool, hits: impl Iterator<Item = Hit>) -> Vec<Result<Answer, Unavailable>> {
    // Nobody records, so that all hits go to the spool.
    let (recorder, _queue) = Recorder::new(Some(spool.clone()));
    let mut answers = Vec::new();
    for hit in hits {
        answers.push(recorder.record(hit, true).await);
    }
    answers
}

async fn replay(spool: &Spool) -> Vec<Hit> {
    let path = spool.oldest().await;
    let segment = spool.read(&path).await.unwrap();
    let hits = segment.hits.clone();
    spool.forget(&segment).unwrap();
    hits
}

#[test]
fn what_is_cut_off_at_the_end_is_torn_and_what_is_changed_before_it_is_damaged() {
    let mut bytes = Vec::new();
    let mut ends = vec![0];
    for n in 0..3 {
        segment::encode(&hit(n), &mut bytes);
        ends.push(bytes.len());
    }
    let hits: Vec<Hit> = (0..3).map(hit).collect();
    assert_eq!(segment::decode(&bytes), (hits.clone(), End::Complete));
    for length in 0..bytes.len() {
        let whole = ends.iter().filter(|end| **end <= length).count() - 1;
        let end = match ends.contains(&length) {
            true => End::Complete,
            false => End::Torn,
        };
        assert_eq!(
            segment::decode(&bytes[..length]),
            (hits[..whole].to_vec(), end),
            "{length}"
        );
        let mut zeros = bytes[..length].to_vec();
        zeros.resize(bytes.len() + 4096, 0);
        let (read, end) = segment::decode(&zeros);
        assert!(read.len() >= whole && end != End::Complete, "{length}");
    }
    for at in 0..ends[1] {
        let mut changed = bytes.clone();
        changed[at] ^= 0x10;
        let (read, end) = segment::decode(&changed);
        assert!(read.is_empty() && end != End::Complete, "{at}");
    }
}

#[tokio::test]
async fn hits_survive_a_restart_and_come_back_in_order() {
    let directory = Directory::new();
    let (spool, writer) = directory.open().unwrap();
    for answer in keep(&spool, (0..3).map(hit)).await {
        assert_eq!(answer, Ok(Answer::kept()));
    }
    drop(spool);
    writer.finish().await;
    let (spool, _writer) = directory.open().unwrap();
    assert!(spool.bytes() > 0);
    keep(&spool, (3..5).map(hit)).await;
    assert_eq!(replay(&spool).await, (0..3).map(hit).collect::<Vec<_>>());
    assert_eq!(replay(&spool).await, (3..5).map(hit).collect::<Vec<_>>());
    assert_eq!(spool.bytes(), 0);
    assert!(segment::list(&directory.path()).unwrap().is_empty());
}

#[tokio::test]
async fn a_full_spool_refuses_until_it_is_replayed() {
    let directory = Directory::new();
    let (spool, _writer) = directory.open_up_to(1000).unwrap();
    let answers = keep(&spool, (0..20).map(hit)).await;
    let kept = answers.iter().filter(|answer| answer.is_ok()).count();
    assert!((1..20).contains(&kept));
    assert!(spool.bytes() <= 1000);
    let mut replayed = 0;
    while spool.bytes() > 0 {
        replayed += replay(&spool).await.len();
    }
    assert_eq!(replayed, kept);
    assert_eq!(
        keep(&spool, std::iter::once(hit(99))).await,
        [Ok(Answer::kept())]
    );
}

#[tokio::test]
async fn a_segment_that_cannot_be_made_does_not_keep_out_those_after_it() {
    let directory = Directory::new();
    let (spool, _writer) = directory.open().unwrap();
    fs::write(directory.path().join("0000000000000000.hits"), "").unwrap();
    let answers = keep(&spool, (0..2).map(hit)).await;
    assert_eq!(answers, [Err(Unavailable), Ok(Answer::kept())]);
}

#[tokio::test]
async fn hits_whose_answer_is_not_known_are_not_kept() {
    let directory = Directory::new();
    let (spool, _writer) = directory.open().unwrap();
    let (recorder, _queue) = Recorder::new(Some(spool.clone()));
    assert_eq!(recorder.record(hit(1), false).await, Err(Unavailable));
    assert_eq!(spool.bytes(), 0);
}

#[tokio::test]
async fn a_damaged_segment_is_kept_for_a_person() {
    let directory = Directory::new();
    fs::create_dir_all(directory.path()).unwrap();
    let mut bytes = Vec::new();
    segment::encode(&hit(1), &mut bytes);
    let second = bytes.len();
    segment::encode(&hit(2), &mut bytes);
    segment::encode(&hit(3), &mut bytes);
    bytes[second + 20] ^= 1;
    fs::write(directory.path().join("0000000000000007.hits"), &bytes).unwrap();
    let (spool, _writer) = directory.open().unwrap();
    assert_eq!(replay(&spool).await, [hit(1)]);
    assert_eq!(
        fs::read(directory.path().join("0000000000000007.damaged")).unwrap(),
        bytes
    );
    assert_eq!(spool.bytes(), 0);
}

#[tokio::test]
async fn a_directory_serves_one_process() {
    let directory = Directory::new();
    let (spool, writer) = directory.open().unwrap();
    let error = directory.open().err().unwrap();
    assert!(error.to_string().contains("another process"), "{error}");
    drop(spool);
    writer.finish().await;
    assert!(directory.open().is_ok());
}
