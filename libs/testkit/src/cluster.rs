//! A Postgres server as seen by its superuser: the services' roles, databases with the services' schemas, and the
//! URLs to connect with.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, anyhow};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use url::Url;

use crate::keys;

/// The services that have a schema of their own.
pub const SERVICES: [&str; 4] = ["registry", "identity", "audit", "quota"];
/// What services build on that Postgres brings along and a superuser makes: the service whose schema it lies in, and its name.
const EXTENSIONS: [(&str, &str); 1] = [("registry", "pg_trgm")];
/// The database of a fleet.
pub const DATABASE: &str = "tenantry";

/// Serialises the making of roles, which are common to all databases; the number means nothing.
const ROLES_LOCK: i64 = 7_236_118_204_415;

/// One of the three roles of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Owns the schema and migrates it.
    Owner,
    /// Serves tenants, behind row-level security.
    App,
    /// Serves the platform's own needs, across tenants.
    Platform,
}

impl Role {
    const ALL: [Self; 3] = [Self::Owner, Self::App, Self::Platform];

    /// Name of the role of a service, as `registry_app`.
    #[must_use]
    pub fn of(self, service: &str) -> String {
        let kind = match self {
            Self::Owner => "owner",
            Self::App => "app",
            Self::Platform => "platform",
        };
        format!("{service}_{kind}")
    }
}

/// A Postgres server and the secret that the roles' passwords derive from.
#[derive(Clone)]
pub struct Cluster {
    superuser: Url,
    secret: String,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster")
            .field("host", &self.superuser.host_str())
            .field("port", &self.superuser.port())
            .finish()
    }
}

impl Cluster {
    /// A server by its superuser's URL. Whoever gives the same secret gets the same passwords of the roles.
    #[must_use]
    pub fn new(superuser: Url, secret: impl Into<String>) -> Self {
        Self {
            superuser,
            secret: secret.into(),
        }
    }

    /// The same server, reached through another address: a pooler or a fault proxy.
    ///
    /// # Errors
    /// Never for `postgres://` URLs.
    pub fn via(&self, address: SocketAddr) -> Result<Self> {
        let mut superuser = self.superuser.clone();
        superuser
            .set_ip_host(address.ip())
            .map_err(|()| anyhow!("the Postgres URL takes no host"))?;
        superuser
            .set_port(Some(address.port()))
            .map_err(|()| anyhow!("the Postgres URL takes no port"))?;
        Ok(Self {
            superuser,
            secret: self.secret.clone(),
        })
    }

    /// URL of a database for the superuser.
    #[must_use]
    pub fn superuser_url(&self, database: &str) -> Url {
        let mut url = self.superuser.clone();
        url.set_path(database);
        url
    }

    /// URL of a database for a role of a service.
    #[must_use]
    pub fn url(&self, service: &str, role: Role, database: &str) -> Url {
        let mut url = self.superuser_url(database);
        let name = role.of(service);
        // Can't fail: the URL has a host.
        let _ = url.set_username(&name);
        let _ = url.set_password(Some(&self.password(&name)));
        url
    }

    /// Name and password of every role, for a pooler's user list.
    #[must_use]
    pub fn users(&self) -> Vec<(String, String)> {
        let roles = SERVICES
            .iter()
            .flat_map(|service| Role::ALL.map(|role| role.of(service)));
        let mut users: Vec<_> = roles
            .map(|name| (name.clone(), self.password(&name)))
            .collect();
        if let Some(password) = self.superuser.password() {
            users.push((self.superuser.username().to_owned(), password.to_owned()));
        }
        users
    }

    /// A connection as superuser.
    ///
    /// # Errors
    /// When the server can't be reached.
    pub async fn connect(&self, database: &str) -> Result<PgConnection> {
        PgConnection::connect(self.superuser_url(database).as_str())
            .await
            .with_context(|| format!("can't connect to {self:?}"))
    }

