//! Retention: partitions of events that have had their time are dropped, after what has to stay was moved on.
//!
//! Any replica does it, in transactions of a bounded size, one at a time over all replicas; whichever is the last, the next
//! turn goes on there. A drop looks again itself, with the partition closed to writers. What of tenants it all goes by is no
//! older than the grace, and a plan or a hold has a day to be heard of: that much longer than a class says, and than anyone
//! sees it, is everything kept.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::SignedDuration;
use metrics::counter;
use tenantry_core::TenantId;
use tenantry_rpc::tenants::Tenants;
use tenantry_store::{PlatformTx, Store};
use tokio_util::sync::CancellationToken;

use crate::domain::query::Scope;
use crate::domain::retention::{Class, instead};
use crate::error::Error;
use crate::store::retention::{self, Partition};
use crate::store::search::due;
use crate::store::{logs, partitions};

/// How often partitions are looked through.
const EVERY: Duration = Duration::from_secs(3_600);
/// How soon again where something was left to do: nothing but disk space waits for it.
const AGAIN: Duration = Duration::from_secs(60);
/// How often it is looked whether tenants are known, after the start.
const KNOWN_EVERY: Duration = Duration::from_millis(250);
/// Connections that it has to itself: whoever reads can't hold it up.
const CONNECTIONS: u32 = 1;
/// Most tenants that are judged at once.
const TENANTS: i64 = 1_000;
/// Most events that one transaction moves or removes.
const BATCH: i64 = 2_000;
/// How often a drop is tried within a turn where readers are in its way, and the pause in between, in which they go on.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(500);
/// What lies between the last instant of a partition and its end.
const INSTANT: SignedDuration = SignedDuration::from_micros(1);

/// What one turn did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retired {
    /// Partitions that were dropped.
    pub dropped: Vec<String>,
    /// How many events were moved on, because their tenant's plan keeps them for longer, or a legal hold does.
    pub moved: u64,
    /// How many events were removed that a legal hold kept before.
    pub removed: u64,
    /// Whether something is left to do: another replica was at it, tenants aren't known, or readers were in the way.
    pub left: bool,
}

/// Drops what has had its time.
#[derive(Clone, Debug)]
pub struct Retention {
    store: Store,
    tenants: Tenants,
}

/// Whether a step was done, or has to wait for another turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Done,
    Later,
}

/// How the events of a tenant are to be kept now.
struct Judged {
    tenant: TenantId,
    class: Class,
    under_hold: bool,
}

impl Retention {
    /// Retention by what is known of these tenants.
    #[must_use]
    pub fn new(store: &Store, tenants: Tenants) -> Self {
        let store = store.apart(CONNECTIONS);
        Self { store, tenants }
    }

    /// Looks through the partitions from time to time, until it is cancelled; first as soon as tenants are known.
    pub async fn look_after(self, cancel: CancellationToken) {
        let work = async {
            while !self.tenants.is_ready() {
                tokio::time::sleep(KNOWN_EVERY).await;
            }
            loop {
                let retired = tenantry_rpc::contained("retention", self.turn()).await;
                let pause = match retired {
                    Some(Ok(retired)) if !retired.left => EVERY,
                    Some(Ok(_)) | None => AGAIN,
                    Some(Err(why)) => {
                        tracing::warn!(why, "events past their time can't be looked for");
                        AGAIN
                    }
                };
                tokio::time::sleep(pause).await;
            }
        };
        tokio::select! {
            () = cancel.cancelled() => {}
            () = work => {}
        }
    }

