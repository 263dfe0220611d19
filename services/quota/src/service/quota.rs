//! Decisions.

use std::sync::Arc;

use tenantry_core::Permission;
use tenantry_proto::quota::v1 as wire;
use tenantry_proto::quota::v1::quota_service_server::QuotaService;
use tenantry_rpc::{answer, open};
use tonic::{Request, Response, Status};

use crate::app::App;
use crate::convert;

#[derive(Debug)]
pub(crate) struct Quotas(pub(crate) Arc<App>);

#[tonic::async_trait]
impl QuotaService for Quotas {
    async fn check_quota(
        &self,
        request: Request<wire::CheckQuotaRequest>,
    ) -> Result<Response<wire::QuotaDecision>, Status> {
        answer(async {
            let call = open(request)?;
            let (ctx, message) = (&call.ctx, &call.message);
            let tenant = self
                .0
                .authorise(ctx, &message.tenant, Permission::UsageRead);
            let tenant = tenant.await?;
            let amount = convert::asked(&message.resource_type, message.amount)?;
            let standing = self.0.check(&tenant, &message.resource_type).await?;
            let allowed = standing.admits(amount);
            Ok(convert::decision(&message.resource_type, allowed, standing))
        })
        .await
    }

    async fn consume_quota(
        &self,
        request: Request<wire::ConsumeQuotaRequest>,
    ) -> Result<Response<wire::QuotaDecision>, Status> {
        answer(async {
            let mut call = open(request)?;
            let tenant = self
                .0
                .authorise(&call.ctx, &call.message.tenant, Permission::UsageRecord);
            let tenant = tenant.await?;
            let key = call.request_key(|message| &mut message.request_id)?;
            let consumption = convert::consumption(call.message)?;
            let used = self
                .0
                .consume(&call.ctx, key.as_ref(), &tenant, &consumption);
            Ok(convert::decision(
                &consumption.resource_type,
                true,
                used.await?,
            ))
        })
        .await
    }
}
