//! Counts the requests of each key in memory, and writes the counts down from time to time: nothing of it is in the way of
//! a request. A replica that is killed loses what it counted since its last writing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tenantry_core::{ApiKeyId, TenantId};
use tenantry_rpc::Tasks;
use tenantry_store::Store;

use crate::error::Error;
use crate::store;

/// How often counts are written: with the time that it takes, well within a minute.
const WRITE_EVERY: Duration = Duration::from_secs(20);
/// Longest try at the end of the process.
const LAST_WRITE_WITHIN: Duration = Duration::from_secs(3);
/// Most keys in one statement.
const BATCH: usize = 5_000;
/// Parts of the table, each with a lock of its own.
const SHARDS: usize = 16;
/// Most keys counted in one part; those beyond it go uncounted until the next writing.
const MOST: usize = 20_000;
/// How many writings lie between two sweeps of old hours, and how many of those go at once.
const SWEEP_EACH: u32 = 30;
const SWEEP_ROWS: i64 = 10_000;

/// What was counted of one key since the last writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) requests: i64,
    pub(crate) last: Timestamp,
}

type Shard = HashMap<(TenantId, ApiKeyId), Count>;

/// The counts of this replica.
#[derive(Clone, Debug)]
pub(crate) struct Uses {
    shards: Arc<[Mutex<Shard>; SHARDS]>,
    store: Store,
}

impl Uses {
    /// Counts, and the task that writes them, spawned.
    pub(crate) fn start(store: Store, tasks: &Tasks) -> Self {
        let uses = Self {
            shards: Arc::default(),
            store,
        };
        tasks.keep("uses of keys", uses.clone().write_on(tasks.clone()));
        uses
    }

    /// Counts one request.
    pub(crate) fn count(&self, tenant: TenantId, key: ApiKeyId) {
        let last = tenantry_core::clock::now();
        let mut shard = self.shard(key);
        merge(&mut shard, (tenant, key), Count { requests: 1, last });
    }

    /// Writes until cancelled, and once more then. What can't be written is tried again with the next.
    async fn write_on(self, tasks: Tasks) {
        let mut writings: u32 = 0;
        loop {
            tokio::select! {
                () = tasks.cancelled() => break,
                () = tokio::time::sleep(WRITE_EVERY) => {}
            }
            self.write().await;
            writings = writings.wrapping_add(1);
            if writings.is_multiple_of(SWEEP_EACH)
                && let Err(error) = self.sweep().await
            {
                tracing::warn!(error = %error, "old counts of keys were not swept");
            }
        }
        // The process waits only so long for its tasks.
        let _ = tokio::time::timeout(LAST_WRITE_WITHIN, self.write()).await;
    }

    async fn write(&self) {
        let counted: Vec<_> = self
            .shards
            .iter()
            .flat_map(|shard| std::mem::take(&mut *lock(shard)))
            .collect();
        for batch in counted.chunks(BATCH) {
            if let Err(error) = self.add(batch).await {
                tracing::warn!(error = %error, keys = batch.len(), "uses of keys were not written");
                for (key, count) in batch {
                    merge(&mut self.shard(key.1), *key, *count);
                }
            }
        }
    }

    async fn add(&self, batch: &[((TenantId, ApiKeyId), Count)]) -> Result<(), Error> {
        let mut tx = self.store.platform().await?;
        store::uses::add(&mut tx, batch).await?;
        Ok(tx.commit().await?)
    }

    async fn sweep(&self) -> Result<(), Error> {
        let mut tx = self.store.platform().await?;
        let gone = store::uses::sweep(&mut tx, SWEEP_ROWS).await?;
        tx.commit().await?;
        tracing::debug!(gone, "old counts of keys swept");
        Ok(())
    }

    fn shard(&self, key: ApiKeyId) -> MutexGuard<'_, Shard> {
        // The last byte is random.
        let n = usize::from(key.uuid().as_bytes()[15]) % SHARDS;
        lock(&self.shards[n])
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

fn merge(shard: &mut Shard, key: (TenantId, ApiKeyId), more: Count) {
    if let Some(count) = shard.get_mut(&key) {
        count.requests = count.requests.saturating_add(more.requests);
        count.last = count.last.max(more.last);
    } else if shard.len() < MOST {
        shard.insert(key, more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up_and_their_number_is_bounded() {
        let mut shard = Shard::new();
        let at = |second| Timestamp::from_second(second).unwrap();
        let key = (TenantId::new(), ApiKeyId::new());
        for (requests, second) in [(2, 5), (1, 3)] {
            let last = at(second);
            merge(&mut shard, key, Count { requests, last });
        }
        let sum = Count {
            requests: 3,
            last: at(5),
        };
        assert_eq!(shard.get(&key), Some(&sum));
        for _ in 0..MOST {
            merge(&mut shard, (TenantId::new(), ApiKeyId::new()), sum);
        }
        assert_eq!(shard.len(), MOST);
    }
}
