//! Registry's own configuration.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

/// What registry needs besides what every service does.
#[derive(Debug, Args)]
pub struct Config {
    /// File of the plan catalogue
    #[arg(long, env = "TENANTRY_PLANS_FILE")]
    pub plans_file: PathBuf,
    /// Replicas of identity, as http://127.0.0.1:7101,http://127.0.0.1:7102
    #[arg(
        long,
        env = "TENANTRY_IDENTITY_ADDRS",
        value_delimiter = ',',
        required = true
    )]
    pub identity_addrs: Vec<String>,
    /// Replicas of quota, as http://127.0.0.1:7301,http://127.0.0.1:7302
    #[arg(
        long,
        env = "TENANTRY_QUOTA_ADDRS",
        value_delimiter = ',',
        required = true
    )]
    pub quota_addrs: Vec<String>,
    /// How long, in milliseconds, open streams live on while identity can't be reached
    #[arg(long, env = "TENANTRY_FRESHNESS_GRACE_MS", default_value_t = 30_000, value_parser = clap::value_parser!(u64).range(1_000..=60_000))]
    pub freshness_grace_ms: u64,
    /// Domain whose subdomains name tenants, as tenants.example.com; none if absent
    #[arg(long, env = "TENANTRY_BASE_DOMAIN")]
    pub base_domain: Option<String>,
    /// DNS servers that are asked for the records of custom domains, as 192.0.2.53:53; the system's if absent
    #[arg(long, env = "TENANTRY_DNS_SERVERS", value_delimiter = ',')]
    pub dns_servers: Vec<SocketAddr>,
}

impl Config {
    /// How long open streams live without news of revocations.
    #[must_use]
    pub const fn freshness_grace(&self) -> Duration {
        Duration::from_millis(self.freshness_grace_ms)
    }
}
