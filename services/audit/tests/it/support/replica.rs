//! One replica of audit in this process, and clients of it.

use std::sync::Arc;
use std::time::Duration;

use tenantry_audit::{Audit, Config};
use tenantry_core::seal::Sealer;
use tenantry_proto::audit::v1::audit_event_service_client::AuditEventServiceClient;
use tenantry_proto::audit::v1::audit_log_service_client::AuditLogServiceClient;
use tenantry_proto::internal::audit::v1::append_service_client::AppendServiceClient;
use tenantry_proto::internal::data::v1::tenant_data_service_client::TenantDataServiceClient;
use tenantry_rpc::assertion::{Claims, Verifier, sign};
use tenantry_rpc::client::{CallAs, Replicas, channel};
use tenantry_rpc::keys::{KeyRing, Trust};
use tenantry_rpc::watched::Watched;
use tenantry_rpc::{Stack, Tasks};
use tenantry_runtime::{Runtime, Service as _, StoredAttempts};
use tenantry_store::{PoolConfig, Store};
use tenantry_testkit::cluster::Role;
use tenantry_testkit::database::TestDatabase;
use tenantry_testkit::keys::Keys;
use tokio::net::TcpListener;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server};

use super::{Assertion, Registry};

type Authed = InterceptedService<Channel, Assertion>;
pub(crate) type Events = AuditEventServiceClient<Authed>;
pub(crate) type Logs = AuditLogServiceClient<Authed>;
pub(crate) type Append = AppendServiceClient<Authed>;
pub(crate) type Data = TenantDataServiceClient<Authed>;

/// One replica. It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) store: Store,
    pub(crate) tasks: Tasks,
    keys: Keys,
    channel: Channel,
}

impl Replica {
    pub(super) async fn start(database: &TestDatabase, keys: &Keys, registry: &Registry) -> Self {
        let tasks = Tasks::new();
        let options = |role| database.url("audit", role).as_str().parse().unwrap();
        let seal_key = std::fs::read_to_string(keys.seal_key("audit")).unwrap();
        let config = PoolConfig {
            app: options(Role::App),
            platform: options(Role::Platform),
            app_connections: 16,
            platform_connections: 6,
            statement_cache: 100,
        };
        let service_keys =
            Watched::open(keys.service_ring("audit"), &tasks, KeyRing::parse).unwrap();
        let store = Store::new(config, Sealer::parse(&seal_key).unwrap());
        let runtime = Runtime {
            attempts: StoredAttempts::start(store.clone(), &tasks),
            store,
            trust: Watched::open(keys.trust_file(), &tasks, Trust::parse).unwrap(),
            // Nothing here hands events on.
            audit: Replicas::new(&[], CallAs::new(service_keys.clone(), "audit", "audit")).unwrap(),
            service_keys,
            tasks: tasks.clone(),
        };
        let config = Config {
            registry_addrs: vec![registry.address.clone()],
            // Nobody tells of revocations; streams live on for the grace.
            identity_addrs: vec!["http://127.0.0.1:1".to_owned()],
            freshness_grace_ms: 60_000,
            log_key_file: keys.log_key(),
            checkpoint_after_ms: 100,
        };
        let routes = Audit::start(config, &runtime).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let verifier = Verifier::new(runtime.trust.clone(), Audit::NAME);
        let server = Server::builder()
            .layer(keys.behind_gateway())
            .layer(Stack::new(Audit::NAME, verifier).recording(Arc::new(runtime.attempts.clone())))
            .add_routes(routes)
            .serve_with_incoming_shutdown(
                TcpIncoming::from(listener).with_nodelay(Some(true)),
                tasks.token().cancelled_owned(),
            );
        tasks.spawn("server", async move { server.await.unwrap() });
        Self {
            store: runtime.store,
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

    /// A client that reads and records.
    pub(crate) fn events(&self, claims: &Claims) -> Events {
        AuditEventServiceClient::new(self.as_caller(claims))
    }

    /// A client that checks the log.
    pub(crate) fn logs(&self, claims: &Claims) -> Logs {
        AuditLogServiceClient::new(self.as_caller(claims))
    }

    /// A client that counts and purges what there is of tenants.
    pub(crate) fn data(&self, claims: &Claims) -> Data {
        TenantDataServiceClient::new(self.as_caller(claims))
    }

    /// A client that appends.
    pub(crate) fn append(&self, claims: &Claims) -> Append {
        AppendServiceClient::new(self.as_caller(claims))
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
