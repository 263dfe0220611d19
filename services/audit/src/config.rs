//! Audit's own configuration.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

/// What audit needs besides what every service does.
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
    /// File of the keys that checkpoints are signed with, one to a line (C2SP signed-note, PRIVATE+KEY+..): the first one
    /// signs, all are published; read again when it changes
    #[arg(long, env = "TENANTRY_LOG_KEY_FILE")]
    pub log_key_file: PathBuf,
    /// How long, in milliseconds, after a log has grown it is due for a checkpoint
    #[arg(long, env = "TENANTRY_CHECKPOINT_AFTER_MS", default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(50..=4_000))]
    pub checkpoint_after_ms: u64,
    /// How long, in milliseconds, requests and open streams are served by what is known while registry or identity can't be
    /// reached
    #[arg(long, env = "TENANTRY_FRESHNESS_GRACE_MS", default_value_t = 30_000, value_parser = clap::value_parser!(u64).range(1_000..=60_000))]
    pub freshness_grace_ms: u64,
}

impl Config {
    /// How long what is known serves without news.
    #[must_use]
    pub const fn freshness_grace(&self) -> Duration {
        Duration::from_millis(self.freshness_grace_ms)
    }

    /// How long after it has grown a log is due for a checkpoint.
    #[must_use]
    pub const fn checkpoint_after(&self) -> Duration {
        Duration::from_millis(self.checkpoint_after_ms)
    }
}
