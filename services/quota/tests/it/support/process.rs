//! One replica of quota as a process of its own, which a test may kill.

use std::collections::BTreeMap;

use tenantry_proto::envoy::service::ratelimit::v3::rate_limit_service_client::RateLimitServiceClient;
use tenantry_rpc::client::channel;
use tenantry_testkit::cluster::Role;
use tenantry_testkit::database::TestDatabase;
use tenantry_testkit::keys::{GatewayWord, Keys};
use tenantry_testkit::registry_double::RegistryDouble;
use tenantry_testkit::service::Service;
use tenantry_testkit::unit::Unit;
use tenantry_testkit::{paths, port};

use super::{Owner, Rates};

/// The process. It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    service: Service,
    word: GatewayWord,
}

impl Process {
    pub(super) async fn start(
        database: &TestDatabase,
        keys: &Keys,
        registry: &RegistryDouble,
        identity: &Owner,
        redis: &[String],
    ) -> Self {
        let url = |role| database.url("quota", role).to_string();
        let file = |path: std::path::PathBuf| path.display().to_string();
        let nobody = port::local(port::free().unwrap());
        let environment = [
            ("TENANTRY_OWNER_DATABASE_URL", url(Role::Owner)),
            ("TENANTRY_APP_DATABASE_URL", url(Role::App)),
            ("TENANTRY_PLATFORM_DATABASE_URL", url(Role::Platform)),
            ("TENANTRY_TRUST_FILE", file(keys.trust_file())),
            (
                "TENANTRY_SERVICE_KEY_FILE",
                file(keys.service_ring("quota")),
            ),
            ("TENANTRY_SEAL_KEY_FILE", file(keys.seal_key("quota"))),
            ("TENANTRY_REGISTRY_ADDRS", registry.address().to_owned()),
            ("TENANTRY_IDENTITY_ADDRS", identity.address().to_owned()),
            ("TENANTRY_AUDIT_ADDRS", format!("http://{nobody}")),
            ("TENANTRY_REDIS_URLS", redis.join(",")),
            ("TENANTRY_REDIS_CLUSTER", (redis.len() > 1).to_string()),
            ("TENANTRY_REDIS_TIMEOUT_MS", "5000".to_owned()),
        ];
        let environment: BTreeMap<_, _> = environment
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        let log = paths::scratch("quota").unwrap().join("quota.log");
        let addresses = (
            port::local(port::free().unwrap()),
            port::local(port::free().unwrap()),
        );
        let service = Service::prepare("quota", 0, addresses, &environment, &log).unwrap();
        service.unit().start().await.unwrap();
        Self {
            service,
            word: keys.gateway_word(),
        }
    }

    pub(crate) fn unit(&self) -> &Unit {
        self.service.unit()
    }

    /// An Envoy's client.
    pub(crate) fn rates(&self) -> Rates {
        let channel = channel(&format!("http://{}", self.service.address())).unwrap();
        RateLimitServiceClient::with_interceptor(channel, self.word.clone())
    }
}
