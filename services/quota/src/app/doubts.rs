//! Holds of other services that nobody told the end of: whoever held them may have died before it wrote anything down, or behind that.
//! Their time alone ends none of them; the service that keeps what they are for is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use tenantry_core::{Permissions, RequestContext, ReservationId, TenantId};
use tenantry_proto::internal::identity::v1::SettleSeatsRequest;
use tenantry_proto::internal::identity::v1::seat_service_client::SeatServiceClient;
use tenantry_rpc::contained;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::holding::Items;
use super::{App, OWN};
use crate::error::Error;
use crate::store::holds;

/// How often it is looked for those whose time has passed.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// After how long one that nobody answered for is asked about again.
const ASK_AGAIN_AFTER: SignedDuration = SignedDuration::from_secs(5);
/// Longest wait for the answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// Most that one look takes up.
const AT_ONCE: i64 = 500;

impl App {
    /// Asks about holds whose time has passed until told to stop. One that nobody answers for stays held, is asked about again, and
    /// keeps no other waiting.
    pub(crate) async fn settle_doubts(self: Arc<Self>, stop: CancellationToken) {
        loop {
            if let Err(error) = self.settle_some_doubts().await {
                tracing::warn!(error = %error, "holds can't be looked at; trying again");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    async fn settle_some_doubts(&self) -> Result<(), Error> {
        let mut tx = self.store.platform().await?;
        let doubtful = holds::take(tx.conn(), ASK_AGAIN_AFTER, AT_ONCE).await?;
        tx.commit().await?;
        let mut asked: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for one in doubtful {
            let of = (one.tenant, one.owner, one.resource_type);
            asked.entry(of).or_default().push(one.id);
        }
        let settled = asked.into_iter().map(|((tenant, owner, resource_type), ids)| async move {
            let items = Items { owner, resource_type, ids };
            let settled = contained("doubtful holds", self.settle_doubt(tenant, &items)).await;
            if let Some(Err(error)) = settled {
                tracing::warn!(tenant.id = %tenant, error = %error, "nobody says what became of a hold; asking again");
            }
        });
        futures::future::join_all(settled).await;
        Ok(())
    }

    async fn settle_doubt(&self, tenant: TenantId, items: &Items) -> Result<(), Error> {
        let taken = self.taken(tenant, items).await.map_err(|status| {
            let refusal = tenantry_rpc::status::refusal(&status);
            refusal.unwrap_or_else(tenantry_core::Refusal::unavailable)
        })?;
        let (there, gone) = items.ids.iter().partition(|id| taken.contains(id));
        let some = |ids: Vec<ReservationId>| Items {
            ids,
            ..items.clone()
        };
        let ctx = RequestContext::of_service(OWN, Permissions::NONE);
        self.confirm_items(&ctx, tenant, &some(there)).await?;
        self.release_items(&ctx, tenant, &some(gone)).await
    }

    /// Those that the service says are there. What isn't never will be.
    async fn taken(
        &self,
        tenant: TenantId,
        items: &Items,
    ) -> Result<BTreeSet<ReservationId>, Status> {
        let request = SettleSeatsRequest {
            tenant_id: tenant.to_string(),
            resource_type: items.resource_type.clone(),
            seats: items.ids.iter().map(ToString::to_string).collect(),
            request_id: String::new(),
        };
        let answer = self.identity.call(ANSWER_WITHIN, |channel| {
            let request = request.clone();
            async move {
                let mut identity = SeatServiceClient::new(channel);
                Ok(identity.settle_seats(request).await?.into_inner())
            }
        });
        let taken = answer.await?.taken.into_iter();
        let taken = taken.map(|id| id.parse().map_err(|_| Status::internal("no id")));
        taken.collect()
    }
}
