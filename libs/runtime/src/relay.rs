//! The log as the relay reaches it: audit's replicas, by gRPC.

use std::time::Duration;

use prost_types::Timestamp;
use tenantry_core::TenantId;
use tenantry_proto::internal::audit::v1::append_service_client::AppendServiceClient;
use tenantry_proto::internal::audit::v1::{
    AppendRequest, AppendResponse, SourceEvent, SourceStream, StreamOutcome,
};
use tenantry_rpc::client::Replicas;
use tenantry_rpc::convert::timestamp;
use tenantry_store::relay::{Log, Outgoing, Stream, Taken};

use crate::Runtime;

/// Longest wait for a batch to be taken.
const APPEND_WITHIN: Duration = Duration::from_secs(20);
/// Name of the service that keeps the log.
pub(crate) const AUDIT: &str = "audit";

/// Audit, to append to.
#[derive(Debug)]
struct Audit(Replicas);

/// Hands this service's events to audit until the process ends.
pub(crate) fn start(runtime: &Runtime) {
    let audit = Audit(runtime.audit.clone());
    let relay = tenantry_store::relay::run(runtime.store.clone(), audit, runtime.tasks.token());
    runtime.tasks.keep("relay", relay);
}

impl Log for Audit {
    async fn append(&self, streams: Vec<Stream>) -> Result<Vec<(TenantId, Taken)>, String> {
        let request = AppendRequest {
            streams: streams.into_iter().map(stream).collect(),
            request_id: String::new(),
        };
        let appended = self.0.call(APPEND_WITHIN, |channel| {
            let request = request.clone();
            async move {
                let mut audit = AppendServiceClient::new(channel);
                Ok(audit.append(request).await?.into_inner())
            }
        });
        let answer: AppendResponse = appended.await.map_err(|status| status.to_string())?;
        answer.outcomes.iter().map(taken).collect()
    }
}

fn stream(stream: Stream) -> SourceStream {
    SourceStream {
        tenant_id: stream.tenant.to_string(),
        first_n: stream.events.first().map_or(0, |event| event.n),
        events: stream.events.into_iter().map(event).collect(),
    }
}

fn event(event: Outgoing) -> SourceEvent {
    let at: Timestamp = timestamp(event.at);
    SourceEvent {
        at: Some(at),
        event: event.event.into_bytes(),
    }
}

fn taken(outcome: &StreamOutcome) -> Result<(TenantId, Taken), String> {
    let tenant = outcome.tenant_id.parse();
    let tenant = tenant.map_err(|_| format!("{:?} is no tenant", outcome.tenant_id))?;
    let taken = match outcome.outcome.as_str() {
        "taken" => Taken::All,
        "gap" => Taken::From(outcome.expected_n),
        "stopped" => Taken::Nothing,
        other => return Err(format!("{other:?} is no outcome")),
    };
    Ok((tenant, taken))
}
