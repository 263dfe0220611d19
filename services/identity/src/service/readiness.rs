//! ReadinessService: whether the fleet behind the gateway can serve.

use std::sync::Arc;

use prost::Message as _;
use tenantry_core::{Reason, Refusal};
use tenantry_proto::google::rpc;
use tenantry_proto::identity::v1::readiness_service_server::ReadinessService;
use tenantry_proto::identity::v1::{GetReadinessRequest, Readiness, ServiceReadiness};
use tonic::{Request, Response, Status};

use crate::app::App;
use crate::app::readiness::State;

const TYPE_URL: &str = "type.googleapis.com/tenantry.identity.v1.Readiness";

/// The handlers.
#[derive(Clone, Debug)]
pub(crate) struct Ready(pub(crate) Arc<App>);

#[tonic::async_trait]
impl ReadinessService for Ready {
    async fn get_readiness(
        &self,
        _request: Request<GetReadinessRequest>,
    ) -> Result<Response<Readiness>, Status> {
        let states = self.0.readiness().await;
        let ready = states.iter().all(|(_, state)| *state == State::Ready);
        let readiness = Readiness {
            status: if ready { State::Ready } else { State::NotReady }
                .name()
                .to_owned(),
            services: states
                .into_iter()
                .map(|(name, state)| ServiceReadiness {
                    name: name.to_owned(),
                    status: state.name().to_owned(),
                })
                .collect(),
        };
        if ready {
            Ok(Response::new(readiness))
        } else {
            Err(not_ready(&readiness))
        }
    }
}

/// UNAVAILABLE, with the message among the details.
fn not_ready(readiness: &Readiness) -> Status {
    let down: Vec<_> = readiness
        .services
        .iter()
        .filter(|service| service.status != State::Ready.name())
        .map(|service| service.name.as_str())
        .collect();
    let mut refusal = Refusal::new(
        Reason::Unavailable,
        format!(
            "No replica is ready of: {}. Its log says why.",
            down.join(", ")
        ),
    );
    refusal.retry_after_ms = Some(1000);
    let status = tenantry_rpc::status(refusal);
    let mut whole = rpc::Status::decode(status.details()).unwrap_or_default();
    whole.details.push(prost_types::Any {
        type_url: TYPE_URL.to_owned(),
        value: readiness.encode_to_vec(),
    });
    Status::with_details_and_metadata(
        status.code(),
        status.message(),
        whole.encode_to_vec().into(),
        status.metadata().clone(),
    )
}
