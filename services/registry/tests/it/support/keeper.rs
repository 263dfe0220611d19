//! A stand-in for identity, audit or quota: a service that keeps something of tenants, and lets go of it when the test says so.

use std::sync::{Arc, Mutex};

use tenantry_proto::internal::data::v1::tenant_data_service_server::{
    TenantDataService, TenantDataServiceServer,
};
use tenantry_proto::internal::data::v1::{
    CountRequest, CountResponse, KindCount, PurgeRequest, PurgeResponse,
};
use tenantry_rpc::Tasks;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// How many members each tenant has there.
pub(crate) const MEMBERS: i64 = 3;

/// The stand-in. It ends with the process.
#[derive(Clone, Debug)]
pub(crate) struct Keeper {
    state: Arc<Mutex<State>>,
    pub(crate) address: String,
}

#[derive(Debug, Default)]
struct State {
    down: bool,
    turns: u32,
    asked: Vec<String>,
}

impl Keeper {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let keeper = Self {
            state: Arc::default(),
            address: format!("http://{}", listener.local_addr().unwrap()),
        };
        let serving = tonic::transport::Server::builder()
            .add_service(TenantDataServiceServer::new(keeper.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        Tasks::new().spawn("keeper", async move { serving.await.unwrap() });
        keeper
    }

    /// From now on it answers nobody, or everybody again.
    pub(crate) fn set_down(&self, down: bool) {
        self.state.lock().unwrap().down = down;
    }

    /// So many further turns it has more to do.
    pub(crate) fn set_turns(&self, turns: u32) {
        self.state.lock().unwrap().turns = turns;
    }

    /// The tenants that it was told to purge, once for each turn.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.state.lock().unwrap().asked.clone()
    }

    fn up(&self) -> Result<std::sync::MutexGuard<'_, State>, Status> {
        let state = self.state.lock().unwrap();
        if state.down {
            return Err(Status::unavailable("down"));
        }
        Ok(state)
    }
}

#[tonic::async_trait]
impl TenantDataService for Keeper {
    async fn count(
        &self,
        _request: Request<CountRequest>,
    ) -> Result<Response<CountResponse>, Status> {
        drop(self.up()?);
        let members = KindCount {
            kind: "members".to_owned(),
            count: MEMBERS,
        };
        Ok(Response::new(CountResponse {
            counts: vec![members],
        }))
    }

    async fn purge(
        &self,
        request: Request<PurgeRequest>,
    ) -> Result<Response<PurgeResponse>, Status> {
        let mut state = self.up()?;
        state.asked.push(request.into_inner().tenant_id);
        let done = state.turns == 0;
        state.turns = state.turns.saturating_sub(1);
        Ok(Response::new(PurgeResponse { done }))
    }
}
