//! One replica of one of Tenantry's services, as a process.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::environment;
use crate::probe::Probe;
use crate::process::Command;
use crate::unit::Unit;

/// One replica.
#[derive(Debug)]
pub struct Service {
    name: &'static str,
    replica: usize,
    address: SocketAddr,
    metrics: SocketAddr,
    unit: Unit,
}

impl Service {
    /// Prepares `<name> serve`, started by its unit.
    ///
    /// # Errors
    /// When the service isn't built.
    pub fn prepare(
        name: &'static str,
        replica: usize,
        (address, metrics): (SocketAddr, SocketAddr),
        environment: &BTreeMap<String, String>,
        log: &Path,
    ) -> Result<Self> {
        let command = command(name, "serve", environment, log)?
            .env("TENANTRY_LISTEN", address.to_string())
            .env("TENANTRY_METRICS_LISTEN", metrics.to_string());
        let unit = Unit::new(
            format!("{name}-{replica}"),
            command,
            Probe::GrpcHealth(address),
        );
        Ok(Self {
            name,
            replica,
            address,
            metrics,
            unit,
        })
    }

    /// Name of the service.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Number of the replica, from 0.
    #[must_use]
    pub fn replica(&self) -> usize {
        self.replica
    }

    /// Where it serves gRPC.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it serves Prometheus metrics.
    #[must_use]
    pub fn metrics(&self) -> SocketAddr {
        self.metrics
    }

    /// Its process.
    #[must_use]
    pub fn unit(&self) -> &Unit {
        &self.unit
    }
}

/// A subcommand of a service's binary.
///
/// # Errors
/// When the service isn't built.
pub fn command(
    name: &str,
    subcommand: &str,
    environment: &BTreeMap<String, String>,
    log: &Path,
) -> Result<Command> {
    let mut command = Command::new(binary(name)?, log).arg(subcommand);
    for (name, value) in environment {
        command = command.env(name, value);
    }
    Ok(command)
}

/// A binary of the workspace: in TENANTRY_BIN_DIR, else where cargo put the running executable.
///
/// # Errors
/// When it isn't built.
pub fn binary(name: &str) -> Result<PathBuf> {
    let dir = match environment::get(environment::BIN_DIR) {
        Some(dir) => PathBuf::from(dir),
        None => {
            let executable = std::env::current_exe()?;
            let dir = executable
                .parent()
                .context("the running executable lies in no folder")?;
            // Test binaries lie one level deeper.
            if dir.ends_with("deps") {
                dir.join("..")
            } else {
                dir.to_owned()
            }
        }
    };
    let path = dir.join(name);
    ensure!(
        path.exists(),
        "{} isn't built. Run: cargo build --workspace --bins",
        path.display()
    );
    Ok(path)
}
