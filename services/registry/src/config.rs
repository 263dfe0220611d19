//! Registry's own configuration.

use std::path::PathBuf;

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
}
