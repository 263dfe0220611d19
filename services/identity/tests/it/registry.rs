//! A stand-in for registry: the tenants that a test says, watched and looked up, and those that people sign up for.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tenantry_core::{Reason, Refusal, TenantId};
use tenantry_proto::internal::registry::v1::follow_tenants_response::Item;
use tenantry_proto::internal::registry::v1::sign_up_service_server::{
    SignUpService, SignUpServiceServer,
};
use tenantry_proto::internal::registry::v1::tenant_feed_service_server::{
    TenantFeedService, TenantFeedServiceServer,
};
use tenantry_proto::internal::registry::v1::{
    CreateSignedUpTenantRequest, FeedBookmark, FollowTenantsRequest, FollowTenantsResponse,
    LookupTenantRequest, TenantEntry,
};
use tenantry_proto::registry::v1::Tenant;
use tenantry_rpc::Tasks;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

/// Where the slug begins so, a look-up has no answer.
pub(crate) const SILENT: &str = "silent";
/// A tenant whose slug begins so isn't in the feed yet.
pub(crate) const YOUNG: &str = "young";

/// What comes of one sign-up, where it isn't a tenant and its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mishap {
    /// The tenant is made, and nobody hears of it.
    Lost,
    /// It is refused.
    Refused,
    /// It is refused, and made by another request of the same sign-up that was under way.
    Overtaken,
}

/// The tenants there are.
#[derive(Clone, Debug)]
pub(crate) struct Registry {
    tenants: Arc<watch::Sender<Vec<TenantEntry>>>,
    /// What comes of the next sign-ups.
    mishaps: Arc<Mutex<VecDeque<Mishap>>>,
    gone: CancellationToken,
    /// How many tenants were looked up so far.
    pub(crate) looked_up: Arc<AtomicUsize>,
    pub(crate) address: String,
}

impl Registry {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let registry = Self {
            tenants: Arc::new(watch::Sender::new(Vec::new())),
            mishaps: Arc::default(),
            gone: CancellationToken::new(),
            looked_up: Arc::default(),
            address: format!("http://{}", listener.local_addr().unwrap()),
        };
        let serving = tonic::transport::Server::builder()
            .add_service(TenantFeedServiceServer::new(registry.clone()))
            .add_service(SignUpServiceServer::new(registry.clone()))
            .serve_with_incoming_shutdown(
                TcpListenerStream::new(listener),
                registry.gone.clone().cancelled_owned(),
            );
        let tasks = Tasks::new();
        tasks.spawn("registry", async move { serving.await.unwrap() });
        registry
    }

    pub(crate) fn add(&self, slug: &str, parent: Option<TenantId>, domains: &[&str]) -> TenantId {
        let id = TenantId::new();
        self.put(id, slug, parent, domains);
        id
    }

    /// Lets this come of the next sign-ups.
    pub(crate) fn have(&self, mishaps: impl IntoIterator<Item = Mishap>) {
        self.mishaps.lock().unwrap().extend(mishaps);
    }

    /// Ids of the tenants whose slugs begin so.
    pub(crate) fn called(&self, slug: &str) -> Vec<TenantId> {
        let tenants = self.tenants.borrow();
        let called = tenants
            .iter()
            .filter(|tenant| tenant.slug.starts_with(slug));
        called.map(|tenant| tenant.id.parse().unwrap()).collect()
    }

    /// A tenant of another project than the default one.
    pub(crate) fn add_to(&self, project: &str, slug: &str, domains: &[&str]) -> TenantId {
        let id = TenantId::new();
        self.put_into(project, id, slug, None, domains);
        id
    }

    fn put(&self, id: TenantId, slug: &str, parent: Option<TenantId>, domains: &[&str]) {
        self.put_into("default", id, slug, parent, domains);
    }

    fn put_into(
        &self,
        project: &str,
        id: TenantId,
        slug: &str,
        parent: Option<TenantId>,
        domains: &[&str],
    ) {
        self.tenants.send_modify(|tenants| {
            tenants.push(TenantEntry {
                id: id.to_string(),
                project: project.to_owned(),
                slug: slug.to_owned(),
                status: "active".to_owned(),
                plan: "free".to_owned(),
                parent_id: parent.map(|id| id.to_string()).unwrap_or_default(),
                version: 1,
                name: format!("The {slug} company"),
                plan_version: 1,
                domains: domains.iter().map(|&domain| domain.to_owned()).collect(),
                ..Default::default()
            });
        });
    }

    pub(crate) fn set_status(&self, id: TenantId, status: &str) {
        self.tenants.send_modify(|tenants| {
            let id = id.to_string();
            let tenant = tenants.iter_mut().find(|tenant| tenant.id == id).unwrap();
            tenant.status = status.to_owned();
            tenant.version += 1;
        });
    }

    /// Ends it for good.
    pub(crate) fn stop(&self) {
        self.gone.cancel();
    }
}

fn item(item: Item) -> Result<FollowTenantsResponse, Status> {
    let item = Some(item);
    let resume_token = String::new();
    Ok(FollowTenantsResponse { item, resume_token })
}

#[tonic::async_trait]
impl SignUpService for Registry {
    async fn create_signed_up_tenant(
        &self,
        request: Request<CreateSignedUpTenantRequest>,
    ) -> Result<Response<Tenant>, Status> {
        let asked = request.into_inner();
        let id: TenantId = asked.tenant_id.parse().unwrap();
        let mishap = self.mishaps.lock().unwrap().pop_front();
        let is_made = self
            .tenants
            .borrow()
            .iter()
            .any(|t| t.id == asked.tenant_id);
        if !is_made && !matches!(mishap, Some(Mishap::Refused)) {
            self.put_into(&asked.project, id, &asked.slug, None, &[]);
        }
        match mishap {
            Some(Mishap::Lost) => Err(Status::unavailable("nobody hears of it")),
            Some(Mishap::Refused | Mishap::Overtaken) => {
                let refusal = Refusal::new(Reason::SlugTaken, "The slug is taken.");
                Err(tenantry_rpc::status::status(refusal))
            }
            None => Ok(Response::new(Tenant {
                id: asked.tenant_id,
                name: asked.name,
                slug: asked.slug,
                email: asked.email,
                ..Default::default()
            })),
        }
    }
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
        let gone = self.gone.clone();
        let opened = tokio::time::Instant::now();
        Tasks::new().spawn("feed", async move {
            loop {
                let mut now = tenants.borrow_and_update().clone();
                now.retain(|tenant| !tenant.slug.starts_with(YOUNG));
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
                tokio::select! {
                    () = gone.cancelled() => return,
                    _ = tokio::time::timeout(Duration::from_millis(100), tenants.changed()) => {}
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn lookup_tenant(
        &self,
        request: Request<LookupTenantRequest>,
    ) -> Result<Response<TenantEntry>, Status> {
        self.looked_up.fetch_add(1, Ordering::Relaxed);
        let asked = request.into_inner();
        if asked.slug.starts_with(SILENT) {
            self.gone.cancelled().await;
        }
        let tenants = self.tenants.borrow();
        tenants
            .iter()
            .find(|tenant| {
                let named = (asked.project.as_str(), asked.slug.as_str());
                tenant.id == asked.id
                    || (asked.id.is_empty()
                        && named == (tenant.project.as_str(), tenant.slug.as_str()))
            })
            .cloned()
            .map(Response::new)
            .ok_or_else(|| Status::not_found("no such tenant"))
    }
}
