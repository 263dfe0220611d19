//! A stand-in for quota, for the tests of one service: it counts what that service keeps, within a limit that a test says. What needs
//! the real one is tested with a whole fleet.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use tenantry_core::{Reason, Refusal, TenantId};
use tenantry_proto::internal::quota::v1::hold_service_server::{HoldService, HoldServiceServer};
use tenantry_proto::internal::quota::v1::{
    ConfirmRequest, ConfirmResponse, HoldRequest, HoldResponse, ReleaseRequest, ReleaseResponse,
};
use tenantry_rpc::Tasks;
use tenantry_rpc::status::status;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// What is so of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Item {
    Counted,
    Released,
}

#[derive(Debug, Default)]
struct State {
    silent: bool,
    /// Most items of each tenant and resource type.
    limit: Option<usize>,
    items: HashMap<(String, String), HashMap<String, Item>>,
}

impl State {
    fn counted(&self, tenant: &str, resource_type: &str) -> usize {
        let of = (tenant.to_owned(), resource_type.to_owned());
        let items = self.items.get(&of).into_iter().flatten();
        items.filter(|(_, item)| **item == Item::Counted).count()
    }

    fn set(&mut self, tenant: &str, resource_type: &str, item: &str, becomes: Item) {
        let of = (tenant.to_owned(), resource_type.to_owned());
        let items = self.items.entry(of).or_default();
        let item = items.entry(item.to_owned()).or_insert(becomes);
        if becomes == Item::Released {
            *item = becomes;
        }
    }
}

/// What is counted. It ends with the process.
#[derive(Clone, Debug)]
pub struct QuotaDouble {
    state: Arc<Mutex<State>>,
    address: String,
}

impl QuotaDouble {
    /// Starts one that admits whatever is asked for.
    ///
    /// # Errors
    /// When it can't listen.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let quota = Self {
            state: Arc::default(),
            address: format!("http://{}", listener.local_addr()?),
        };
        let serving = tonic::transport::Server::builder()
            .add_service(HoldServiceServer::new(quota.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        Tasks::new().spawn("quota", async move {
            let _ = serving.await;
        });
        Ok(quota)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Admits no more than so many of each tenant and resource type from now on.
    pub fn limit(&self, limit: usize) {
        self.with(|state| state.limit = Some(limit));
    }

    /// Has no answer from now on, or has one again.
    pub fn be_silent(&self, silent: bool) {
        self.with(|state| state.silent = silent);
    }

    /// How many items of this resource type the tenant has.
    #[must_use]
    pub fn counted(&self, tenant: TenantId, resource_type: &str) -> usize {
        self.with(|state| state.counted(&tenant.to_string(), resource_type))
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state)
    }

    fn answer<T>(
        &self,
        answer: impl FnOnce(&mut State) -> Result<T, Refusal>,
    ) -> Result<Response<T>, Status> {
        self.with(|state| {
            if state.silent {
                return Err(status(Refusal::unavailable()));
            }
            answer(state).map(Response::new).map_err(status)
        })
    }
}

#[tonic::async_trait]
impl HoldService for QuotaDouble {
    async fn hold(&self, request: Request<HoldRequest>) -> Result<Response<HoldResponse>, Status> {
        let asked = request.into_inner();
        self.answer(|state| {
            let (tenant, of) = (&asked.tenant_id, &asked.resource_type);
            let mut held = Vec::new();
            for item in asked.items {
                let counted = state.counted(tenant, of);
                if state.limit.is_none_or(|limit| counted < limit) {
                    state.set(tenant, of, &item, Item::Counted);
                    held.push(item);
                }
            }
            if held.is_empty() {
                let limit = state.limit.unwrap_or_default().to_string();
                let full = Refusal::new(Reason::QuotaExceeded, "No more fits.");
                return Err(full.with("resource_type", of.clone()).with("limit", limit));
            }
            Ok(HoldResponse { held })
        })
    }

    async fn confirm(
        &self,
        request: Request<ConfirmRequest>,
    ) -> Result<Response<ConfirmResponse>, Status> {
        let told = request.into_inner();
        self.answer(|state| {
            for item in &told.items {
                state.set(&told.tenant_id, &told.resource_type, item, Item::Counted);
            }
            Ok(ConfirmResponse {})
        })
    }

    async fn release(
        &self,
        request: Request<ReleaseRequest>,
    ) -> Result<Response<ReleaseResponse>, Status> {
        let told = request.into_inner();
        self.answer(|state| {
            for item in &told.items {
                state.set(&told.tenant_id, &told.resource_type, item, Item::Released);
            }
            Ok(ReleaseResponse {})
        })
    }
}
