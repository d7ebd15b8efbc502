//! Brings spooled hits to the database, oldest first, when it is back.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use super::backoff::Backoff;
use super::database::DatabaseError;
use super::group_commit::{Availability, BATCH_SIZE};
use super::hit::Hit;
use super::metrics::Metrics;
use super::pools::Pools;
use super::spool::Spool;

/// How often to look whether the database is back: the recorder finds out.
const LOOK: Duration = Duration::from_millis(200);

/// Replays for ever.
pub async fn replay(
    spool: Spool,
    available: Availability,
    pools: Arc<Pools>,
    metrics: Arc<Metrics>,
) {
    let mut backoff = Backoff::default();
    loop {
        let path = spool.oldest().await;
        while !available.get() {
            tokio::time::sleep(LOOK).await;
        }
        match replay_segment(&spool, &path, &pools, &metrics).await {
            Ok(()) => backoff.reset(),
            Err(error) => {
                warn!(%error, "spooled hits were not recorded, trying again");
                tokio::time::sleep(backoff.pause()).await;
            }
        }
    }
}

async fn replay_segment(
    spool: &Spool,
    path: &Path,
    pools: &Pools,
    metrics: &Metrics,
) -> Result<(), DatabaseError> {
    let segment = match spool.read(path).await {
        Ok(segment) => segment,
        Err(error) => {
            warn!(%error, segment = %path.display(), "a segment of the spool cannot be read, it stays for the next start");
            spool.skip(path, 0);
            return Ok(());
        }
    };
    let mut refused = 0;
    for batch in segment.hits.chunks(BATCH_SIZE) {
        let hits: Arc<[Hit]> = batch.into();
        let answers = pools
            .replays
            .call(move |session| {
                let hits = Arc::clone(&hits);
                async move { session.record(hits.iter().map(|hit| (hit, false))).await }
            })
            .await?;
        metrics.count_replayed(batch.len());
        refused += answers.iter().filter(|answer| !answer.known).count();
    }
    info!(
        hits = segment.hits.len() - refused,
        "spooled hits are recorded"
    );
    if refused > 0 {
        warn!(
            hits = refused,
            "spooled hits are not recorded: the keys that signed them have ended"
        );
    }
    if let Err(error) = spool.forget(&segment) {
        warn!(%error, "a segment of the spool stays, and will be replayed again");
    }
    Ok(())
}
