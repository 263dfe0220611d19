//! Registry's own configuration.

use std::path::PathBuf;

use clap::Args;

/// What registry needs besides what every service does.
#[derive(Debug, Args)]
pub struct Config {
    /// File of the plan catalogue
    #[arg(long, env = "TENANTRY_PLANS_FILE")]
    pub plans_file: PathBuf,
}
