//! Events of usage.

use std::sync::Arc;

use tenantry_core::{Permission, Refusal};
use tenantry_proto::quota::v1 as wire;
use tenantry_proto::quota::v1::usage_event_service_server::UsageEventService;
use tenantry_rpc::{answer, open};
use tonic::{Request, Response, Status, Streaming};

use super::streams::{self, Answers, OfTenant, Whose};
use crate::app::{App, Bounds};
use crate::convert::{decision, usage_event as convert};

#[derive(Debug)]
pub(crate) struct UsageEvents(pub(crate) Arc<App>);

/// What a stream has under way: each batch may be of ten thousand events.
const STREAMED: Bounds = Bounds {
    at_once: 4,
    ahead: 16,
};

impl OfTenant for wire::StreamUsageEventsRequest {
    fn tenant(&self) -> &str {
        &self.tenant
    }
}

/// Takes down one batch of a stream.
async fn streamed(
    whose: Arc<Whose>,
    message: wire::StreamUsageEventsRequest,
) -> wire::StreamUsageEventsResponse {
    let Whose {
        app, ctx, tenant, ..
    } = &*whose;
    let recorded = async {
        whose.check(&message.tenant)?;
        let events = convert::events(ctx, message.events)?;
        let recorded = app.record_events(tenant, &events.told).await?;
        Ok::<_, Refusal>(convert::recorded(events.refused, recorded))
    };
    let answer = wire::StreamUsageEventsResponse {
        sequence: message.sequence,
        ..Default::default()
    };
    match recorded.await {
        Ok(recorded) => wire::StreamUsageEventsResponse {
            recorded: Some(recorded),
            ..answer
        },
        Err(refusal) => wire::StreamUsageEventsResponse {
            reason: refusal.reason.word().to_owned(),
            message: refusal.message,
            ..answer
        },
    }
}

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

    type StreamUsageEventsStream = Answers<wire::StreamUsageEventsResponse>;

    async fn stream_usage_events(
        &self,
        request: Request<Streaming<wire::StreamUsageEventsRequest>>,
    ) -> Result<Response<Self::StreamUsageEventsStream>, Status> {
        answer(streams::serve(&self.0, request, STREAMED, streamed)).await
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
