//! A private Postgres server.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use url::Url;

use crate::cluster::Cluster;
use crate::paths;
use crate::port;
use crate::probe::Probe;
use crate::process::{Command, unprivileged_user};
use crate::tools::Tool;
use crate::unit::Unit;

const SUPERUSER: &str = "postgres";
/// Statements whose calls are counted: those of many tests' databases.
const STATEMENTS: u32 = 20_000;
/// Backends of a killed server need a moment to notice; until then the next one refuses to start. What it says of that may be lost
/// among what they say.
const PREDECESSOR_GONE_WITHIN: Duration = Duration::from_secs(15);

/// What kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// A commit is on disk when it is acknowledged, as in production.
    Full,
    /// Fast, for tests that crash no server.
    None,
}

/// A private Postgres server with password authentication on 127.0.0.1, and no socket.
#[derive(Debug)]
pub struct Postgres {
    unit: Unit,
    cluster: Cluster,
}

impl Postgres {
    /// Prepares a server with its data in `dir/data`, made on the first call. As root the server runs as a user of its
    /// own, so `dir` must be where that user can reach it.
    ///
    /// # Errors
    /// When Postgres isn't installed or the data can't be made.
    pub async fn prepare(
        dir: &Path,
        port: u16,
        log: &Path,
        password: &str,
        durability: Durability,
    ) -> Result<Self> {
        let user = unprivileged_user()?;
        fs::create_dir_all(dir)
            .with_context(|| format!("can't make the folder {}", dir.display()))?;
        if let Some(user) = &user {
            fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
            chown(dir, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
        }
        let data = dir.join("data");
        let user_name = user.as_ref().map(|user| user.name.clone());
        if !data.join("PG_VERSION").exists() {
            let password_file = dir.join("initial-password");
            paths::write_secret(&password_file, password.as_bytes())?;
            if let Some(user) = &user {
                chown(
                    &password_file,
                    Some(user.uid.as_raw()),
                    Some(user.gid.as_raw()),
                )?;
            }
            Command::new(Tool::Initdb.find()?, log)
                .user(user_name.clone())
                .args([
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    "--locale=C.UTF-8",
                    "--no-sync",
                    "--no-instructions",
                ])
                .arg(format!("--username={SUPERUSER}"))
                .arg(format!("--pwfile={}", password_file.display()))
                .arg(format!("--pgdata={}", data.display()))
                .output()
                .await?;
            fs::remove_file(password_file)?;
        }
        let address = port::local(port);
        let mut settings = vec![
            "listen_addresses=127.0.0.1".to_owned(),
            format!("port={port}"),
            // Passwords over TCP for everybody: a socket's path may be too long below a deep checkout.
            "unix_socket_directories=".to_owned(),
            "max_connections=500".to_owned(),
            "shared_buffers=128MB".to_owned(),
            "timezone=UTC".to_owned(),
            "log_timezone=UTC".to_owned(),
        ];
        if durability == Durability::None {
            settings.extend(
                [
                    "fsync=off",
                    "synchronous_commit=off",
                    "full_page_writes=off",
                ]
                .map(str::to_owned),
            );
        }
        let program = Tool::Postgres.find()?;
        if counts_statements(&program) {
            settings.push("shared_preload_libraries=pg_stat_statements".to_owned());
            settings.push(format!("pg_stat_statements.max={STATEMENTS}"));
        }
        let command = Command::new(program, log)
            .user(user_name)
            .arg("-D")
            .arg(data)
            .args(
                settings
                    .into_iter()
                    .flat_map(|setting| ["-c".to_owned(), setting]),
            )
            // INT is Postgres's fast shutdown, which leaves clean data.
            .death_signal(Signal::SIGINT);
        let superuser = Url::parse(&format!(
            "postgres://{SUPERUSER}:{password}@{address}/postgres"
        ))?;
        let unit = Unit::new("postgres", command, Probe::Postgres(superuser.clone()))
            .stop_signal(Signal::SIGINT);
        Ok(Self {
            unit,
            cluster: Cluster::new(superuser, password),
        })
    }

    /// Starts it and returns when it answers, also right after a kill -9.
    ///
    /// # Errors
    /// As [`Unit::start`].
    pub async fn start(&self) -> Result<()> {
        let deadline = Instant::now() + PREDECESSOR_GONE_WITHIN;
        loop {
            let Err(error) = self.unit.start().await else {
                return Ok(());
            };
            if Instant::now() > deadline {
                return Err(error);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Its process.
    #[must_use]
    pub fn unit(&self) -> &Unit {
        &self.unit
    }

    /// How to connect to it.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }
}

/// Whether this server comes with pg_stat_statements. Debian's does; without it the server serves as well, and the tests
/// that count say what is missing.
fn counts_statements(program: &Path) -> bool {
    program
        .parent()
        .is_some_and(|bin| bin.join("../lib/pg_stat_statements.so").exists())
}
