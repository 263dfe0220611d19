//! Open streams of what a tenant has: what they stand on, and what ends them.

use std::time::Duration;

use tenantry_core::{Reason, Refusal, RequestContext, TenantId, TenantRef, TenantStatus};
use tokio_util::sync::CancellationToken;

use crate::revocations::Revocations;
use crate::stream::{StreamLife, StreamSlots};
use crate::tenants::{TenantEntry, Tenants};

/// Longest wait for a client to take the end of its stream.
pub const END_WITHIN: Duration = Duration::from_secs(10);

/// How often it is looked whether the tenant of a stream is still in use.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Why a stream stopped.
#[derive(Debug)]
pub enum Stop {
    /// Nobody reads it any more.
    ClientGone,
    /// It had to end, or couldn't go on.
    Ended(Refusal),
}

/// What streams stand on. Clones share it.
#[derive(Clone, Debug)]
pub struct TenantStreams {
    tenants: Tenants,
    revocations: Revocations,
    shutdown: CancellationToken,
}

/// One open stream. It holds the stream's slot.
#[derive(Debug)]
pub struct TenantStream {
    tenants: Tenants,
    tenant: TenantId,
    /// Whether the caller's access comes from the tenant or from one above it, and goes with it.
    own: bool,
    lineage: Vec<(TenantId, bool)>,
    life: StreamLife,
}

impl TenantStreams {
    /// Streams of these tenants, which a revocation or the end of the process ends.
    #[must_use]
    pub const fn new(
        tenants: Tenants,
        revocations: Revocations,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            tenants,
            revocations,
            shutdown,
        }
    }

    /// Opens a stream of a tenant's, where there is a slot for it.
    ///
    /// # Errors
    /// OVERLOADED without a slot; as [`Tenants::find`].
    pub async fn open(
        &self,
        ctx: &RequestContext,
        tenant: &TenantEntry,
        slots: &StreamSlots,
    ) -> Result<TenantStream, Refusal> {
        let life = StreamLife::new(ctx, slots.take(ctx)?, self.shutdown.clone());
        let lineage = lineage(&self.tenants, tenant).await?;
        let above = lineage.iter().map(|entry| entry.id).collect();
        Ok(TenantStream {
            tenants: self.tenants.clone(),
            tenant: tenant.id,
            own: !ctx.is_operator(),
            lineage: states(&lineage),
            life: life.until_revoked(self.revocations.watch(ctx, above).await),
        })
    }
}

impl TenantStream {
    /// Runs until all is told, or the stream must end, whether its client reads or not.
    ///
    /// # Errors
    /// Why it stopped before all was told.
    pub async fn run<T>(
        &self,
        telling: impl Future<Output = Result<T, Stop>> + Send,
    ) -> Result<T, Stop> {
        tokio::select! {
            told = telling => told,
            refusal = self.life.ended() => Err(Stop::Ended(refusal)),
            refusal = self.out_of_use() => Err(Stop::Ended(refusal)),
        }
    }

    /// Resolves where the tenant, or one above it, went out of use or moved, or nobody can say.
    async fn out_of_use(&self) -> Refusal {
        if !self.own {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            match self.is_in_use().await {
                Ok(true) => {}
                Ok(false) => return out_of_use(),
                Err(refusal) => return refusal,
            }
        }
    }

    async fn is_in_use(&self) -> Result<bool, Refusal> {
        let name = TenantRef::Id(self.tenant);
        let Some(entry) = self.tenants.remembered("", &name) else {
            // Purged, or nobody can say for longer than the grace.
            return Ok(false);
        };
        let now = states(&lineage(&self.tenants, &entry).await?);
        let mut both = now.iter().zip(&self.lineage);
        Ok(now.len() == self.lineage.len()
            && both.all(|(now, then)| now.0 == then.0 && (now.1 || !then.1)))
    }
}

/// A tenant and all above it.
async fn lineage(tenants: &Tenants, tenant: &TenantEntry) -> Result<Vec<TenantEntry>, Refusal> {
    let mut lineage = vec![tenant.clone()];
    lineage.extend(tenants.ancestors(tenant).await?);
    Ok(lineage)
}

/// Which tenants these are, and whether they are in use.
fn states(lineage: &[TenantEntry]) -> Vec<(TenantId, bool)> {
    let states = lineage.iter();
    states
        .map(|entry| (entry.id, TenantStatus::is_active(entry.status)))
        .collect()
}

fn out_of_use() -> Refusal {
    Refusal::new(
        Reason::StreamTenantStatus,
        "The tenant, or one above it, isn't in use any more or moved, which ends its streams. Reconnect if you still have access.",
    )
}
