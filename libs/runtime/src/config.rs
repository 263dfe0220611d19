//! The configuration that every service shares. Each flag has an environment variable of the same meaning.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use sqlx::postgres::PgConnectOptions;
use tenantry_store::PoolConfig;

/// Where a database is and as whom, read from a `postgres://` URL. Never shown, because it holds a password.
#[derive(Clone)]
pub struct DatabaseUrl(pub PgConnectOptions);

impl FromStr for DatabaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The driver's own message would repeat the URL, password and all.
        text.parse().map(Self).map_err(|_| {
            "must be a URL like postgres://role:password@host:5432/database".to_owned()
        })
    }
}

impl std::fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DatabaseUrl(..)")
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object per line
    Json,
    /// For people
    Text,
}

/// What each service needs to serve.
#[derive(Debug, Args)]
pub struct Shared {
    /// Address to serve gRPC on
    #[arg(long, env = "TENANTRY_LISTEN", default_value = "127.0.0.1:7000")]
    pub listen: SocketAddr,
    /// Address to serve Prometheus metrics on, at /metrics; none if absent
    #[arg(long, env = "TENANTRY_METRICS_LISTEN")]
    pub metrics_listen: Option<SocketAddr>,
    /// Database, as the role <service>_app
    #[arg(long, env = "TENANTRY_APP_DATABASE_URL", hide_env_values = true)]
    pub app_database_url: DatabaseUrl,
    /// Database, as the role <service>_platform
    #[arg(long, env = "TENANTRY_PLATFORM_DATABASE_URL", hide_env_values = true)]
    pub platform_database_url: DatabaseUrl,
    /// Most connections of the role <service>_app
    #[arg(long, env = "TENANTRY_APP_CONNECTIONS", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub app_connections: u32,
    /// Most connections of the role <service>_platform
    #[arg(long, env = "TENANTRY_PLATFORM_CONNECTIONS", default_value_t = 6, value_parser = clap::value_parser!(u32).range(2..=1000))]
    pub platform_connections: u32,
    /// Prepared statements kept per connection; 0 behind a PgBouncer older than 1.21
    #[arg(long, env = "TENANTRY_STATEMENT_CACHE", default_value_t = 100)]
    pub statement_cache: usize,
    /// File of the public keys that assertions are believed from; read again when it changes
    #[arg(long, env = "TENANTRY_TRUST_FILE")]
    pub trust_file: PathBuf,
    /// File of this service's own keys, for calls to other services; read again when it changes
    #[arg(long, env = "TENANTRY_SERVICE_KEY_FILE")]
    pub service_key_file: PathBuf,
    /// File of the key that seals page tokens, resume tokens and secrets in waiting; the same for all replicas
    #[arg(long, env = "TENANTRY_SEAL_KEY_FILE")]
    pub seal_key_file: PathBuf,
    /// Replicas of audit, which take the events of what happens here, as http://127.0.0.1:7201,http://127.0.0.1:7202
    #[arg(
        long,
        env = "TENANTRY_AUDIT_ADDRS",
        value_delimiter = ',',
        required = true
    )]
    pub audit_addrs: Vec<String>,
    /// How long, in hours, events are kept for followers once audit has them; one that was away for longer begins anew. At least
    /// as long as what a restored backup of audit may lack
    #[arg(long, env = "TENANTRY_FEED_RETENTION_HOURS", default_value_t = 72, value_parser = clap::value_parser!(u32).range(1..=8_760))]
    pub feed_retention_hours: u32,
    /// What is logged, as `info` or `info,sqlx=debug`
    #[arg(long, env = "TENANTRY_LOG", default_value = "info")]
    pub log: String,
    /// How log lines look
    #[arg(long, env = "TENANTRY_LOG_FORMAT", value_enum, default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,
    /// Where traces go (OTLP over gRPC), as http://127.0.0.1:4317; nowhere if absent
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<String>,
}

impl Shared {
    /// The service's pools.
    #[must_use]
    pub fn pools(&self) -> PoolConfig {
        PoolConfig {
            app: self.app_database_url.0.clone(),
            platform: self.platform_database_url.0.clone(),
            app_connections: self.app_connections,
            platform_connections: self.platform_connections,
            statement_cache: self.statement_cache,
        }
    }
}

/// What a migration needs.
#[derive(Debug, Args)]
pub struct Migrate {
    /// Database, as the role <service>_owner, over a direct connection
    #[arg(long, env = "TENANTRY_OWNER_DATABASE_URL", hide_env_values = true)]
    pub owner_database_url: DatabaseUrl,
}
