//! How tenants are doing.

use std::sync::Arc;

use tenantry_core::Permission;
use tenantry_core::page::PageTokens;
use tenantry_proto::quota::v1 as wire;
use tenantry_proto::quota::v1::health_service_server::HealthService;
use tenantry_rpc::{answer, open};
use tonic::{Request, Response, Status};

use crate::app::App;
use crate::convert::health as convert;

#[derive(Debug)]
pub(crate) struct Healths(pub(crate) Arc<App>);

#[tonic::async_trait]
impl HealthService for Healths {
    async fn get_tenant_health(
        &self,
        request: Request<wire::GetTenantHealthRequest>,
    ) -> Result<Response<wire::TenantHealth>, Status> {
        answer(async {
            let call = open(request)?;
            let tenant = self
                .0
                .authorise(&call.ctx, &call.message.tenant, Permission::UsageRead);
            let health = self.0.health(&tenant.await?).await?;
            Ok(convert::health(health))
        })
        .await
    }

    async fn list_tenant_health(
        &self,
        request: Request<wire::ListTenantHealthRequest>,
    ) -> Result<Response<wire::ListTenantHealthResponse>, Status> {
        answer(async {
            let call = open(request)?;
            call.ctx.require(Permission::PlatformContentAccess)?;
            let bound = [call.message.project.clone(), call.message.status.clone()];
            let bound = [bound[0].as_str(), bound[1].as_str()];
            let tokens = PageTokens::new(self.0.sealer(), &call.ctx.method, &bound);
            let page = convert::page(call.message)?;
            let page = self.0.health_of_all(&call.ctx, &page, &tokens).await?;
            Ok(wire::ListTenantHealthResponse {
                tenants: page.items.into_iter().map(convert::health).collect(),
                next_page_token: page.next_page_token,
            })
        })
        .await
    }

    async fn get_tenant_metrics(
        &self,
        request: Request<wire::GetTenantMetricsRequest>,
    ) -> Result<Response<wire::TenantMetrics>, Status> {
        answer(async {
            let call = open(request)?;
            let (ctx, message) = (&call.ctx, &call.message);
            let tenant = self
                .0
                .authorise(ctx, &message.tenant, Permission::UsageRead);
            let tenant = tenant.await?;
            let month = self.0.month(&tenant, &message.period).await?;
            Ok(convert::month(tenant.id, month))
        })
        .await
    }

    async fn get_platform_metrics(
        &self,
        request: Request<wire::GetPlatformMetricsRequest>,
    ) -> Result<Response<wire::PlatformMetrics>, Status> {
        answer(async {
            let call = open(request)?;
            call.ctx.require(Permission::PlatformTenantsManage)?;
            let totals = self.0.platform_totals().await?;
            Ok(convert::totals(totals))
        })
        .await
    }
}
