//! Where a fleet's data lies: the Postgres server, and the database on it.

use std::path::Path;

use anyhow::Result;

use super::config::{Database, FleetConfig};
use super::ports::Ports;
use crate::cluster::{Cluster, DATABASE};
use crate::database::{TestDatabase, private_server};
use crate::keys;
use crate::postgres::{Durability, Postgres};

/// The server and the name of the database on it, made where it isn't there yet.
pub(super) async fn database(
    config: &FleetConfig,
    dir: &Path,
    ports: &mut Ports,
) -> Result<(Option<Postgres>, Cluster, String)> {
    let (postgres, cluster) = match &config.database {
        Database::Shared => {
            let database = TestDatabase::empty().await?;
            return Ok((None, database.cluster().clone(), database.name().to_owned()));
        }
        Database::Own(durability) if config.dir.is_none() => {
            let postgres = private_server(*durability).await?;
            let cluster = postgres.cluster().clone();
            (Some(postgres), cluster)
        }
        Database::Own(durability) => {
            let postgres = lasting_server(config, dir, ports, *durability).await?;
            let cluster = postgres.cluster().clone();
            (Some(postgres), cluster)
        }
        Database::External(url) => {
            // The roles' passwords derive from a secret of ours, since the superuser's may change.
            (
                None,
                Cluster::new(
                    url.clone(),
                    keys::password_file(&dir.join("keys/postgres-password"))?,
                ),
            )
        }
    };
    cluster.ensure_roles().await?;
    if cluster.has_database(DATABASE).await? {
        // Made by an earlier release, perhaps.
        cluster.ensure_extensions(DATABASE).await?;
    } else {
        cluster.create_database(DATABASE).await?;
    }
    Ok((postgres, cluster, DATABASE.to_owned()))
}

async fn lasting_server(
    config: &FleetConfig,
    dir: &Path,
    ports: &mut Ports,
    durability: Durability,
) -> Result<Postgres> {
    let password = keys::password_file(&dir.join("keys/postgres-password"))?;
    let data = config
        .postgres_dir
        .clone()
        .unwrap_or_else(|| dir.join("postgres"));
    let log = dir.join("logs/postgres.log");
    let postgres =
        Postgres::prepare(&data, ports.take("postgres")?, &log, &password, durability).await?;
    postgres.start().await?;
    Ok(postgres)
}
