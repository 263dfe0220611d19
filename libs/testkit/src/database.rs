//! A database of its own for each test, on one server that all tests of a run share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use tokio::sync::OnceCell;
use url::Url;

use crate::cluster::{Cluster, Role, unique_name};
use crate::postgres::{Durability, Postgres};
use crate::{environment, keys, paths, port};

/// The server that all tests share: the one that `./dev test` started, else one of this process.
///
/// # Errors
/// When Postgres isn't installed or doesn't start.
pub async fn shared_cluster() -> Result<&'static Cluster> {
    // A server that this process started lives as long as the process.
    static SHARED: OnceCell<(Cluster, Option<Postgres>)> = OnceCell::const_new();
    let (cluster, _) = SHARED
        .get_or_try_init(|| async {
            let (cluster, postgres) = match environment::get(environment::TEST_DATABASE_URL) {
                Some(url) => {
                    let url = Url::parse(&url)
                        .context("TENANTRY_TEST_DATABASE_URL isn't a postgres:// URL")?;
                    let secret = url.password().unwrap_or_default().to_owned();
                    (Cluster::new(url, secret), None)
                }
                None => {
                    let postgres = private_server(Durability::None).await?;
                    (postgres.cluster().clone(), Some(postgres))
                }
            };
            cluster.ensure_roles().await?;
            anyhow::Ok((cluster, postgres))
        })
        .await?;
    Ok(cluster)
}

/// A server of the caller's own, in a scratch folder: for tests that kill it.
///
/// # Errors
/// When Postgres isn't installed or doesn't start.
pub async fn private_server(durability: Durability) -> Result<Postgres> {
    let dir = paths::scratch("postgres")?;
    let log = paths::scratch("logs")?.join("postgres.log");
    let postgres =
        Postgres::prepare(&dir, port::free()?, &log, &keys::password(), durability).await?;
    postgres.start().await?;
    Ok(postgres)
}

/// A database with the services' schemas.
#[derive(Clone, Debug)]
pub struct TestDatabase {
    cluster: Cluster,
    name: String,
}

impl TestDatabase {
    /// A new database whose schemas are empty.
    ///
    /// # Errors
    /// When there is no server.
    pub async fn empty() -> Result<Self> {
        let cluster = shared_cluster().await?.clone();
        let name = unique_name("test");
        cluster.create_database(&name).await?;
        Ok(Self { cluster, name })
    }

    /// A new database that `migrate` has prepared: once per process and `key`, later ones are copies.
    ///
    /// # Errors
    /// When there is no server, or `migrate` fails.
    pub async fn migrated<M>(key: &str, migrate: M) -> Result<Self>
    where
        M: AsyncFnOnce(&Self) -> Result<()>,
    {
        static TEMPLATES: Mutex<Option<HashMap<String, Arc<OnceCell<String>>>>> = Mutex::new(None);
        let cell = {
            let mut templates = TEMPLATES.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(
                templates
                    .get_or_insert_default()
                    .entry(key.to_owned())
                    .or_default(),
            )
        };
        let cluster = shared_cluster().await?.clone();
        let template = cell
            .get_or_try_init(|| async {
                let template = Self {
                    cluster: cluster.clone(),
                    name: unique_name("template"),
                };
                template.cluster.create_database(&template.name).await?;
                migrate(&template).await?;
                template.cluster.seal_template(&template.name).await?;
                anyhow::Ok(template.name)
            })
            .await?;
        let name = unique_name("test");
        cluster.copy_database(template, &name).await?;
        Ok(Self { cluster, name })
    }

    /// A copy of this database, which is out of use from then on but for further copies: who is connected is sent away.
    ///
    /// # Errors
    /// When the server can't be reached.
    pub async fn copy(&self) -> Result<Self> {
        self.cluster.seal_template(&self.name).await?;
        let name = unique_name("test");
        self.cluster.copy_database(&self.name, &name).await?;
        Ok(Self {
            cluster: self.cluster.clone(),
            name,
        })
    }

    /// The server.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Its name on the server.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// URL for a role of a service.
    #[must_use]
    pub fn url(&self, service: &str, role: Role) -> Url {
        self.cluster.url(service, role, &self.name)
    }

    /// URL for the superuser, to look behind the services' backs.
    #[must_use]
    pub fn superuser_url(&self) -> Url {
        self.cluster.superuser_url(&self.name)
    }
}
