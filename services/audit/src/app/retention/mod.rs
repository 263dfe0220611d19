//! Retention: partitions of events that have had their time are dropped, after what has to stay was moved on.
//!
//! Any replica does it, in transactions of a bounded size, one at a time over all replicas; whichever is the last, the next
//! turn goes on there. A drop looks again itself, with the partition closed to writers. What of tenants it all goes by is no
//! older than the grace, and a plan or a hold has a day to be heard of: that much longer than a class says, and than anyone
//! sees it, is everything kept. What no checkpoint has stays until one does: without it the log can't be signed any more.

mod dropping;
mod moving;

use std::time::Duration;

use jiff::Timestamp;
use metrics::counter;
use tenantry_core::TenantId;
use tenantry_rpc::tenants::Tenants;
use tenantry_store::{PlatformTx, Store};
use tokio_util::sync::CancellationToken;

use crate::domain::retention::Class;
use crate::error::Error;
use crate::store::logs;
use crate::store::retention::{self, Partition};

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
/// How often a drop is tried within a turn where readers are in its way, and the pause in between, in which they go on.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(500);

/// What one turn did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retired {
    /// Partitions that were dropped.
    pub dropped: Vec<String>,
    /// How many events were moved on, because their tenant's plan keeps them for longer, or a legal hold does.
    pub moved: u64,
    /// How many events were removed that a legal hold kept before.
    pub removed: u64,
    /// Whether something is left to do: another replica was at it, tenants aren't known, readers were in the way, or events aren't
    /// signed yet.
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
    unsigned_since: Option<Timestamp>,
}

impl Judged {
    /// Whether there may be events of this tenant that came before this instant, and that no checkpoint has.
    fn is_unsigned_before(&self, instant: Timestamp) -> bool {
        self.unsigned_since.is_some_and(|since| since < instant)
    }
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
                unsigned_since: kept.unsigned_since,
            }
        });
        Ok(judged.collect())
    }
}
