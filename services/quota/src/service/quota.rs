//! Decisions.

use std::sync::Arc;

use futures::{StreamExt as _, stream};
use tenantry_core::{Permission, Refusal};
use tenantry_proto::quota::v1 as wire;
use tenantry_proto::quota::v1::quota_service_server::QuotaService;
use tenantry_rpc::{answer, open};
use tonic::{Request, Response, Status, Streaming};

use super::streams::{self, Answers, OfTenant, Whose};
use crate::app::{App, Bounds};
use crate::convert;

/// How many uses of a batch are under way at once.
const BATCH_AT_ONCE: usize = 64;
/// And what a stream has under way.
const STREAMED: Bounds = Bounds {
    at_once: 64,
    ahead: 1_000,
};

#[derive(Debug)]
pub(crate) struct Quotas(pub(crate) Arc<App>);

impl OfTenant for wire::StreamConsumeQuotaRequest {
    fn tenant(&self) -> &str {
        &self.tenant
    }
}

/// Decides one use of a stream.
async fn streamed(
    whose: Arc<Whose>,
    message: wire::StreamConsumeQuotaRequest,
) -> wire::StreamConsumeQuotaResponse {
    let Whose {
        app, ctx, tenant, ..
    } = &*whose;
    let (sequence, used) = (message.sequence, message.r#use.unwrap_or_default());
    let same = whose.check(&message.tenant).and(whose.check(&used.tenant));
    let one = convert::one_use(ctx, "", used);
    let result = match same.and(one.parsed) {
        Ok((key, consumption)) => {
            let used = app.consume(ctx, key.as_ref(), tenant, &consumption);
            used.await.map_err(Refusal::from)
        }
        Err(refusal) => Err(refusal),
    };
    wire::StreamConsumeQuotaResponse {
        sequence,
        result: Some(convert::result(one.request_id, result)),
    }
}

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
            let amounts = vec![(message.resource_type.clone(), amount)];
            Ok(convert::decision(
                self.0.check_all(&tenant, &amounts).await?,
            ))
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
            Ok(convert::decision(used.await?))
        })
        .await
    }

    async fn batch_consume_quota(
        &self,
        request: Request<wire::BatchConsumeQuotaRequest>,
    ) -> Result<Response<wire::BatchConsumeQuotaResponse>, Status> {
        answer(async {
            let mut call = open(request)?;
            let tenant = self
                .0
                .authorise(&call.ctx, &call.message.tenant, Permission::UsageRecord);
            let tenant = tenant.await?;
            let key = call.request_key(|message| &mut message.request_id)?;
            let uses = convert::uses(&call.ctx, key.as_ref(), call.message)?;
            let (ctx, tenant) = (&call.ctx, &tenant);
            let results = uses.into_iter().map(|one| async move {
                let (key, consumption) = match one.parsed {
                    Ok(parsed) => parsed,
                    Err(refusal) => return convert::result(one.request_id, Err(refusal)),
                };
                let used = self.0.consume(ctx, key.as_ref(), tenant, &consumption);
                convert::result(one.request_id, used.await.map_err(Refusal::from))
            });
            let results = stream::iter(results).buffered(BATCH_AT_ONCE);
            Ok(wire::BatchConsumeQuotaResponse {
                results: results.collect().await,
            })
        })
        .await
    }

    type StreamConsumeQuotaStream = Answers<wire::StreamConsumeQuotaResponse>;

    async fn stream_consume_quota(
        &self,
        request: Request<Streaming<wire::StreamConsumeQuotaRequest>>,
    ) -> Result<Response<Self::StreamConsumeQuotaStream>, Status> {
        answer(streams::serve(&self.0, request, STREAMED, streamed)).await
    }

    async fn release_quota(
        &self,
        request: Request<wire::ReleaseQuotaRequest>,
    ) -> Result<Response<wire::QuotaDecision>, Status> {
        answer(async {
            let mut call = open(request)?;
            let tenant = self
                .0
                .authorise(&call.ctx, &call.message.tenant, Permission::UsageRecord);
            let tenant = tenant.await?;
            let key = call.request_key(|message| &mut message.request_id)?;
            let message = &call.message;
            let amount = convert::described(
                ("amount", Some(message.amount.unwrap_or(1))),
                (&message.resource_type, &message.description),
            )?;
            let what = (
                message.resource_type.as_str(),
                amount,
                message.description.as_str(),
            );
            let released = self.0.release(&call.ctx, key.as_ref(), &tenant, what);
            Ok(convert::decision(released.await?))
        })
        .await
    }

    async fn set_gauge(
        &self,
        request: Request<wire::SetGaugeRequest>,
    ) -> Result<Response<wire::QuotaDecision>, Status> {
        answer(async {
            let mut call = open(request)?;
            let tenant = self
                .0
                .authorise(&call.ctx, &call.message.tenant, Permission::UsageRecord);
            let tenant = tenant.await?;
            let key = call.request_key(|message| &mut message.request_id)?;
            let message = &call.message;
            let value = convert::described(
                ("value", message.value),
                (&message.resource_type, &message.description),
            )?;
            let what = (
                message.resource_type.as_str(),
                value,
                message.description.as_str(),
            );
            let set = self.0.set_gauge(&call.ctx, key.as_ref(), &tenant, what);
            Ok(convert::decision(set.await?))
        })
        .await
    }
}