    /// Looks through all partitions once.
    ///
    /// # Errors
    /// The database doesn't say which there are; in words for our own log.
    pub async fn turn(&self) -> Result<Retired, String> {
        let mut retired = Retired::default();
        for partition in self.partitions().await.map_err(|error| error.to_string())? {
            // One that can't be had now doesn't keep the others from their end.
            match self.retire(&partition, &mut retired).await {
                Ok(Step::Done) => {}
                Ok(Step::Later) => retired.left = true,
                Err(error) => {
                    retired.left = true;
                    tracing::warn!(partition = partition.name, error = %error, "a partition has to wait");
                }
            }
        }
        counter!("tenantry_audit_partitions_dropped_total").increment(retired.dropped.len() as u64);
        counter!("tenantry_audit_events_moved_total").increment(retired.moved);
        Ok(retired)
    }

    async fn partitions(&self) -> Result<Vec<Partition>, Error> {
        let mut tx = self.store.platform().await?;
        Ok(retention::partitions(tx.conn()).await?)
    }

    async fn retire(&self, partition: &Partition, retired: &mut Retired) -> Result<Step, Error> {
        let emptied = match partition.class {
            Class::Held => self.release(partition, retired).await?,
            _ if partition.past => self.move_on(partition, retired).await?,
            _ => Step::Done,
        };
        if emptied == Step::Later || !partition.past {
            return Ok(emptied);
        }
        for _ in 0..TRIES {
            match self.drop_partition(partition, retired).await {
                Err(Error::Store(tenantry_store::Error::Unavailable(_))) => {
                    tokio::time::sleep(PAUSE).await;
                }
                ended => return ended,
            }
        }
        Ok(Step::Later)
    }

    /// A transaction in which no other replica is at it; none where one is, or nobody can say how tenants stand.
    async fn begin(&self) -> Result<Option<PlatformTx>, Error> {
        if !self.tenants.is_ready() {
            return Ok(None);
        }
        let mut tx = self.store.platform().await?;
        Ok(retention::alone(tx.conn()).await?.then_some(tx))
    }

    /// Some of the tenants with events in a partition, behind this one, and how these are to be kept now.
    async fn judge(
        &self,
        tx: &mut PlatformTx,
        partition: &Partition,
        after: Option<TenantId>,
    ) -> Result<Vec<Judged>, Error> {
        let tenants = retention::tenants(tx.conn(), partition, after, TENANTS).await?;
        let kept = logs::kept(tx.conn(), &tenants).await?;
        let judged = tenants.into_iter().map(|tenant| {
            let kept = kept.get(&tenant).copied().unwrap_or_default();
            Judged {
                tenant,
                class: kept.class(self.tenants.retention_days(tenant)),
                under_hold: self.tenants.is_held(tenant),
            }
        });
        Ok(judged.collect())
    }

    /// Moves what has to stay out of a partition that has had its time.
    async fn move_on(&self, partition: &Partition, retired: &mut Retired) -> Result<Step, Error> {
        let mut after = None;
        loop {
            let Some(mut tx) = self.begin().await? else {
                return Ok(Step::Later);
            };
            let judged = self.judge(&mut tx, partition, after).await?;
            // Ended, not dropped: until the database heard of its end, nobody else is alone.
            tx.commit().await?;
            after = judged.last().map(|judged| judged.tenant);
            if after.is_none() {
                return Ok(Step::Done);
            }
            let mut staying: BTreeMap<Class, Vec<TenantId>> = BTreeMap::new();
            for one in judged {
                if let Some(class) = instead(partition.class, one.class, one.under_hold) {
                    staying.entry(class).or_default().push(one.tenant);
                }
            }
            for (class, tenants) in staying {
                if self.move_all(partition, class, &tenants, retired).await? == Step::Later {
                    return Ok(Step::Later);
                }
            }
        }
    }

