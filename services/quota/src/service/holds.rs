//! Holds of other services of the fleet.

use std::sync::Arc;

use tenantry_proto::internal::quota::v1 as wire;
use tenantry_proto::internal::quota::v1::hold_service_server::HoldService;
use tenantry_rpc::convert::tenant_id;
use tenantry_rpc::{answer, open};
use tonic::{Request, Response, Status};

use crate::app::App;
use crate::convert::hold as convert;

#[derive(Debug)]
pub(crate) struct Holds(pub(crate) Arc<App>);

#[tonic::async_trait]
impl HoldService for Holds {
    async fn hold(
        &self,
        request: Request<wire::HoldRequest>,
    ) -> Result<Response<wire::HoldResponse>, Status> {
        answer(async {
            let call = open(request)?;
            let (ctx, message) = (&call.ctx, call.message);
            let tenant = tenant_id(&message.tenant_id)?;
            let ttl = convert::ttl(message.ttl_ms)?;
            let items = convert::items(ctx, message.resource_type, &message.items)?;
            let held = self.0.hold_items(ctx, tenant, &items, ttl).await?;
            Ok(wire::HoldResponse {
                held: held.iter().map(ToString::to_string).collect(),
            })
        })
        .await
    }

    async fn confirm(
        &self,
        request: Request<wire::ConfirmRequest>,
    ) -> Result<Response<wire::ConfirmResponse>, Status> {
        answer(async {
            let call = open(request)?;
            let (ctx, message) = (&call.ctx, call.message);
            let tenant = tenant_id(&message.tenant_id)?;
            let items = convert::items(ctx, message.resource_type, &message.items)?;
            self.0.confirm_items(ctx, tenant, &items).await?;
            Ok(wire::ConfirmResponse {})
        })
        .await
    }

    async fn release(
        &self,
        request: Request<wire::ReleaseRequest>,
    ) -> Result<Response<wire::ReleaseResponse>, Status> {
        answer(async {
            let call = open(request)?;
            let (ctx, message) = (&call.ctx, call.message);
            let tenant = tenant_id(&message.tenant_id)?;
            let items = convert::items(ctx, message.resource_type, &message.items)?;
            self.0.release_items(ctx, tenant, &items).await?;
            Ok(wire::ReleaseResponse {})
        })
        .await
    }
}
