//! Writers whose every change has to be one event of the log, and whether it is.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use sqlx::{Connection as _, PgConnection};
use tenantry_testkit::fleet::Fleet;
use tenantry_testkit::rest::Rest;
use tenantry_testkit::wait::until;
use tokio::sync::{Mutex, watch};

use super::insist::insist;
use super::unique;
use super::world::text;

/// Longest time until the log has what was committed.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(120);
/// Events of one request that records some.
const RECORDED: usize = 5;
/// Updates of each tenant.
const UPDATES: usize = 4;

/// Names that were given and acknowledged, to tenants or in events that were recorded; each is given once.
pub type Acknowledged = Mutex<Vec<String>>;

/// Makes tenants and renames them until it is told to stop, each change until it is acknowledged.
pub async fn writer(
    rest: &Rest,
    acknowledged: &Acknowledged,
    count: &watch::Sender<usize>,
    stop: &AtomicBool,
) -> Result<()> {
    let note = async |name: &str| {
        acknowledged.lock().await.push(name.to_owned());
        count.send_modify(|count| *count += 1);
    };
    while !stop.load(Ordering::Relaxed) {
        let body = json!({"name": unique("Storm"), "request_id": unique("create")});
        let tenant = insist(rest, reqwest::Method::POST, "/api/v1/tenants", &body).await?;
        note(&text(&body, "name")).await;
        let path = format!("/api/v1/tenants/{}", text(&tenant, "id"));
        for _ in 0..UPDATES {
            let body = json!({"name": unique("Storm"), "request_id": unique("update")});
            insist(rest, reqwest::Method::PATCH, &path, &body).await?;
            note(&text(&body, "name")).await;
        }
    }
    Ok(())
}

/// Makes a tenant, and records events of the product's own in its log until it is told to stop, each request until it is
/// acknowledged.
pub async fn recorder(rest: &Rest, acknowledged: &Acknowledged, stop: &AtomicBool) -> Result<()> {
    let body = json!({"name": unique("Recorder"), "request_id": unique("create")});
    let tenant = insist(rest, reqwest::Method::POST, "/api/v1/tenants", &body).await?;
    let path = format!("/api/v1/tenants/{}/events", text(&tenant, "id"));
    while !stop.load(Ordering::Relaxed) {
        let names: Vec<_> = (0..RECORDED).map(|_| unique("recorded")).collect();
        let events = names.iter().map(|name| {
            let changes = json!({"name": {"before": null, "after": name}});
            json!({"event_type": "storm.passed", "resource_type": "storm", "resource_id": name, "changes": changes})
        });
        let events: Vec<_> = events.collect();
        let body = json!({"source": "storm", "events": events, "request_id": unique("record")});
        insist(rest, reqwest::Method::POST, &path, &body).await?;
        acknowledged.lock().await.extend(names);
    }
    Ok(())
}

/// Holds the log against what was acknowledged and what is committed.
pub async fn compare(fleet: &Fleet, acknowledged: &[String]) -> Result<()> {
    let mut connection = PgConnection::connect(fleet.superuser_url().as_str()).await?;
    for service in ["registry", "identity", "audit", "quota"] {
        caught_up(&mut connection, service).await?;
        let (apart, streams): (i64, i64) = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "SELECT count(*) FILTER (WHERE e.event_id IS NULL OR o.event_id IS NULL OR o.n <> e.n OR o.at <> e.at),
                    count(DISTINCT e.tenant_id)
             FROM {service}.outbox AS o
             FULL JOIN (SELECT tenant_id, event_id, n, at FROM audit.events WHERE source = '{service}') AS e
                 USING (tenant_id, event_id)"
        )))
        .fetch_one(&mut connection)
        .await?;
        println!("{service}: {streams} streams, {apart} events apart from their outbox");
        assert_eq!(
            apart, 0,
            "{service}: each committed event once, with its number"
        );
    }
    let broken: Vec<String> = sqlx::query_scalar(
        "SELECT format('%s %s', tenant_id, source) FROM audit.events GROUP BY tenant_id, source
         HAVING min(n) <> 1 OR max(n) <> count(*) OR count(DISTINCT n) <> count(*)",
    )
    .fetch_all(&mut connection)
    .await?;
    assert!(broken.is_empty(), "numbers with gaps: {broken:?}");
    let broken: Vec<String> = sqlx::query_scalar(
        "SELECT l.tenant_id::text FROM audit.logs AS l LEFT JOIN audit.events AS e USING (tenant_id) GROUP BY l.tenant_id, l.size
         HAVING count(DISTINCT e.index) <> l.size OR count(e.index) <> l.size OR max(e.index) <> l.size - 1",
    )
    .fetch_all(&mut connection)
    .await?;
    assert!(broken.is_empty(), "logs with gaps: {broken:?}");
    let missing: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM unnest($1::text[]) AS a (name)
         LEFT JOIN audit.events AS e ON e.leaf::jsonb #>> '{changes,name,after}' = a.name
         GROUP BY name HAVING count(e.index) <> 1",
    )
    .bind(acknowledged)
    .fetch_all(&mut connection)
    .await?;
    assert!(missing.is_empty(), "not exactly one event: {missing:?}");
    Ok(())
}

/// Returns once the log has all that a service committed.
pub async fn caught_up(connection: &mut PgConnection, service: &str) -> Result<()> {
    let behind = format!(
        "SELECT count(*) FROM {service}.outbox_counter AS c
         LEFT JOIN audit.sources AS s ON s.tenant_id = c.tenant_id AND s.source = '{service}'
         WHERE c.n > coalesce(s.last_n, 0)"
    );
    until("log that has all", CAUGHT_UP_WITHIN, async || {
        let behind: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(behind.clone()))
            .fetch_one(&mut *connection)
            .await?;
        Ok((behind == 0).then_some(()))
    })
    .await
}
