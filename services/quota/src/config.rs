//! Quota's own configuration.

use std::time::Duration;

use clap::Args;

/// What quota needs besides what every service does.
#[derive(Debug, Args)]
pub struct Config {
    /// Replicas of registry, as http://127.0.0.1:7001,http://127.0.0.1:7002
    #[arg(
        long,
        env = "TENANTRY_REGISTRY_ADDRS",
        value_delimiter = ',',
        required = true
    )]
    pub registry_addrs: Vec<String>,
    /// Replicas of identity, as http://127.0.0.1:7101,http://127.0.0.1:7102
    #[arg(
        long,
        env = "TENANTRY_IDENTITY_ADDRS",
        value_delimiter = ',',
        required = true
    )]
    pub identity_addrs: Vec<String>,
    /// Redis that has the hot counters, as redis://:password@127.0.0.1:6379; of a Redis Cluster some of its nodes
    #[arg(
        long,
        env = "TENANTRY_REDIS_URLS",
        hide_env_values = true,
        value_delimiter = ',',
        required = true
    )]
    pub redis_urls: Vec<RedisUrl>,
    /// Whether that is a Redis Cluster
    #[arg(long, env = "TENANTRY_REDIS_CLUSTER")]
    pub redis_cluster: bool,
    /// How long, in milliseconds, an answer of Redis is waited for
    #[arg(long, env = "TENANTRY_REDIS_TIMEOUT_MS", default_value_t = 500, value_parser = clap::value_parser!(u64).range(10..=10_000))]
    pub redis_timeout_ms: u64,
    /// How long, in milliseconds, requests are served by what is known while registry can't be reached
    #[arg(long, env = "TENANTRY_FRESHNESS_GRACE_MS", default_value_t = 30_000, value_parser = clap::value_parser!(u64).range(1_000..=60_000))]
    pub freshness_grace_ms: u64,
}

impl Config {
    /// How long what is known serves without news.
    #[must_use]
    pub const fn freshness_grace(&self) -> Duration {
        Duration::from_millis(self.freshness_grace_ms)
    }

    /// How long an answer of Redis is waited for.
    #[must_use]
    pub const fn redis_timeout(&self) -> Duration {
        Duration::from_millis(self.redis_timeout_ms)
    }
}

/// Where a Redis is. Never shown, because it may hold a password.
#[derive(Clone)]
pub struct RedisUrl(pub String);

impl std::str::FromStr for RedisUrl {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl std::fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RedisUrl(..)")
    }
}
