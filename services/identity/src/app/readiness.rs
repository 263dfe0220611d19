//! Whether each service of the fleet has a replica that is ready.

use std::time::Duration;

use futures::future::join_all;
use tenantry_rpc::client::Replicas;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::App;

/// Longest wait for one replica.
const TIMEOUT: Duration = Duration::from_millis(800);

/// The state of a service: that of its best replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    Unreachable,
    NotReady,
    Ready,
}

impl State {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::NotReady => "not_ready",
            Self::Ready => "ready",
        }
    }
}

impl App {
    /// The state of each service, by name.
    pub(crate) async fn readiness(&self) -> [(&'static str, State); 4] {
        let (audit, identity, quota, registry) = tokio::join!(
            state_of(&self.audit),
            self.own_state(),
            state_of(&self.quota),
            state_of(&self.registry)
        );
        [
            ("audit", audit),
            ("identity", identity),
            ("quota", quota),
            ("registry", registry),
        ]
    }

    /// This replica answers, so it is reachable; it is ready when it can admit requests.
    async fn own_state(&self) -> State {
        let store = tokio::time::timeout(TIMEOUT, self.store.ping()).await;
        if matches!(store, Ok(Ok(()))) && self.tenants.is_ready() {
            State::Ready
        } else {
            State::NotReady
        }
    }
}

async fn state_of(service: &Replicas) -> State {
    let states = join_all(service.channels().iter().cloned().map(ask)).await;
    states.into_iter().max().unwrap_or(State::Unreachable)
}

async fn ask(replica: Channel) -> State {
    let mut client = HealthClient::new(replica);
    let asked = client.check(HealthCheckRequest::default());
    match tokio::time::timeout(TIMEOUT, asked).await {
        Ok(Ok(answer)) if answer.get_ref().status == i32::from(ServingStatus::Serving) => {
            State::Ready
        }
        Ok(Ok(_)) => State::NotReady,
        Ok(Err(_)) | Err(_) => State::Unreachable,
    }
}
