//! One replica of quota in this process, and clients of it.

use std::sync::Arc;
use std::time::Duration;

use tenantry_core::seal::Sealer;
use tenantry_proto::envoy::service::ratelimit::v3::rate_limit_service_client::RateLimitServiceClient;
use tenantry_proto::internal::data::v1::tenant_data_service_client::TenantDataServiceClient;
use tenantry_proto::internal::quota::v1::hold_service_client::HoldServiceClient;
use tenantry_proto::quota::v1::health_service_client::HealthServiceClient;
use tenantry_proto::quota::v1::limit_service_client::LimitServiceClient;
use tenantry_proto::quota::v1::quota_service_client::QuotaServiceClient;
use tenantry_proto::quota::v1::reservation_service_client::ReservationServiceClient;
use tenantry_proto::quota::v1::usage_event_service_client::UsageEventServiceClient;
use tenantry_proto::quota::v1::usage_service_client::UsageServiceClient;
use tenantry_quota::{Config, Quota, RedisUrl};
use tenantry_rpc::assertion::{Claims, Verifier, sign};
use tenantry_rpc::client::{CallAs, Replicas, channel};
use tenantry_rpc::keys::{KeyRing, Trust};
use tenantry_rpc::watched::Watched;
use tenantry_rpc::{Stack, Tasks};
use tenantry_runtime::{Runtime, Service as _, StoredAttempts};
use tenantry_store::{PoolConfig, Store};
use tenantry_testkit::caller::Assertion;
use tenantry_testkit::cluster::Role;
use tenantry_testkit::database::TestDatabase;
use tenantry_testkit::keys::{GatewayWord, Keys};
use tenantry_testkit::registry_double::RegistryDouble;
use tokio::net::TcpListener;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server};

use super::Owner;

pub(crate) type Rates = RateLimitServiceClient<InterceptedService<Channel, GatewayWord>>;
type Authed = InterceptedService<Channel, Assertion>;
pub(crate) type Limits = LimitServiceClient<Authed>;
pub(crate) type Quotas = QuotaServiceClient<Authed>;
pub(crate) type Reservations = ReservationServiceClient<Authed>;
pub(crate) type UsageEvents = UsageEventServiceClient<Authed>;
pub(crate) type Healths = HealthServiceClient<Authed>;
pub(crate) type Usages = UsageServiceClient<Authed>;
pub(crate) type Holds = HoldServiceClient<Authed>;
pub(crate) type Data = TenantDataServiceClient<Authed>;

/// One replica. It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Replica {
    tasks: Tasks,
    keys: Keys,
    channel: Channel,
}

impl Replica {
    pub(super) async fn start(
        database: &TestDatabase,
        keys: &Keys,
        registry: &RegistryDouble,
        identity: &Owner,
        (redis, leases): (&[String], bool),
    ) -> Self {
        let tasks = Tasks::new();
        let options = |role| database.url("quota", role).as_str().parse().unwrap();
        let seal_key = std::fs::read_to_string(keys.seal_key("quota")).unwrap();
        let config = PoolConfig {
            app: options(Role::App),
            platform: options(Role::Platform),
            app_connections: 16,
            platform_connections: 6,
            statement_cache: 100,
        };
        let service_keys =
            Watched::open(keys.service_ring("quota"), &tasks, KeyRing::parse).unwrap();
        let store = Store::new(config, Sealer::parse(&seal_key).unwrap());
        let runtime = Runtime {
            attempts: StoredAttempts::start(store.clone(), &tasks),
            store,
            trust: Watched::open(keys.trust_file(), &tasks, Trust::parse).unwrap(),
            // Nothing here hands events on.
            audit: Replicas::new(&[], CallAs::new(service_keys.clone(), "quota", "audit")).unwrap(),
            service_keys,
            tasks: tasks.clone(),
        };
        let config = Config {
            registry_addrs: vec![registry.address().to_owned()],
            identity_addrs: vec![identity.address().to_owned()],
            redis_urls: redis.iter().cloned().map(RedisUrl).collect(),
            redis_cluster: redis.len() > 1,
            redis_timeout_ms: 5_000,
            leases,
            freshness_grace_ms: 60_000,
        };
        let routes = Quota::start(config, &runtime).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let verifier = Verifier::new(runtime.trust.clone(), Quota::NAME);
        let server = Server::builder()
            .layer(keys.behind_gateway())
            .layer(Stack::new(Quota::NAME, verifier).recording(Arc::new(runtime.attempts.clone())))
            .add_routes(routes)
            .serve_with_incoming_shutdown(
                TcpIncoming::from(listener).with_nodelay(Some(true)),
                tasks.token().cancelled_owned(),
            );
        tasks.spawn("server", async move { server.await.unwrap() });
        Self {
            tasks,
            keys: keys.clone(),
            channel: channel(&format!("http://{address}")).unwrap(),
        }
    }

    /// A channel as this caller, to make any client from.
    pub(crate) fn as_caller(&self, claims: &Claims) -> Authed {
        let file = match claims.iss.strip_prefix("service:") {
            Some(service) => self.keys.service_ring(service),
            None => self.keys.assertion_ring(),
        };
        let ring = KeyRing::parse(&std::fs::read_to_string(file).unwrap()).unwrap();
        let assertion = Assertion(sign(&ring, claims).unwrap());
        InterceptedService::new(self.channel.clone(), assertion)
    }

    /// A client that reads and sets limits.
    pub(crate) fn limits(&self, claims: &Claims) -> Limits {
        LimitServiceClient::new(self.as_caller(claims))
    }

    /// A client that checks and consumes.
    pub(crate) fn quotas(&self, claims: &Claims) -> Quotas {
        QuotaServiceClient::new(self.as_caller(claims))
    }

    /// A client that reserves.
    pub(crate) fn reservations(&self, claims: &Claims) -> Reservations {
        ReservationServiceClient::new(self.as_caller(claims))
    }

    /// A client that tells of what was used.
    pub(crate) fn usage_events(&self, claims: &Claims) -> UsageEvents {
        UsageEventServiceClient::new(self.as_caller(claims))
    }

    /// A client that asks how tenants are doing.
    pub(crate) fn healths(&self, claims: &Claims) -> Healths {
        HealthServiceClient::new(self.as_caller(claims))
    }

    /// A client that reads what was used.
    pub(crate) fn usages(&self, claims: &Claims) -> Usages {
        UsageServiceClient::new(self.as_caller(claims))
    }

    /// A client of another service that holds.
    pub(crate) fn holds(&self, claims: &Claims) -> Holds {
        HoldServiceClient::new(self.as_caller(claims))
    }

    /// An Envoy's client.
    pub(crate) fn rates(&self) -> Rates {
        RateLimitServiceClient::with_interceptor(self.channel.clone(), self.keys.gateway_word())
    }

    /// A client that counts and purges what there is of tenants.
    pub(crate) fn data(&self, claims: &Claims) -> Data {
        TenantDataServiceClient::new(self.as_caller(claims))
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
