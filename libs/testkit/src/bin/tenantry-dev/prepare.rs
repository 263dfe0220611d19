//! `./dev prepare`: checks every query against a freshly migrated database, and renews the offline data in `.sqlx/`.

use std::fs::{self, FileTimes};
use std::path::Path;
use std::process::Command;
use std::time::UNIX_EPOCH;

use anyhow::{Context as _, Result, ensure};
use sqlx::Connection as _;
use sqlx::migrate::Migrator;
use tenantry_testkit::cluster::{Cluster, DATABASE, Role, SERVICES};
use tenantry_testkit::database::private_server;
use tenantry_testkit::paths;
use tenantry_testkit::postgres::Durability;

use crate::test::cargo;

/// Renews `.sqlx/`.
pub(crate) async fn run() -> Result<()> {
    let postgres = private_server(Durability::None).await?;
    let cluster = postgres.cluster();
    cluster.ensure_roles().await?;
    cluster.create_database(DATABASE).await?;
    let root = paths::repository();
    let fresh = paths::scratch("sqlx")?;
    let mut check = Command::new(cargo());
    check
        .arg("check")
        .arg("--workspace")
        .current_dir(&root)
        .env("SQLX_OFFLINE", "false")
        .env("SQLX_OFFLINE_DIR", &fresh);
    let shared = root.join("libs/store");
    for service in SERVICES {
        let own = root.join("services").join(service);
        println!("migrating schema {service}");
        // The shared tables stand in every service's schema; each list of migrations keeps its place in its own table.
        for (list, table) in [
            (&shared, "foundation_migrations"),
            (&own, "service_migrations"),
        ] {
            migrate(cluster, service, &list.join("migrations"), table).await?;
        }
        let variable = format!("{}_DATABASE_URL", service.to_uppercase());
        check.env(variable, cluster.url(service, Role::App, DATABASE).as_str());
        // Queries are checked while their crate compiles: make cargo compile it.
        touch(&own.join("src/lib.rs"))?;
    }
    touch(&shared.join("src/lib.rs"))?;
    let status = tokio::task::spawn_blocking(move || check.status())
        .await?
        .context("can't run cargo")?;
    ensure!(
        status.success(),
        "a query doesn't fit the database; the lines above name it. .sqlx/ is unchanged"
    );
    let queries = replace(&fresh, &root.join(".sqlx"))?;
    postgres.unit().stop().await?;
    paths::remove_scratch();
    println!(".sqlx/ holds {queries} queries");
    Ok(())
}

async fn migrate(
    cluster: &Cluster,
    service: &str,
    migrations: &Path,
    table: &'static str,
) -> Result<()> {
    let mut owner =
        sqlx::PgConnection::connect(cluster.url(service, Role::Owner, DATABASE).as_str()).await?;
    let mut migrator = Migrator::new(migrations.to_owned()).await?;
    migrator.dangerous_set_table_name(table);
    migrator
        .run(&mut owner)
        .await
        .with_context(|| format!("{} in schema {service}", migrations.display()))?;
    owner.close().await?;
    Ok(())
}

fn touch(file: &Path) -> Result<()> {
    let opened = fs::File::options()
        .append(true)
        .open(file)
        .with_context(|| format!("can't open {}", file.display()))?;
    let now = u64::try_from(tenantry_core::clock::now().as_millisecond())?;
    opened.set_times(
        FileTimes::new().set_modified(UNIX_EPOCH + std::time::Duration::from_millis(now)),
    )?;
    Ok(())
}

/// Replaces the query files of one folder by those of another, and tells how many there are.
fn replace(from: &Path, to: &Path) -> Result<usize> {
    let is_query = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with("query-");
    fs::create_dir_all(to)?;
    for old in fs::read_dir(to)?.flatten().filter(is_query) {
        fs::remove_file(old.path())?;
    }
    let mut count = 0;
    for new in fs::read_dir(from)?.flatten().filter(is_query) {
        fs::copy(new.path(), to.join(new.file_name()))?;
        count += 1;
    }
    Ok(count)
}
