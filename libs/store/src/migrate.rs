//! Migrations: first the tables that every service has, then the service's own, each list with a table of its own to
//! keep its place. Runs as the schema's owner, over a direct connection, never through a pooler.

use sqlx::Connection as _;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgConnection};

/// Runs what hasn't run yet.
///
/// # Errors
/// The database doesn't answer, or a migration that ran was edited since.
pub async fn run(owner: &PgConnectOptions, service: Migrator) -> anyhow::Result<()> {
    let mut conn = PgConnection::connect_with(owner).await?;
    sqlx::migrate!("./migrations").run(&mut conn).await?;
    service.run(&mut conn).await?;
    conn.close().await?;
    Ok(())
}
