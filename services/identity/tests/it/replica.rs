//! One replica of identity in this process.

use std::path::PathBuf;
use std::sync::Arc;

use tenantry_core::seal::Sealer;
use tenantry_identity::{Config, Identity};
use tenantry_rpc::assertion::Verifier;
use tenantry_rpc::client::{CallAs, Replicas};
use tenantry_rpc::keys::{KeyRing, Trust};
use tenantry_rpc::watched::Watched;
use tenantry_rpc::{Stack, Tasks};
use tenantry_runtime::{Runtime, Service as _, StoredAttempts};
use tenantry_store::{PoolConfig, Store};
use tenantry_testkit::cluster::Role;
use tenantry_testkit::database::TestDatabase;
use tenantry_testkit::keys::Keys;
use tenantry_testkit::pgbouncer::PgBouncer;
use tenantry_testkit::quota_double::QuotaDouble;
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;

use crate::registry::Registry;

/// How long it serves without registry; short, so that a test can outlast it.
const GRACE_MS: u64 = 1_500;

/// Where a replica sends mail.
#[derive(Clone, Debug)]
pub(crate) struct MailTo {
    pub(crate) url: String,
    /// Certificates of whom it believes.
    pub(crate) ca_file: Option<PathBuf>,
}

/// Starts a replica, which runs as long as the tasks; returns its address, and where it counts what it refuses.
pub(crate) async fn replica(
    database: &TestDatabase,
    pooler: Option<&PgBouncer>,
    (registry, quota): (&Registry, &QuotaDouble),
    keys: &Keys,
    mail: &MailTo,
    tasks: &Tasks,
) -> (String, StoredAttempts) {
    let cluster = pooler.map_or(database.cluster(), PgBouncer::cluster);
    let options = |role| {
        let url = cluster.url("identity", role, database.name());
        url.as_str().parse().unwrap()
    };
    let pools = PoolConfig {
        app: options(Role::App),
        platform: options(Role::Platform),
        app_connections: 32,
        platform_connections: 4,
        statement_cache: if pooler.is_some() { 0 } else { 100 },
    };
    let seal_key = std::fs::read_to_string(keys.seal_key("identity")).unwrap();
    let trust = Watched::open(keys.trust_file(), tasks, Trust::parse).unwrap();
    let service_keys = Watched::open(keys.service_ring("identity"), tasks, KeyRing::parse).unwrap();
    let store = Store::new(pools, Sealer::parse(&seal_key).unwrap());
    let attempts = StoredAttempts::start(store.clone(), tasks);
    let runtime = Runtime {
        store,
        attempts: attempts.clone(),
        tasks: tasks.clone(),
        trust: trust.clone(),
        audit: nobody(&service_keys),
        service_keys,
    };
    let config = Config {
        assertion_key_file: keys.assertion_ring(),
        token_key_file: keys.token_ring(),
        registry_addrs: vec![registry.address.clone()],
        quota_addrs: vec![quota.address().to_owned()],
        issuer: "tenantry".to_owned(),
        base_domain: Some("tenants.example".to_owned()),
        mail_url: Some(mail.url.parse().unwrap()),
        mail_ca_file: mail.ca_file.clone(),
        mail_from: "Tenantry <no-reply@tenantry.test>".to_owned(),
        public_url: "https://tenants.example".parse().unwrap(),
        oidc_allow_insecure_issuers: true,
        freshness_grace_ms: GRACE_MS,
    };
    let routes = Identity::start(config, &runtime).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let server = tonic::transport::Server::builder()
        .layer(keys.behind_gateway())
        .layer(
            Stack::new("identity", Verifier::new(trust, "identity"))
                .recording(Arc::new(attempts.clone())),
        )
        .add_routes(routes)
        .serve_with_incoming_shutdown(
            TcpIncoming::from(listener).with_nodelay(Some(true)),
            tasks.token().cancelled_owned(),
        );
    tasks.spawn("identity", async move { server.await.unwrap() });
    (address, attempts)
}

/// An audit that nobody answers for: nothing here hands events on.
fn nobody(keys: &Watched<KeyRing>) -> Replicas {
    let call_as = CallAs::new(keys.clone(), "identity", "audit");
    Replicas::new(&[], call_as).unwrap()
}
