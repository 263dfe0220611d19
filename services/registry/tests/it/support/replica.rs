//! One replica of registry in this process, and clients of it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use tenantry_core::seal::Sealer;
use tenantry_proto::internal::registry::v1::sign_up_service_client::SignUpServiceClient;
use tenantry_proto::internal::registry::v1::tenant_feed_service_client::TenantFeedServiceClient;
use tenantry_proto::registry::v1::domain_service_client::DomainServiceClient;
use tenantry_proto::registry::v1::legal_hold_service_client::LegalHoldServiceClient;
use tenantry_proto::registry::v1::plan_service_client::PlanServiceClient;
use tenantry_proto::registry::v1::project_service_client::ProjectServiceClient;
use tenantry_proto::registry::v1::subscription_service_client::SubscriptionServiceClient;
use tenantry_proto::registry::v1::tenant_import_service_client::TenantImportServiceClient;
use tenantry_proto::registry::v1::tenant_service_client::TenantServiceClient;
use tenantry_registry::{Config, Registry};
use tenantry_rpc::assertion::{Claims, Verifier, sign};
use tenantry_rpc::client::{CallAs, Replicas, channel};
use tenantry_rpc::keys::{KeyRing, Trust};
use tenantry_rpc::watched::Watched;
use tenantry_rpc::{Stack, Tasks};
use tenantry_runtime::{Runtime, Service as _, StoredAttempts};
use tenantry_store::{PoolConfig, Store};
use tenantry_testkit::keys::Keys;
use tokio::net::TcpListener;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use super::{Assertions, Keeper};

type Authed = InterceptedService<Channel, Assertions>;
pub(crate) type Tenants = TenantServiceClient<Authed>;
pub(crate) type Projects = ProjectServiceClient<Authed>;
pub(crate) type LegalHolds = LegalHoldServiceClient<Authed>;
pub(crate) type Domains = DomainServiceClient<Authed>;
pub(crate) type Plans = PlanServiceClient<Authed>;
pub(crate) type Subscriptions = SubscriptionServiceClient<Authed>;
pub(crate) type SignUps = SignUpServiceClient<Authed>;
pub(crate) type Imports = TenantImportServiceClient<Authed>;
pub(crate) type Feeds = TenantFeedServiceClient<Authed>;

/// How a replica reaches its database.
#[derive(Clone, Debug)]
pub(super) struct Database {
    pub(super) app: PgConnectOptions,
    pub(super) platform: PgConnectOptions,
    pub(super) statement_cache: usize,
}

/// One replica. It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) store: Store,
    pub(crate) tasks: Tasks,
    pub(crate) attempts: StoredAttempts,
    pub(crate) address: SocketAddr,
    keys: Keys,
    channel: Channel,
}

impl Replica {
    pub(super) async fn start(
        database: Database,
        keys: &Keys,
        plans_file: PathBuf,
        dns: SocketAddr,
        [identity, audit, quota]: [&Keeper; 3],
    ) -> Self {
        let tasks = Tasks::new();
        let read = |path| std::fs::read_to_string(path).unwrap();
        let sealer = Sealer::parse(&read(keys.seal_key("registry"))).unwrap();
        let config = PoolConfig {
            app: database.app,
            platform: database.platform,
            app_connections: 16,
            platform_connections: 6,
            statement_cache: database.statement_cache,
        };
        let service_keys =
            Watched::open(keys.service_ring("registry"), &tasks, KeyRing::parse).unwrap();
        let store = Store::new(config, sealer);
        let runtime = Runtime {
            attempts: StoredAttempts::start(store.clone(), &tasks),
            store,
            trust: Watched::open(keys.trust_file(), &tasks, Trust::parse).unwrap(),
            // It takes part in purges; nothing here hands events on.
            audit: Replicas::new(
                std::slice::from_ref(&audit.address),
                CallAs::new(service_keys.clone(), "registry", "audit"),
            )
            .unwrap(),
            service_keys,
            tasks: tasks.clone(),
        };
        let config = Config {
            plans_file,
            identity_addrs: vec![identity.address.clone()],
            quota_addrs: vec![quota.address.clone()],
            freshness_grace_ms: 60_000,
            base_domain: Some("tenants.example.com".to_owned()),
            dns_servers: vec![dns],
        };
        let routes = Registry::start(config, &runtime).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server::builder()
            .layer(keys.behind_gateway())
            .layer(
                Stack::new(
                    Registry::NAME,
                    Verifier::new(runtime.trust.clone(), Registry::NAME),
                )
                .recording(Arc::new(runtime.attempts.clone())),
            )
            .add_routes(routes)
            .serve_with_incoming_shutdown(
                TcpIncoming::from(listener).with_nodelay(Some(true)),
                tasks.token().cancelled_owned(),
            );
        tasks.spawn("server", async move { server.await.unwrap() });
        Self {
            store: runtime.store,
            attempts: runtime.attempts,
            tasks,
            address,
            keys: keys.clone(),
            channel: channel(&format!("http://{address}")).unwrap(),
        }
    }

