//! Dropping a partition that has had its time.

use tenantry_core::TenantId;
use tenantry_store::PlatformTx;

use super::{Judged, Retention, Retired, Step};
use crate::domain::retention::{Class, instead};
use crate::error::Error;
use crate::store::retention::{self, Partition};
use crate::store::search::due;

/// Whose events keep a partition from being dropped, and why.
#[derive(Clone, Copy, Debug)]
enum Staying {
    /// Their plan or a legal hold keeps them, or they are held ones.
    Kept(TenantId),
    /// No checkpoint has them yet.
    Unsigned(TenantId),
}

impl Retention {
    /// Drops a partition, unless something in it has to stay: of held events whatever there is.
    pub(super) async fn drop_partition(
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
            Some(Staying::Kept(tenant)) => {
                tracing::info!(partition = partition.name, tenant.id = %tenant, "a drop came upon events that stay");
                Ok(Step::Later)
            }
            Some(Staying::Unsigned(tenant)) => {
                tracing::warn!(partition = partition.name, tenant.id = %tenant, "a partition has to wait for events that no checkpoint has");
                Ok(Step::Later)
            }
        }
    }

    /// Drops a partition in this transaction; or says whose events have to stay, and nothing is done.
    async fn drop_in(
        &self,
        tx: &mut PlatformTx,
        partition: &Partition,
    ) -> Result<Option<Staying>, Error> {
        retention::close(tx.conn(), partition).await?;
        let mut after = None;
        loop {
            let judged = self.judge(tx, partition, after).await?;
            let Some(last) = judged.last().map(|judged| judged.tenant) else {
                break;
            };
            after = Some(last);
            let staying = judged.iter().find_map(|one| staying(partition, one));
            if staying.is_some() {
                return Ok(staying);
            }
        }
        if after.is_some() {
            retention::note_gone(tx.conn(), partition).await?;
        }
        retention::drop(tx.conn(), partition).await?;
        if after.is_some() {
            due::gone(tx.conn(), partition.begins, partition.ends).await?;
        }
        Ok(None)
    }
}

fn staying(partition: &Partition, one: &Judged) -> Option<Staying> {
    let kept = partition.class == Class::Held
        || instead(partition.class, one.class, one.under_hold).is_some();
    if kept {
        return Some(Staying::Kept(one.tenant));
    }
    let unsigned = one.is_unsigned_before(partition.ends);
    unsigned.then_some(Staying::Unsigned(one.tenant))
}