    async fn move_all(
        &self,
        partition: &Partition,
        class: Class,
        tenants: &[TenantId],
        retired: &mut Retired,
    ) -> Result<Step, Error> {
        // A week may lie in two months. In a transaction of its own: whoever makes a partition holds off those who read.
        let last = partition
            .ends
            .checked_sub(INSTANT)
            .unwrap_or(partition.ends);
        let mut tx = self.store.platform().await?;
        for at in [partition.begins, last] {
            partitions::ensure_one(tx.conn(), class, at).await?;
        }
        tx.commit().await?;
        loop {
            let Some(mut tx) = self.begin().await? else {
                return Ok(Step::Later);
            };
            let moved = retention::move_to(tx.conn(), partition, class, tenants, BATCH).await?;
            tx.commit().await?;
            retired.moved += moved;
            if moved < BATCH.unsigned_abs() {
                return Ok(Step::Done);
            }
        }
    }

    /// Removes held events of tenants that no hold stands on any more, once their class has had its time.
    async fn release(&self, partition: &Partition, retired: &mut Retired) -> Result<Step, Error> {
        let mut after = None;
        loop {
            let Some(mut tx) = self.begin().await? else {
                return Ok(Step::Later);
            };
            let judged = self.judge(&mut tx, partition, after).await?;
            // Ended, not dropped: until the database heard of its end, nobody else is alone.
            tx.commit().await?;
            after = judged.last().map(|judged| judged.tenant);
            if after.is_none() {
                return Ok(Step::Done);
            }
            for free in judged.iter().filter(|judged| !judged.under_hold) {
                if self.remove_all(partition, free, retired).await? == Step::Later {
                    return Ok(Step::Later);
                }
            }
        }
    }

    async fn remove_all(
        &self,
        partition: &Partition,
        free: &Judged,
        retired: &mut Retired,
    ) -> Result<Step, Error> {
        loop {
            let Some(mut tx) = self.begin().await? else {
                return Ok(Step::Later);
            };
            let (tenant, class) = (free.tenant, free.class);
            let (indexes, positions) =
                retention::remove(tx.conn(), partition, tenant, class, BATCH).await?;
            due::anew(tx.conn(), Scope::Log(tenant), &indexes).await?;
            due::anew(tx.conn(), Scope::All, &positions).await?;
            tx.commit().await?;
            let removed = indexes.len() as u64;
            retired.removed += removed;
            if removed < BATCH.unsigned_abs() {
                return Ok(Step::Done);
            }
        }
    }

    /// Drops a partition, unless something in it has to stay: of held events whatever there is.
    async fn drop_partition(
        &self,
        partition: &Partition,
        retired: &mut Retired,
    ) -> Result<Step, Error> {
        let Some(mut tx) = self.begin().await? else {
            return Ok(Step::Later);
        };
        let staying = self.drop_in(&mut tx, partition).await;
        // Where that failed, this ends it all the same.
        tx.commit().await?;
        match staying? {
            None => {
                tracing::info!(
                    partition = partition.name,
                    "a partition of events has had its time"
                );
                retired.dropped.push(partition.name.clone());
                Ok(Step::Done)
            }
            Some(_) if partition.class == Class::Held => Ok(Step::Done),
            Some(tenant) => {
                tracing::info!(partition = partition.name, tenant.id = %tenant, "a drop came upon events that stay");
                Ok(Step::Later)
            }
        }
    }

    /// Drops a partition in this transaction; or a tenant whose events have to stay, and nothing is done.
    async fn drop_in(
        &self,
        tx: &mut PlatformTx,
        partition: &Partition,
    ) -> Result<Option<TenantId>, Error> {
        retention::close(tx.conn(), partition).await?;
        let mut after = None;
        loop {
            let judged = self.judge(tx, partition, after).await?;
            let Some(last) = judged.last().map(|judged| judged.tenant) else {
                break;
            };
            after = Some(last);
            let staying = judged.into_iter().find(|one| {
                partition.class == Class::Held
                    || instead(partition.class, one.class, one.under_hold).is_some()
            });
            if let Some(staying) = staying {
                return Ok(Some(staying.tenant));
            }
        }
        retention::drop(tx.conn(), partition).await?;
        if after.is_some() {
            due::gone(tx.conn(), partition.begins, partition.ends).await?;
        }
        Ok(None)
    }
}
