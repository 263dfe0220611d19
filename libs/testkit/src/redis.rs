//! A private Redis: alone, as the replica of another, or as a node of a cluster.

use std::fs;
use std::path::{Path, PathBuf};

use ::redis::aio::MultiplexedConnection;
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
    dir: PathBuf,
    port: u16,
    password: String,
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
        Self::with(dir, port, log, password, &[])
    }

    /// The same, for one that follows another and has its password. It takes over by `REPLICAOF NO ONE`.
    ///
    /// # Errors
    /// As [`Redis::prepare`].
    pub fn prepare_replica(dir: &Path, port: u16, log: &Path, of: &Self) -> Result<Self> {
        let follow = format!("replicaof 127.0.0.1 {}", of.port);
        Self::with(dir, port, log, of.password.clone(), &[follow])
    }

    pub(crate) fn with(
        dir: &Path,
        port: u16,
        log: &Path,
        password: String,
        further: &[String],
    ) -> Result<Self> {
        fs::create_dir_all(dir)
            .with_context(|| format!("can't make the folder {}", dir.display()))?;
        let config = dir.join("redis.conf");
        // The password stands in a file, because a command line is readable by every user.
        let mut lines = vec![
            "bind 127.0.0.1".to_owned(),
            format!("port {port}"),
            format!("dir {}", dir.display()),
            format!("requirepass {password}"),
            format!("masterauth {password}"),
            "appendonly yes".to_owned(),
            "save \"\"".to_owned(),
            "repl-diskless-sync-delay 0".to_owned(),
            "enable-debug-command local".to_owned(),
        ];
        lines.extend_from_slice(further);
        paths::write_secret(&config, lines.join("\n").as_bytes())?;
        let command = Command::new(Tool::Redis.find()?, log)
            .arg(config)
            .death_signal(Signal::SIGTERM);
        let probe = Probe::Redis {
            address: port::local(port),
            password: password.clone(),
        };
        Ok(Self {
            unit: Unit::new("redis", command, probe),
            dir: dir.to_owned(),
            port,
            password,
        })
    }

    /// Its process.
    #[must_use]
    pub fn unit(&self) -> &Unit {
        &self.unit
    }

    /// The folder of its data.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `redis://` URL with the password.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://:{}@{}", self.password, port::local(self.port))
    }

    /// A connection of one's own, to look behind what others do with it.
    ///
    /// # Errors
    /// When it doesn't answer.
    pub async fn connect(&self) -> Result<MultiplexedConnection> {
        let client = ::redis::Client::open(self.url())?;
        Ok(client.get_multiplexed_async_connection().await?)
    }
}
