//! Open streams of a log: what they stand on, and what ends them.

use std::sync::Arc;
use std::time::Duration;

use tenantry_core::{Reason, Refusal, RequestContext, TenantId, TenantRef, TenantStatus};
use tenantry_rpc::stream::{StreamLife, StreamSlots};
use tenantry_rpc::tenants::TenantEntry;

use super::App;
use crate::error::Error;

/// How often it is looked whether the tenant of a stream is still in use.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Longest wait for a client to take the end of its stream.
pub(super) const END_WITHIN: Duration = Duration::from_secs(10);

/// Why a stream stopped.
pub(super) enum Stop {
    ClientGone,
    Ended(Refusal),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Ended(error.into())
    }
}

/// One open stream. It holds the stream's slot.
pub(super) struct Open {
    app: Arc<App>,
    tenant: TenantId,
    /// Whether the caller's access comes from the tenant or from one above it, and goes with it.
    own: bool,
    lineage: Vec<(TenantId, bool)>,
    life: StreamLife,
}

impl App {
    /// Opens a stream of a tenant's log, where there is a slot for it.
    pub(super) async fn open_stream(
        self: &Arc<Self>,
        ctx: &RequestContext,
        tenant: &TenantEntry,
        slots: &StreamSlots,
    ) -> Result<Open, Error> {
        let life = StreamLife::new(ctx, slots.take(ctx)?, self.tasks.token());
        let lineage = self.lineage(tenant).await?;
        let above = lineage.iter().map(|entry| entry.id).collect();
        Ok(Open {
            app: Arc::clone(self),
            tenant: tenant.id,
            own: !ctx.is_operator(),
            lineage: states(&lineage),
            life: life.until_revoked(self.revocations.watch(ctx, above).await),
        })
    }

    /// A tenant and all above it.
    async fn lineage(&self, tenant: &TenantEntry) -> Result<Vec<TenantEntry>, Error> {
        let mut lineage = vec![tenant.clone()];
        lineage.extend(self.tenants.ancestors(tenant).await?);
        Ok(lineage)
    }
}

impl Open {
    /// Runs until all is told, or the stream must end, whether its client reads or not.
    pub(super) async fn run<T>(
        &self,
        telling: impl Future<Output = Result<T, Stop>>,
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
                Err(error) => return error.into(),
            }
        }
    }

    async fn is_in_use(&self) -> Result<bool, Error> {
        let name = TenantRef::Id(self.tenant);
        let Some(entry) = self.app.tenants.remembered("", &name) else {
            // Purged, or nobody can say for longer than the grace.
            return Ok(false);
        };
        let now = states(&self.app.lineage(&entry).await?);
        let mut both = now.iter().zip(&self.lineage);
        Ok(now.len() == self.lineage.len()
            && both.all(|(now, then)| now.0 == then.0 && (now.1 || !then.1)))
    }
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
