//! Everywhere that something could have come to stand: tables, logs, traces, metrics.

use std::fs;

use anyhow::Result;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tenantry_testkit::fleet::Fleet;
use tenantry_testkit::rest;

/// The schemas of all services.
const SCHEMAS: &[&str] = &["audit", "identity", "quota", "registry"];
/// Logs of commands whose output is meant for one operator's eyes.
const TOLD_ONCE: &[&str] = &["bootstrap-token.log"];

/// A name for messages of the test, and the bytes.
pub(super) type Haystack = (String, Vec<u8>);

/// Every row of every table, events, disclosed values and outboxes among them; bytes are in hex.
pub(super) async fn tables(fleet: &Fleet) -> Result<Vec<Haystack>> {
    let mut connection = PgConnection::connect(fleet.superuser_url().as_str()).await?;
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = ANY($1) ORDER BY 1",
    )
    .bind(SCHEMAS)
    .fetch_all(&mut connection)
    .await?;
    let mut all = Vec::new();
    for table in tables {
        let sql = format!("SELECT t::text FROM {table} AS t");
        let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_all(&mut connection)
            .await?;
        all.push((table, rows.join("\n").into_bytes()));
    }
    Ok(all)
}

/// The logs of the services and of the gateway.
pub(super) fn logs(fleet: &Fleet) -> Result<Vec<Haystack>> {
    let mut all = Vec::new();
    for file in fs::read_dir(fleet.dir().join("logs"))? {
        let file = file?;
        let name = file.file_name().to_string_lossy().into_owned();
        if !TOLD_ONCE.contains(&name.as_str()) {
            all.push((name, fs::read(file.path())?));
        }
    }
    Ok(all)
}

/// What the services tell of themselves.
pub(super) async fn metrics(fleet: &Fleet) -> Result<Vec<Haystack>> {
    let mut all = Vec::new();
    for service in fleet.services() {
        let page = rest::get_text(&format!("http://{}/metrics", service.metrics())).await?;
        let name = format!("metrics of {}", service.name());
        all.push((name, page.into_bytes()));
    }
    Ok(all)
}

/// The one-time tokens of all mails that were sent.
pub(super) fn mailed(fleet: &Fleet) -> Result<Vec<String>> {
    let mut tokens = Vec::new();
    for file in fs::read_dir(fleet.dir().join("mail"))? {
        let path = file?.path();
        let text = fs::read_to_string(&path)?.replace("=\r\n", "");
        let links = text.split(['"', ' ', '<', '>', '\r', '\n']);
        let tokens_of = links.filter_map(|word| {
            let token = word.rsplit('/').next()?;
            let known = token.starts_with("ti_") || token.starts_with("tw_");
            known.then(|| token.to_owned())
        });
        tokens.extend(tokens_of);
    }
    Ok(tokens)
}
