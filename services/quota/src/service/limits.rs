//! Limits.

use std::sync::Arc;

use tenantry_core::Permission;
use tenantry_proto::quota::v1 as wire;
use tenantry_proto::quota::v1::limit_service_server::LimitService;
use tenantry_rpc::{answer, open};
use tonic::{Request, Response, Status};

use crate::app::App;
use crate::convert;

#[derive(Debug)]
pub(crate) struct Limits(pub(crate) Arc<App>);

#[tonic::async_trait]
impl LimitService for Limits {
    async fn list_quotas(
        &self,
        request: Request<wire::ListQuotasRequest>,
    ) -> Result<Response<wire::ListQuotasResponse>, Status> {
        answer(async {
            let call = open(request)?;
            let (ctx, message) = (&call.ctx, &call.message);
            let tenant = self
                .0
                .authorise(ctx, &message.tenant, Permission::UsageRead);
            let quotas = self.0.quotas(&tenant.await?).await?;
            Ok(wire::ListQuotasResponse {
                quotas: quotas
                    .into_iter()
                    .map(|quota| convert::quota(ctx, quota))
                    .collect(),
            })
        })
        .await
    }

    async fn override_limit(
        &self,
        request: Request<wire::OverrideLimitRequest>,
    ) -> Result<Response<wire::Quota>, Status> {
        answer(async {
            let mut call = open(request)?;
            let tenant = self.0.authorise_management(&call.ctx, &call.message.tenant);
            let tenant = tenant.await?;
            let key = call.request_key(|message| &mut message.request_id)?;
            let new = convert::new_override(std::mem::take(&mut call.message))?;
            let quota = self.0.override_limit(&call.ctx, key.as_ref(), &tenant, new);
            Ok(convert::quota(&call.ctx, quota.await?))
        })
        .await
    }

    async fn reset_limit(
        &self,
        request: Request<wire::ResetLimitRequest>,
    ) -> Result<Response<wire::Quota>, Status> {
        answer(async {
            let mut call = open(request)?;
            let tenant = self.0.authorise_management(&call.ctx, &call.message.tenant);
            let tenant = tenant.await?;
            let key = call.request_key(|message| &mut message.request_id)?;
            let message = &call.message;
            convert::resource_type(&message.resource_type)?;
            let which = (message.resource_type.as_str(), message.force);
            let quota = self.0.reset_limit(&call.ctx, key.as_ref(), &tenant, which);
            Ok(convert::quota(&call.ctx, quota.await?))
        })
        .await
    }
}
