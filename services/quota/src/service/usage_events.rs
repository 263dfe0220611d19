//! Events of usage.

use std::sync::Arc;

use tenantry_core::Permission;
use tenantry_proto::quota::v1 as wire;
use tenantry_proto::quota::v1::usage_event_service_server::UsageEventService;
use tenantry_rpc::{answer, open};
use tonic::{Request, Response, Status};

use crate::app::App;
use crate::convert::{decision, usage_event as convert};

#[derive(Debug)]
pub(crate) struct UsageEvents(pub(crate) Arc<App>);

#[tonic::async_trait]
impl UsageEventService for UsageEvents {
    async fn record_usage_events(
        &self,
        request: Request<wire::RecordUsageEventsRequest>,
    ) -> Result<Response<wire::RecordUsageEventsResponse>, Status> {
        answer(async {
            let mut call = open(request)?;
            let tenant = self
                .0
                .authorise(&call.ctx, &call.message.tenant, Permission::UsageRecord);
            let tenant = tenant.await?;
            call.request_key(|message| &mut message.request_id)?;
            let events = convert::events(&call.ctx, call.message.events)?;
            let recorded = self.0.record_events(&tenant, &events.told).await?;
            Ok(convert::recorded(events.refused, recorded))
        })
        .await
    }

    async fn record_cloud_events(
        &self,
        request: Request<wire::RecordCloudEventsRequest>,
    ) -> Result<Response<wire::RecordUsageEventsResponse>, Status> {
        answer(async {
            let metadata = request.metadata().clone();
            let mut call = open(request)?;
            let tenant = self
                .0
                .authorise(&call.ctx, &call.message.tenant, Permission::UsageRecord);
            let tenant = tenant.await?;
            call.request_key(|message| &mut message.request_id)?;
            let events = convert::cloud_events(&call.ctx, &metadata, call.message.body)?;
            let recorded = self.0.record_events(&tenant, &events.told).await?;
            Ok(convert::recorded(events.refused, recorded))
        })
        .await
    }

    async fn correct_usage(
        &self,
        request: Request<wire::CorrectUsageRequest>,
    ) -> Result<Response<wire::QuotaDecision>, Status> {
        answer(async {
            let mut call = open(request)?;
            let tenant = self.0.authorise_management(&call.ctx, &call.message.tenant);
            let tenant = tenant.await?;
            let key = call.request_key(|message| &mut message.request_id)?;
            let correction = convert::correction(call.message)?;
            let corrected = self
                .0
                .correct(&call.ctx, key.as_ref(), &tenant, &correction);
            Ok(decision(corrected.await?))
        })
        .await
    }
}
