//! A stand-in for registry, for the tests of one service: the tenants and plans that a test says, watched and looked up. What
//! needs the real one is tested with a whole fleet.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tenantry_core::TenantId;
use tenantry_proto::internal::registry::v1::follow_tenants_response::Item;
use tenantry_proto::internal::registry::v1::tenant_feed_service_server::{
    TenantFeedService, TenantFeedServiceServer,
};
use tenantry_proto::internal::registry::v1::{
    FeedBookmark, FollowTenantsRequest, FollowTenantsResponse, LookupTenantRequest, TenantEntry,
};
use tenantry_proto::registry::v1::Plan;
use tenantry_rpc::Tasks;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status};

/// How long a watch is silent at most.
const BOOKMARK_EVERY: Duration = Duration::from_millis(100);

/// What there is.
#[derive(Clone, Debug, Default)]
struct State {
    plans: Vec<Plan>,
    tenants: Vec<TenantEntry>,
}

/// The tenants and plans there are. It ends with the process.
#[derive(Clone, Debug)]
pub struct RegistryDouble {
    state: Arc<watch::Sender<State>>,
    address: String,
}

impl RegistryDouble {
    /// Starts one that knows these plans and no tenant.
    ///
    /// # Errors
    /// When it can't listen.
    pub async fn start(plans: Vec<Plan>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let tenants = Vec::new();
        let registry = Self {
            state: Arc::new(watch::Sender::new(State { plans, tenants })),
            address: format!("http://{}", listener.local_addr()?),
        };
        let serving = tonic::transport::Server::builder()
            .add_service(TenantFeedServiceServer::new(registry.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        Tasks::new().spawn("registry", async move {
            let _ = serving.await;
        });
        Ok(registry)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A new tenant on the first version of a plan, under an id of the test's own.
    pub fn add_as(&self, id: TenantId, slug: &str, plan: &str, parent: Option<TenantId>) {
        self.state.send_modify(|state| {
            state.tenants.push(TenantEntry {
                id: id.to_string(),
                project: "default".to_owned(),
                slug: slug.to_owned(),
                status: "active".to_owned(),
                plan: plan.to_owned(),
                plan_version: 1,
                parent_id: parent.map(|id| id.to_string()).unwrap_or_default(),
                version: 1,
                timezone: "UTC".to_owned(),
                ..Default::default()
            });
        });
    }

    /// A new tenant on the first version of a plan.
    pub fn add(&self, slug: &str, plan: &str, parent: Option<TenantId>) -> TenantId {
        let id = TenantId::new();
        self.add_as(id, slug, plan, parent);
        id
    }

    /// Forgets a tenant for good, as at the end of its purge.
    ///
    /// # Errors
    /// When there is no such tenant.
    pub fn purge(&self, id: TenantId) -> Result<()> {
        self.change(id, |tenant| tenant.status = "purged".to_owned())
    }

    /// Changes a tenant.
    ///
    /// # Errors
    /// When there is no such tenant.
    pub fn change(&self, id: TenantId, change: impl FnOnce(&mut TenantEntry)) -> Result<()> {
        let named = id.to_string();
        let mut found = None;
        self.state.send_modify(|state| {
            let mut tenants = state.tenants.iter_mut();
            if let Some(tenant) = tenants.find(|tenant| tenant.id == named) {
                change(tenant);
                tenant.version += 1;
                found = Some(());
            }
        });
        found.with_context(|| format!("there is no tenant {id}"))
    }
}

fn item(item: Item) -> Result<FollowTenantsResponse, Status> {
    Ok(FollowTenantsResponse {
        item: Some(item),
        resume_token: String::new(),
    })
}

#[tonic::async_trait]
impl TenantFeedService for RegistryDouble {
    type FollowTenantsStream = ReceiverStream<Result<FollowTenantsResponse, Status>>;

    async fn follow_tenants(
        &self,
        _request: Request<FollowTenantsRequest>,
    ) -> Result<Response<Self::FollowTenantsStream>, Status> {
        let (sender, receiver) = tokio::sync::mpsc::channel(64);
        let mut state = self.state.subscribe();
        let opened = Instant::now();
        Tasks::new().spawn("feed", async move {
            loop {
                let now = state.borrow_and_update().clone();
                let age = i64::try_from(opened.elapsed().as_millis()).unwrap_or(i64::MAX);
                let bookmark = Item::Bookmark(FeedBookmark {
                    age_ms: 0,
                    complete: true,
                    stream_age_ms: age,
                });
                let plans = now.plans.into_iter().map(Item::Plan);
                let tenants = now.tenants.into_iter().map(Item::Tenant);
                for next in plans.chain(tenants).chain([bookmark]) {
                    if sender.send(item(next)).await.is_err() {
                        return;
                    }
                }
                let _ = tokio::time::timeout(BOOKMARK_EVERY, state.changed()).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn lookup_tenant(
        &self,
        request: Request<LookupTenantRequest>,
    ) -> Result<Response<TenantEntry>, Status> {
        let asked = request.into_inner();
        let state = self.state.borrow();
        let named = state.tenants.iter().find(|tenant| {
            tenant.id == asked.id || (asked.id.is_empty() && tenant.slug == asked.slug)
        });
        named
            .cloned()
            .map(Response::new)
            .ok_or_else(|| Status::not_found("no such tenant"))
    }
}
