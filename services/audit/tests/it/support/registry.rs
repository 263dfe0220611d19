//! A stand-in for registry: the tenants and plans that a test says, watched and looked up.

use std::sync::Arc;
use std::time::Duration;

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
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status};

/// For how many days each plan keeps events; its key is `days-` and the number.
const PLANS: [i32; 5] = [30, 60, 90, 365, 730];

/// The tenants there are. It ends with the process.
#[derive(Clone, Debug)]
pub(crate) struct Registry {
    tenants: Arc<watch::Sender<Vec<TenantEntry>>>,
    pub(crate) address: String,
}

impl Registry {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let registry = Self {
            tenants: Arc::new(watch::Sender::new(Vec::new())),
            address: format!("http://{}", listener.local_addr().unwrap()),
        };
        let serving = tonic::transport::Server::builder()
            .add_service(TenantFeedServiceServer::new(registry.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        Tasks::new().spawn("registry", async move { serving.await.unwrap() });
        registry
    }

    /// A new tenant whose plan keeps events for so many days.
    pub(crate) fn add(&self, slug: &str, days: i32, parent: Option<TenantId>) -> TenantId {
        self.add_as(TenantId::new(), slug, days, parent)
    }

    /// The same under an id of the test's own.
    pub(crate) fn add_as(
        &self,
        id: TenantId,
        slug: &str,
        days: i32,
        parent: Option<TenantId>,
    ) -> TenantId {
        self.tenants.send_modify(|tenants| {
            tenants.push(TenantEntry {
                id: id.to_string(),
                project: "default".to_owned(),
                slug: slug.to_owned(),
                status: "active".to_owned(),
                plan: format!("days-{days}"),
                plan_version: 1,
                parent_id: parent.map(|id| id.to_string()).unwrap_or_default(),
                version: 1,
                ..Default::default()
            });
        });
        id
    }

    /// Forgets a tenant for good, as at the end of its purge.
    pub(crate) fn purge(&self, id: TenantId) {
        self.change(id, |tenant| tenant.status = "purged".to_owned());
    }

    /// Changes a tenant.
    pub(crate) fn change(&self, id: TenantId, change: impl FnOnce(&mut TenantEntry)) {
        self.tenants.send_modify(|tenants| {
            let id = id.to_string();
            let tenant = tenants.iter_mut().find(|tenant| tenant.id == id).unwrap();
            change(tenant);
            tenant.version += 1;
        });
    }
}

fn item(item: Item) -> Result<FollowTenantsResponse, Status> {
    Ok(FollowTenantsResponse {
        item: Some(item),
        resume_token: String::new(),
    })
}

#[tonic::async_trait]
impl TenantFeedService for Registry {
    type FollowTenantsStream = ReceiverStream<Result<FollowTenantsResponse, Status>>;

    async fn follow_tenants(
        &self,
        _request: Request<FollowTenantsRequest>,
    ) -> Result<Response<Self::FollowTenantsStream>, Status> {
        let (sender, receiver) = tokio::sync::mpsc::channel(64);
        let mut tenants = self.tenants.subscribe();
        let opened = tokio::time::Instant::now();
        Tasks::new().spawn("feed", async move {
            let plans = PLANS.map(|days| {
                Item::Plan(Plan {
                    key: format!("days-{days}"),
                    project: "default".to_owned(),
                    version: 1,
                    retention_days: days,
                    ..Default::default()
                })
            });
            for plan in plans {
                if sender.send(item(plan)).await.is_err() {
                    return;
                }
            }
            loop {
                let now = tenants.borrow_and_update().clone();
                let bookmark = Item::Bookmark(FeedBookmark {
                    age_ms: 0,
                    complete: true,
                    stream_age_ms: i64::try_from(opened.elapsed().as_millis()).unwrap(),
                });
                for next in now.into_iter().map(Item::Tenant).chain([bookmark]) {
                    if sender.send(item(next)).await.is_err() {
                        return;
                    }
                }
                let changed = tokio::time::timeout(Duration::from_millis(100), tenants.changed());
                let _ = changed.await;
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn lookup_tenant(
        &self,
        request: Request<LookupTenantRequest>,
    ) -> Result<Response<TenantEntry>, Status> {
        let asked = request.into_inner();
        let tenants = self.tenants.borrow();
        let named = tenants.iter().find(|tenant| {
            tenant.id == asked.id || (asked.id.is_empty() && tenant.slug == asked.slug)
        });
        named
            .cloned()
            .map(Response::new)
            .ok_or_else(|| Status::not_found("no such tenant"))
    }
}
