//! What every service answers registry about all that it keeps of one tenant, in one form.

use std::sync::Arc;

use tenantry_core::{Refusal, TenantId};
use tenantry_proto::internal::data::v1 as wire;
use tenantry_proto::internal::data::v1::tenant_data_service_server::{
    TenantDataService, TenantDataServiceServer,
};
use tonic::{Request, Response, Status};

use crate::call::{answer, open};
use crate::convert::tenant_id;

/// What a service keeps of tenants.
pub trait TenantData: Send + Sync + 'static {
    /// How much there is of each kind that it keeps.
    fn count(
        &self,
        tenant: TenantId,
    ) -> impl Future<Output = Result<Vec<(&'static str, i64)>, Refusal>> + Send;

    /// Closes the tenant and removes what there is, for a bounded time; whether nothing is left. To ask again is harmless.
    fn purge(&self, tenant: TenantId) -> impl Future<Output = Result<bool, Refusal>> + Send;
}

/// The service over it.
#[must_use]
pub fn server<T: TenantData>(data: Arc<T>) -> TenantDataServiceServer<impl TenantDataService> {
    TenantDataServiceServer::new(Handler(data))
}

struct Handler<T>(Arc<T>);

#[tonic::async_trait]
impl<T: TenantData> TenantDataService for Handler<T> {
    async fn count(
        &self,
        request: Request<wire::CountRequest>,
    ) -> Result<Response<wire::CountResponse>, Status> {
        answer(async {
            let message = open(request)?.message;
            let counts = self.0.count(tenant_id(&message.tenant_id)?).await?;
            let counts = counts.into_iter().map(|(kind, count)| wire::KindCount {
                kind: kind.to_owned(),
                count,
            });
            Ok(wire::CountResponse {
                counts: counts.collect(),
            })
        })
        .await
    }

    async fn purge(
        &self,
        request: Request<wire::PurgeRequest>,
    ) -> Result<Response<wire::PurgeResponse>, Status> {
        answer(async {
            let message = open(request)?.message;
            let done = self.0.purge(tenant_id(&message.tenant_id)?).await?;
            Ok(wire::PurgeResponse { done })
        })
        .await
    }
}
