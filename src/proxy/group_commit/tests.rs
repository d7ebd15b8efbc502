use std::time::SystemTime;

use uuid::Uuid;

use super::super::hit::{HitKind, HitMethod};
use super::*;

fn hit() -> Hit {
    Hit {
        id: Uuid::now_v7(),
        kind: HitKind::Open,
        token: String::new(),
        occurred_at: SystemTime::UNIX_EPOCH,
        method: HitMethod::Get,
        address: None,
        user_agent: None,
    }
}

fn available() -> (Recorder, HitQueue) {
    let (recorder, queue) = Recorder::new(None);
    queue.availability.reachable.store(1, Ordering::Relaxed);
    (recorder, queue)
}

async fn take(queue: &HitQueue) -> Batch {
    let mut batch = Batch::new();
    queue.take(&mut batch, 0).await;
    batch
}

#[tokio::test]
async fn hits_are_refused_at_once_without_a_database() {
    let (recorder, _queue) = Recorder::new(None);
    assert_eq!(recorder.record(hit(), true).await, Err(Unavailable));
}

#[tokio::test]
async fn hits_that_wait_together_share_a_batch_and_get_their_own_answers() {
    let (recorder, queue) = available();
    let pending: Vec<_> = (0..3)
        .map(|_| {
            let recorder = recorder.clone();
            tokio::spawn(async move { recorder.record(hit(), true).await })
        })
        .collect();
    tokio::task::yield_now().await;
    let batch = take(&queue).await;
    assert_eq!(batch.len(), 3);
    let answers = (0..3)
        .map(|n| Answer {
            known: true,
            location: Some(n.to_string()),
        })
        .collect();
    answer(batch, answers);
    for (n, pending) in pending.into_iter().enumerate() {
        assert_eq!(
            pending.await.unwrap().unwrap().location,
            Some(n.to_string())
        );
    }
}

#[tokio::test]
async fn in_a_rush_a_batch_waits_a_moment_for_more() {
    let (recorder, queue) = available();
    let record = |hits: usize| {
        for _ in 0..hits {
            let recorder = recorder.clone();
            tokio::spawn(async move { recorder.record(hit(), true).await });
        }
    };
    record(20);
    tokio::task::yield_now().await;
    let (mut batch, mut next) = (Batch::new(), Batch::new());
    let late = async {
        tokio::task::yield_now().await;
        record(40);
    };
    tokio::join!(queue.take(&mut batch, 40), late);
    assert_eq!(
        batch.len(),
        60,
        "three quarters of 60 are worth waiting for"
    );
    record(1);
    tokio::time::timeout(Duration::from_secs(5), queue.take(&mut next, 60))
        .await
        .expect("it does not wait for ever");
    assert_eq!(next.len(), 1);
}

#[test]
fn a_few_hits_wait_for_no_others() {
    assert_eq!([enough(0, 0), enough(1, 0), enough(8, 7)], [1, 1, 1]);
    assert_eq!([enough(8, 8), enough(31, 33)], [12, 48]);
    assert_eq!(enough(BATCH_SIZE, QUEUE_LENGTH), BATCH_SIZE);
}

#[tokio::test]
async fn a_full_queue_refuses() {
    let (recorder, queue) = available();
    let mut pending = Vec::new();
    for _ in 0..QUEUE_LENGTH {
        let (answer, answered) = oneshot::channel();
        recorder
            .hits
            .try_send(PendingHit {
                hit: hit(),
                answerable: true,
                answer,
            })
            .unwrap();
        pending.push(answered);
    }
    assert_eq!(recorder.depth(), QUEUE_LENGTH);
    assert_eq!(recorder.record(hit(), true).await, Err(Unavailable));
    assert_eq!(take(&queue).await.len(), BATCH_SIZE);
}

#[tokio::test]
async fn refused_hits_are_told() {
    let (recorder, queue) = available();
    let pending = tokio::spawn(async move { recorder.record(hit(), true).await });
    tokio::task::yield_now().await;
    queue.refuse();
    assert_eq!(pending.await.unwrap(), Err(Unavailable));
}

#[tokio::test]
async fn hits_outlive_their_readers() {
    let (recorder, queue) = available();
    let pending = tokio::spawn(async move { recorder.record(hit(), true).await });
    tokio::task::yield_now().await;
    pending.abort();
    let batch = take(&queue).await;
    assert_eq!(batch.len(), 1);
    answer(batch, vec![Answer::default()]);
    assert!(take(&queue).await.is_empty(), "the recorder is gone");
}
