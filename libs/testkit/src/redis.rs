//! A private Redis.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;

use crate::keys;
use crate::paths;
use crate::port;
use crate::probe::Probe;
use crate::process::Command;
use crate::tools::Tool;
use crate::unit::Unit;

/// A private Redis that keeps its data in an append-only file.
#[derive(Debug)]
pub struct Redis {
    unit: Unit,
    url: String,
}

impl Redis {
    /// Prepares a Redis with data and configuration under `dir`, started by its unit.
    ///
    /// # Errors
    /// When redis-server isn't installed or `dir` can't be written.
    pub fn prepare(dir: &Path, port: u16, log: &Path) -> Result<Self> {
        fs::create_dir_all(dir)
            .with_context(|| format!("can't make the folder {}", dir.display()))?;
        let password = keys::password_file(&dir.join("password"))?;
        let config = dir.join("redis.conf");
        // The password stands in a file, because a command line is readable by every user.
        let lines = [
            "bind 127.0.0.1".to_owned(),
            format!("port {port}"),
            format!("dir {}", dir.display()),
            format!("requirepass {password}"),
            "appendonly yes".to_owned(),
            "save \"\"".to_owned(),
        ];
        paths::write_secret(&config, lines.join("\n").as_bytes())?;
        let command = Command::new(Tool::Redis.find()?, log)
            .arg(config)
            .death_signal(Signal::SIGTERM);
        let address = port::local(port);
        let url = format!("redis://:{password}@{address}");
        Ok(Self {
            unit: Unit::new("redis", command, Probe::Redis { address, password }),
            url,
        })
    }

    /// Its process.
    #[must_use]
    pub fn unit(&self) -> &Unit {
        &self.unit
    }

    /// `redis://` URL with the password.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}
