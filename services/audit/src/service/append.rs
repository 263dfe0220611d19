//! Appending, for the fleet's own services: each in its own name.

use std::collections::HashSet;
use std::sync::Arc;

use tenantry_core::{Reason, Refusal, RequestContext};
use tenantry_proto::internal::audit::v1 as wire;
use tenantry_proto::internal::audit::v1::append_service_server::AppendService;
use tenantry_rpc::convert::instant;
use tenantry_rpc::{answer, open};
use tonic::{Request, Response, Status};

use crate::app::App;
use crate::app::append::{Outcome, Pushed, Told};

/// Most events of one batch.
const MAX_EVENTS: usize = 10_000;

#[derive(Debug)]
pub(crate) struct Append(pub(crate) Arc<App>);

#[tonic::async_trait]
impl AppendService for Append {
    async fn append(
        &self,
        request: Request<wire::AppendRequest>,
    ) -> Result<Response<wire::AppendResponse>, Status> {
        answer(async {
            let call = open(request)?;
            let source = source(&call.ctx)?;
            let streams = streams(call.message.streams)?;
            let answers = self.0.append(&source, streams).await?;
            let outcomes =
                answers
                    .into_iter()
                    .map(|(tenant, outcome, expected_n)| wire::StreamOutcome {
                        tenant_id: tenant.to_string(),
                        outcome: name(outcome).to_owned(),
                        expected_n,
                    });
            Ok(wire::AppendResponse {
                outcomes: outcomes.collect(),
            })
        })
        .await
    }
}

const fn name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Taken => "taken",
        Outcome::Gap => "gap",
        Outcome::Stopped => "stopped",
    }
}

/// The service that appends: whose key signed the assertion, whatever that says otherwise.
fn source(ctx: &RequestContext) -> Result<String, Refusal> {
    if ctx.service.is_empty() {
        return Err(Refusal::new(
            Reason::InternalMethod,
            "Services append in their own names. The product's own record with AuditEventService/RecordEvents.",
        ));
    }
    Ok(ctx.service.clone())
}

fn streams(streams: Vec<wire::SourceStream>) -> Result<Vec<Pushed>, Refusal> {
    if streams
        .iter()
        .map(|stream| stream.events.len())
        .sum::<usize>()
        > MAX_EVENTS
    {
        return Err(Refusal::field(
            "streams",
            format!("must hold at most {MAX_EVENTS} events"),
        ));
    }
    let mut tenants = HashSet::new();
    let mut pushed: Vec<Pushed> = Vec::with_capacity(streams.len());
    for stream in streams {
        let tenant = stream.tenant_id.parse();
        let tenant = tenant.map_err(|_| {
            Refusal::field(
                "streams.tenant_id",
                "must be the id of a tenant, nil for none",
            )
        })?;
        if stream.first_n < 1 {
            return Err(Refusal::field("streams.first_n", "must be at least 1"));
        }
        if stream.events.is_empty() {
            return Err(Refusal::field("streams.events", "must not be empty"));
        }
        if !tenants.insert(tenant) {
            return Err(Refusal::field(
                "streams",
                "must hold one stream of a tenant",
            ));
        }
        let told = stream.events.into_iter().map(|event| {
            Ok(Told {
                at: instant("streams.events.at", &event.at.unwrap_or_default())?,
                bytes: event.event,
            })
        });
        pushed.push(Pushed {
            tenant,
            first_n: stream.first_n,
            events: told.collect::<Result<_, Refusal>>()?,
        });
    }
    Ok(pushed)
}
