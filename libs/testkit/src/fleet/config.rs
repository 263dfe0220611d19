//! What a fleet is to be like.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use url::Url;

use crate::envoy::Tls;
use crate::postgres::Durability;

/// Where the fleet's database is.
#[derive(Clone, Debug)]
pub enum Database {
    /// A new database on the server that all tests of a run share.
    Shared,
    /// A server of the fleet's own, which it starts, and which a test may kill.
    Own(Durability),
    /// A server that runs already (superuser URL).
    External(Url),
}

/// Hears what the fleet is doing while it starts.
pub type Progress = Arc<dyn Fn(&str) + Send + Sync>;

/// What a fleet is to be like. The default is a fleet for a test: one replica of each service, free ports, a new
/// database, and files that go with the process.
#[derive(Clone)]
pub struct FleetConfig {
    /// Replicas of each service.
    pub replicas: usize,
    /// Where the database is.
    pub database: Database,
    /// Redis to use instead of one of its own.
    pub external_redis: Option<Url>,
    /// Folder that outlives the process (keys, data, logs, ports); a scratch folder where none is given.
    pub dir: Option<PathBuf>,
    /// Folder of Postgres's data where it can't lie in `dir`.
    pub postgres_dir: Option<PathBuf>,
    /// Port of the gateway; a free one where none is given.
    pub gateway_port: Option<u16>,
    /// Whether the gateway refuses requests while quota doesn't answer how much may pass.
    pub rate_limit_fails_closed: bool,
    /// Origins of web pages that may call the gateway.
    pub cors_origins: Vec<String>,
    /// OTLP receiver of the traces of gateway and services, as `http://127.0.0.1:4317`.
    pub otlp_endpoint: Option<String>,
    /// TLS on the gateway's listener.
    pub tls: Option<Tls>,
    /// Puts a [`crate::fault_proxy::FaultProxy`] between each service and Postgres.
    pub database_proxies: bool,
    /// Further environment of services: (service, name, value).
    pub service_environment: Vec<(&'static str, &'static str, String)>,
    /// Makes the first operator.
    pub bootstrap: bool,
    /// Hears what the fleet is doing while it starts.
    pub progress: Progress,
}

impl Default for FleetConfig {
    fn default() -> Self {
        Self {
            replicas: 1,
            database: Database::Shared,
            external_redis: None,
            dir: None,
            postgres_dir: None,
            gateway_port: None,
            rate_limit_fails_closed: false,
            cors_origins: vec!["http://localhost:3000".to_owned()],
            otlp_endpoint: None,
            tls: None,
            database_proxies: false,
            service_environment: Vec::new(),
            bootstrap: true,
            progress: Arc::new(|_| {}),
        }
    }
}

impl FleetConfig {
    /// A test's fleet with so many replicas of each service.
    #[must_use]
    pub fn replicas(replicas: usize) -> Self {
        Self {
            replicas,
            ..Self::default()
        }
    }
}

impl fmt::Debug for FleetConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FleetConfig")
            .field("replicas", &self.replicas)
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}