    /// Makes the services' roles, which are common to all databases, and sets their passwords and search paths.
    ///
    /// # Errors
    /// When the server can't be reached or refuses.
    pub async fn ensure_roles(&self) -> Result<()> {
        let mut connection = self.connect("postgres").await?;
        sqlx::query("SELECT pg_advisory_lock($1)")
            .bind(ROLES_LOCK)
            .execute(&mut connection)
            .await?;
        for service in SERVICES {
            for role in Role::ALL.map(|role| role.of(service)) {
                let exists: bool =
                    sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)")
                        .bind(&role)
                        .fetch_one(&mut connection)
                        .await?;
                let verb = if exists { "ALTER" } else { "CREATE" };
                let password = self.password(&role);
                run(
                    &mut connection,
                    format!(
                        "{verb} ROLE {role} LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE PASSWORD '{password}'; \
                         ALTER ROLE {role} SET search_path = {service}"
                    ),
                )
                .await?;
            }
        }
        // Closing ends the lock.
        connection.close().await?;
        Ok(())
    }

    /// Whether a database exists.
    ///
    /// # Errors
    /// When the server can't be reached.
    pub async fn has_database(&self, name: &str) -> Result<bool> {
        let mut connection = self.connect("postgres").await?;
        let exists =
            sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
                .bind(name)
                .fetch_one(&mut connection)
                .await?;
        connection.close().await?;
        Ok(exists)
    }

    /// Makes a database with an empty schema per service. The roles must exist.
    ///
    /// # Errors
    /// When the server can't be reached or the database exists.
    pub async fn create_database(&self, name: &str) -> Result<()> {
        let mut connection = self.connect("postgres").await?;
        run(&mut connection, format!("CREATE DATABASE {name}")).await?;
        run(
            &mut connection,
            format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC"),
        )
        .await?;
        connection.close().await?;
        let mut connection = self.connect(name).await?;
        for service in SERVICES {
            let [owner, app, platform] = Role::ALL.map(|role| role.of(service));
            run(
                &mut connection,
                format!(
                    "GRANT CONNECT ON DATABASE {name} TO {owner}, {app}, {platform}; \
                     CREATE SCHEMA {service} AUTHORIZATION {owner}; \
                     GRANT USAGE ON SCHEMA {service} TO {app}, {platform}"
                ),
            )
            .await?;
        }
        connection.close().await?;
        self.ensure_extensions(name).await
    }

    /// Makes the extensions that a database hasn't yet: migrations, which run as the schemas' owners, may not.
    ///
    /// # Errors
    /// When the server can't be reached, or hasn't the extension's files.
    pub async fn ensure_extensions(&self, name: &str) -> Result<()> {
        let mut connection = self.connect(name).await?;
        for (service, extension) in EXTENSIONS {
            run(
                &mut connection,
                format!("CREATE EXTENSION IF NOT EXISTS {extension} SCHEMA {service}"),
            )
            .await?;
        }
        connection.close().await?;
        Ok(())
    }

    /// Ends all connections to a database, so that it can serve as a template.
    ///
    /// # Errors
    /// When the server can't be reached.
    pub async fn seal_template(&self, name: &str) -> Result<()> {
        let mut connection = self.connect("postgres").await?;
        run(
            &mut connection,
            format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"),
        )
        .await?;
        sqlx::query(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1",
        )
        .bind(name)
        .execute(&mut connection)
        .await?;
        connection.close().await?;
        Ok(())
    }

    /// Copies a sealed template, which takes milliseconds.
    ///
    /// # Errors
    /// When the server can't be reached or the database exists.
    pub async fn copy_database(&self, template: &str, name: &str) -> Result<()> {
        let mut connection = self.connect("postgres").await?;
        run(
            &mut connection,
            format!("CREATE DATABASE {name} TEMPLATE {template}"),
        )
        .await?;
        let services = SERVICES
            .iter()
            .flat_map(|service| Role::ALL.map(|role| role.of(service)));
        let roles = services.collect::<Vec<_>>().join(", ");
        // A copy doesn't inherit the grants on the database itself.
        run(
            &mut connection,
            format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC; GRANT CONNECT ON DATABASE {name} TO {roles}"),
        )
        .await?;
        connection.close().await?;
        Ok(())
    }

    /// Removes a database and whoever is connected to it.
    ///
    /// # Errors
    /// When the server can't be reached.
    pub async fn drop_database(&self, name: &str) -> Result<()> {
        let mut connection = self.connect("postgres").await?;
        run(
            &mut connection,
            format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
        )
        .await?;
        connection.close().await?;
        Ok(())
    }

    fn password(&self, role: &str) -> String {
        let digest = Sha256::digest(format!("{}\n{role}", self.secret));
        URL_SAFE_NO_PAD.encode(digest)
    }
}

/// A name for a new database that no other test has.
#[must_use]
pub fn unique_name(prefix: &str) -> String {
    format!("{prefix}_{}", keys::password().to_lowercase())
}

/// Statements made of names from this crate; each is its own transaction where the server demands it.
async fn run(connection: &mut PgConnection, statements: String) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(statements))
        .execute(connection)
        .await?;
    Ok(())
}
