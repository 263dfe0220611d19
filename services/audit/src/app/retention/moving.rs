//! Taking out of a partition what outlives it, or of held events what nothing keeps any more.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use jiff::SignedDuration;
use tenantry_core::{TenantId, clock};

use super::{Judged, Retention, Retired, Step};
use crate::domain::query::Scope;
use crate::domain::retention::{Class, instead, visible_since};
use crate::error::Error;
use crate::store::partitions;
use crate::store::retention::{self, Partition};
use crate::store::search::due;

/// Most events that one transaction moves or removes.
const BATCH: i64 = 2_000;
/// What lies between the last instant of a partition and its end.
const INSTANT: SignedDuration = SignedDuration::from_micros(1);

impl Retention {
    /// The next tenants with events in a partition; or how the way through it ends.
    async fn next(
        &self,
        partition: &Partition,
        after: &mut Option<TenantId>,
    ) -> Result<ControlFlow<Step, Vec<Judged>>, Error> {
        let Some(mut tx) = self.begin().await? else {
            return Ok(ControlFlow::Break(Step::Later));
        };
        let judged = self.judge(&mut tx, partition, *after).await?;
        // Ended, not dropped: until the database heard of its end, nobody else is alone.
        tx.commit().await?;
        *after = judged.last().map(|judged| judged.tenant);
        Ok(match after {
            Some(_) => ControlFlow::Continue(judged),
            None => ControlFlow::Break(Step::Done),
        })
    }

    /// Moves what has to stay out of a partition that has had its time.
    pub(super) async fn move_on(
        &self,
        partition: &Partition,
        retired: &mut Retired,
    ) -> Result<Step, Error> {
        let mut after = None;
        loop {
            let judged = match self.next(partition, &mut after).await? {
                ControlFlow::Continue(judged) => judged,
                ControlFlow::Break(end) => return Ok(end),
            };
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
        // A week may lie in two months. In a transaction of its own, that waits for no lock long: whoever makes a partition holds
        // off those who read, and so does whoever waits to.
        let last = partition.ends.checked_sub(INSTANT);
        let last = last.unwrap_or(partition.ends);
        let Some(mut tx) = self.begin().await? else {
            return Ok(Step::Later);
        };
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
    pub(super) async fn release(
        &self,
        partition: &Partition,
        retired: &mut Retired,
    ) -> Result<Step, Error> {
        let mut after = None;
        loop {
            let judged = match self.next(partition, &mut after).await? {
                ControlFlow::Continue(judged) => judged,
                ControlFlow::Break(end) => return Ok(end),
            };
            for free in judged.iter().filter(|judged| !judged.under_hold) {
                let past = visible_since(clock::now(), i32::from(free.class.number()) + 1);
                if free.is_unsigned_before(past.min(partition.ends)) {
                    tracing::warn!(partition = partition.name, tenant.id = %free.tenant, "events that no hold keeps have to wait for a checkpoint");
                    retired.left = true;
                }
                if self.remove_all(partition, free, retired).await? == Step::Later {
                    return Ok(Step::Later);
                }
            }
        }
    }

    /// Removes them in batches, none of which is committed once a hold is known of.
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
            // Whoever makes a run holds its scope for longer than one should wait for a table.
            retention::patient(tx.conn()).await?;
            due::anew(tx.conn(), Scope::Log(tenant), &indexes).await?;
            due::anew(tx.conn(), Scope::All, &positions).await?;
            // Asked last: since the tenant was judged there may have been many batches, and this one may have waited.
            if !self.tenants.is_ready() || self.tenants.is_held(tenant) {
                tracing::info!(tenant.id = %tenant, "held events aren't removed any further: a hold was placed, or nobody can say");
                return Ok(Step::Later);
            }
            tx.commit().await?;
            let removed = indexes.len() as u64;
            retired.removed += removed;
            if removed < BATCH.unsigned_abs() {
                return Ok(Step::Done);
            }
        }
    }
}