    /// Clients of the public services, as this caller.
    pub(crate) fn tenants(&self, claims: &Claims) -> Tenants {
        self.tenants_with(self.sign(claims))
    }

    pub(crate) fn tenants_with(&self, assertions: Assertions) -> Tenants {
        TenantServiceClient::with_interceptor(self.channel.clone(), assertions)
    }

    pub(crate) fn projects(&self, claims: &Claims) -> Projects {
        ProjectServiceClient::with_interceptor(self.channel.clone(), self.sign(claims))
    }

    pub(crate) fn domains(&self, claims: &Claims) -> Domains {
        DomainServiceClient::with_interceptor(self.channel.clone(), self.sign(claims))
    }

    pub(crate) fn plans(&self, claims: &Claims) -> Plans {
        PlanServiceClient::with_interceptor(self.channel.clone(), self.sign(claims))
    }

    pub(crate) fn subscriptions(&self, claims: &Claims) -> Subscriptions {
        SubscriptionServiceClient::with_interceptor(self.channel.clone(), self.sign(claims))
    }

    pub(crate) fn legal_holds(&self, claims: &Claims) -> LegalHolds {
        LegalHoldServiceClient::with_interceptor(self.channel.clone(), self.sign(claims))
    }

    pub(crate) fn imports(&self, claims: &Claims) -> Imports {
        TenantImportServiceClient::with_interceptor(self.channel.clone(), self.sign(claims))
    }

    /// A client of the internal feed.
    pub(crate) fn feed(&self, claims: &Claims) -> Feeds {
        TenantFeedServiceClient::with_interceptor(self.channel.clone(), self.sign(claims))
    }

    /// A client of what identity asks for when people sign up.
    pub(crate) fn sign_ups(&self, claims: &Claims) -> SignUps {
        SignUpServiceClient::with_interceptor(self.channel.clone(), self.sign(claims))
    }

    /// Registry at this address, as a service of this name calls it.
    pub(crate) fn callable(&self, address: &str, service: &'static str, tasks: &Tasks) -> Replicas {
        let keys = Watched::open(self.keys.service_ring(service), tasks, KeyRing::parse).unwrap();
        let call_as = CallAs::new(keys, service, Registry::NAME);
        Replicas::new(&[address.to_owned()], call_as).unwrap()
    }

    /// Calls any method with an empty message, and forgets what is answered.
    pub(crate) async fn call(
        &self,
        path: &'static str,
        assertions: Assertions,
    ) -> Result<Response<()>, Status> {
        let channel = InterceptedService::new(self.channel.clone(), assertions);
        let mut client = Grpc::new(channel);
        client.ready().await.unwrap();
        let path = PathAndQuery::from_static(path);
        // Every method answers like a stream, of one message or of many.
        let answered = client.server_streaming(Request::new(()), path, ProstCodec::default());
        let answer: Response<Streaming<()>> = answered.await?;
        Ok(answer.map(drop))
    }

    /// The assertion of these claims, signed by whoever they say they are from.
    pub(crate) fn sign(&self, claims: &Claims) -> Assertions {
        Assertions(vec![sign(&self.ring(&claims.iss), claims).unwrap()])
    }

    /// The private keys of an issuer.
    pub(crate) fn ring(&self, issuer: &str) -> KeyRing {
        let file = match issuer.strip_prefix("service:") {
            Some(service) => self.keys.service_ring(service),
            None => self.keys.assertion_ring(),
        };
        KeyRing::parse(&std::fs::read_to_string(file).unwrap()).unwrap()
    }

    /// Ends this replica, and returns once its tasks have ended.
    pub(crate) async fn end(&self) {
        self.tasks.end(Duration::from_secs(5)).await;
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.tasks.cancel();
    }
}
