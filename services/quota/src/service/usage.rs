//! What was used.

use std::sync::Arc;

use tenantry_core::Permission;
use tenantry_core::filter::Filter;
use tenantry_core::page::PageTokens;
use tenantry_proto::quota::v1 as wire;
use tenantry_proto::quota::v1::usage_service_server::UsageService;
use tenantry_rpc::export::{Parts, on_the_wire};
use tenantry_rpc::{answer, open};
use tonic::{Request, Response, Status};

use crate::app::App;
use crate::convert;
use crate::convert::usage;
use crate::domain::export::CONTENT_TYPE;

#[derive(Debug)]
pub(crate) struct Usages(pub(crate) Arc<App>);

#[tonic::async_trait]
impl UsageService for Usages {
    async fn list_usage_logs(
        &self,
        request: Request<wire::ListUsageLogsRequest>,
    ) -> Result<Response<wire::ListUsageLogsResponse>, Status> {
        answer(async {
            let call = open(request)?;
            let (ctx, message) = (&call.ctx, &call.message);
            let tenant = self
                .0
                .authorise(ctx, &message.tenant, Permission::UsageRead);
            let tenant = tenant.await?.id;
            let bound = [&tenant.to_string(), message.filter.as_str()];
            let tokens = PageTokens::new(self.0.sealer(), &ctx.method, &bound);
            let query = usage::query(message, tokens.read(&message.page_token)?)?;
            let page = self.0.usage_logs(tenant, &query, &tokens).await?;
            Ok(wire::ListUsageLogsResponse {
                usage_logs: page.items.into_iter().map(usage::usage_log).collect(),
                next_page_token: page.next_page_token,
            })
        })
        .await
    }

    type ExportUsageStream = Parts;

    async fn export_usage(
        &self,
        request: Request<wire::ExportUsageRequest>,
    ) -> Result<Response<Parts>, Status> {
        answer(async {
            let call = open(request)?;
            let (ctx, message) = (&call.ctx, &call.message);
            let tenant = self
                .0
                .authorise(ctx, &message.tenant, Permission::UsageRead);
            let tenant = tenant.await?;
            let filter = Filter::parse(&message.filter)?;
            let parts = self.0.export_usage(ctx, &tenant, filter).await?;
            Ok(on_the_wire(parts, CONTENT_TYPE))
        })
        .await
    }

    async fn get_usage_series(
        &self,
        request: Request<wire::GetUsageSeriesRequest>,
    ) -> Result<Response<wire::UsageSeries>, Status> {
        answer(async {
            let call = open(request)?;
            let tenant = self
                .0
                .authorise(&call.ctx, &call.message.tenant, Permission::UsageRead);
            let tenant = tenant.await?;
            let asked = usage::asked_series(call.message)?;
            let series = self.0.usage_series(&tenant, &asked).await?;
            Ok(usage::series(asked, series))
        })
        .await
    }

    async fn get_usage(
        &self,
        request: Request<wire::GetUsageRequest>,
    ) -> Result<Response<wire::Usage>, Status> {
        answer(async {
            let call = open(request)?;
            let tenant = self
                .0
                .authorise(&call.ctx, &call.message.tenant, Permission::UsageRead);
            let present = self.0.present_use(&tenant.await?).await?;
            Ok(usage::present(present))
        })
        .await
    }

    async fn forecast_usage(
        &self,
        request: Request<wire::ForecastUsageRequest>,
    ) -> Result<Response<wire::UsageForecast>, Status> {
        answer(async {
            let call = open(request)?;
            let (ctx, message) = (&call.ctx, call.message);
            let tenant = self
                .0
                .authorise(ctx, &message.tenant, Permission::UsageRead);
            let tenant = tenant.await?;
            convert::resource_type(&message.resource_type)?;
            let forecast = self.0.forecast(&tenant, &message.resource_type).await?;
            Ok(usage::forecast(message.resource_type, forecast))
        })
        .await
    }
}
