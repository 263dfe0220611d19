//! A private PgBouncer in transaction mode, to prove that nothing in the services is bound to a session.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::chown;

use anyhow::Result;
use url::Url;

use crate::cluster::Cluster;
use crate::probe::Probe;
use crate::process::{Command, unprivileged_user};
use crate::tools::Tool;
use crate::unit::Unit;
use crate::{paths, port};

/// A private PgBouncer before one cluster.
#[derive(Debug)]
pub struct PgBouncer {
    unit: Unit,
    address: SocketAddr,
    cluster: Cluster,
}

impl PgBouncer {
    /// Starts a pooler with at most `pool_size` server connections per role and database.
    ///
    /// # Errors
    /// When PgBouncer isn't installed or doesn't start.
    pub async fn start(cluster: &Cluster, pool_size: usize) -> Result<Self> {
        let dir = paths::scratch("pgbouncer")?;
        let user = unprivileged_user()?;
        let address = port::local(port::free()?);
        let server = cluster.superuser_url("postgres");
        let users: String = cluster
            .users()
            .iter()
            .map(|(name, password)| format!("\"{name}\" \"{password}\"\n"))
            .collect();
        let user_list = dir.join("users.txt");
        paths::write_secret(&user_list, users.as_bytes())?;
        let config = dir.join("pgbouncer.ini");
        let lines = [
            "[databases]".to_owned(),
            format!(
                "* = host={} port={}",
                server.host_str().unwrap_or("127.0.0.1"),
                server.port().unwrap_or(5432)
            ),
            "[pgbouncer]".to_owned(),
            format!(
                "listen_addr = {}\nlisten_port = {}",
                address.ip(),
                address.port()
            ),
            "unix_socket_dir =".to_owned(),
            format!(
                "auth_type = scram-sha-256\nauth_file = {}",
                user_list.display()
            ),
            format!(
                "pool_mode = transaction\ndefault_pool_size = {pool_size}\nmax_client_conn = 500"
            ),
            "server_reset_query =\nignore_startup_parameters = extra_float_digits".to_owned(),
        ];
        paths::write_secret(&config, lines.join("\n").as_bytes())?;
        if let Some(user) = &user {
            for path in [&dir, &user_list, &config] {
                chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
            }
        }
        let log = paths::scratch("logs")?.join("pgbouncer.log");
        fs::File::create(&log)?;
        let command = Command::new(Tool::PgBouncer.find()?, log)
            .user(user.map(|user| user.name))
            .arg(config);
        let unit = Unit::new("pgbouncer", command, Probe::Tcp(address));
        unit.start().await?;
        Ok(Self {
            unit,
            address,
            cluster: cluster.via(address)?,
        })
    }

    /// Its process.
    #[must_use]
    pub fn unit(&self) -> &Unit {
        &self.unit
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The cluster as reached through it. PgBouncer before 1.21 needs a statement cache of 0.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }
}

/// A URL of the same database and role, through a pooler or proxy.
///
/// # Errors
/// Never for `postgres://` URLs.
pub fn through(url: &Url, address: SocketAddr) -> Result<Url> {
    let mut url = url.clone();
    let refuse = |()| anyhow::anyhow!("the URL takes no other address");
    url.set_ip_host(address.ip()).map_err(refuse)?;
    url.set_port(Some(address.port())).map_err(refuse)?;
    Ok(url)
}
