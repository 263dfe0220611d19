//! Nothing acknowledged is lost and nothing happens twice, whatever is killed meanwhile.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::future::try_join_all;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use tenantry_testkit::fleet::{Database, Fleet, FleetConfig};
use tenantry_testkit::postgres::Durability;
use tenantry_testkit::rest::Rest;
use tenantry_testkit::unit::Unit;
use tenantry_testkit::wait::until;
use tokio::sync::{Mutex, watch};

use crate::support::insist::insist;
use crate::support::served::served;
use crate::support::watch::Watch;
use crate::support::world::text;
use crate::support::{OwnFleet, full, unique};

const CLIENTS: usize = 16;
/// Longest time without work after a kill, and without a watch.
const GOES_ON_WITHIN: Duration = Duration::from_secs(120);

/// How long the storm lasts.
struct Plan {
    kills: usize,
    acknowledged: usize,
    /// Identity, Envoy and Postgres are killed too, and connections to the database are cut.
    everything: bool,
}

/// What was acknowledged: each tenant's newest version, and the name it had at each.
type Acknowledged = Mutex<HashMap<String, BTreeMap<i64, String>>>;

async fn client(
    rest: &Rest,
    acknowledged: &Acknowledged,
    count: &watch::Sender<usize>,
    stop: &AtomicBool,
) -> Result<()> {
    let note = async |tenant: &Value| {
        let version: i64 = text(tenant, "etag").parse()?;
        acknowledged
            .lock()
            .await
            .entry(text(tenant, "id"))
            .or_default()
            .insert(version, text(tenant, "name"));
        count.send_modify(|count| *count += 1);
        anyhow::Ok(())
    };
    while !stop.load(Ordering::Relaxed) {
        let body = json!({"name": unique("Storm"), "request_id": unique("create")});
        let tenant = insist(rest, reqwest::Method::POST, "/api/v1/tenants", &body).await?;
        note(&tenant).await?;
        for _ in 0..4 {
            let body = json!({"name": unique("Storm"), "request_id": unique("update")});
            let path = format!("/api/v1/tenants/{}", text(&tenant, "id"));
            let updated = insist(rest, reqwest::Method::PATCH, &path, &body).await?;
            assert_eq!(
                updated["name"], body["name"],
                "the answer is of this change"
            );
            note(&updated).await?;
        }
    }
    Ok(())
}

/// Follows the feed over every break, each time with its last token; returns the versions of each tenant as they came.
async fn watcher(
    rest: &Rest,
    mut token: String,
    stop: &AtomicBool,
) -> Result<HashMap<String, Vec<i64>>> {
    let mut seen: HashMap<String, Vec<i64>> = HashMap::new();
    let mut reconnects = 0;
    let mut quiet = 0;
    // After the storm: until a whole second of bookmarks brought nothing new.
    while quiet < 4 {
        let mut watch = until("watch", GOES_ON_WITHIN, async || {
            Ok(Watch::open(rest, &token).await.ok())
        })
        .await?;
        reconnects += 1;
        while let Ok(Some(item)) = watch.next().await {
            if let Some(change) = item.get("change") {
                let version: i64 = text(change, "version").parse()?;
                seen.entry(text(&change["tenant"], "id"))
                    .or_default()
                    .push(version);
                quiet = 0;
            } else if item.get("bookmark").is_some() && stop.load(Ordering::Relaxed) {
                quiet += 1;
            }
            watch.token.clone_into(&mut token);
            if quiet >= 4 {
                break;
            }
        }
    }
    println!("the watcher connected {reconnects} times");
    Ok(seen)
}

async fn storm(plan: Plan) -> Result<()> {
    let fleet = OwnFleet::start(FleetConfig {
        database: Database::Own(Durability::Full),
        database_proxies: plan.everything,
        ..FleetConfig::replicas(2)
    })
    .await?;
    let operator = fleet.operator_rest()?;
    let acknowledged = Acknowledged::default();
    let count = watch::Sender::new(0);
    let mut counted = count.subscribe();
    let stop = AtomicBool::new(false);
    // The present state is empty; from its bookmark on every change comes as one.
    let mut watch = Watch::open(&operator, "").await?;
    watch.until(|item| item.get("bookmark").is_some()).await?;
    let clients =
        try_join_all((0..CLIENTS).map(|_| client(&operator, &acknowledged, &count, &stop)));
    let killer = async {
        let mut kills = 0;
        while kills < plan.kills || *count.borrow() < plan.acknowledged {
            let reached = *count.borrow() + 20;
            if plan.everything {
                fleet.database_proxy("registry").cut_reply_to_next_commit();
            }
            match kills % 8 {
                3 if plan.everything => {
                    again(fleet.service("identity", kills / 8 % 2).unit()).await?
                }
                5 if plan.everything => again(fleet.envoy().unit()).await?,
                7 if plan.everything => {
                    let postgres = fleet.postgres().unwrap();
                    postgres.unit().kill_9().await?;
                    postgres.start().await?;
                }
                n => again(fleet.service("registry", n % 2).unit()).await?,
            }
            kills += 1;
            // The next one once work went on.
            tokio::time::timeout(GOES_ON_WITHIN, counted.wait_for(|count| *count >= reached))
                .await
                .context("no work goes on")??;
        }
        stop.store(true, Ordering::Relaxed);
        anyhow::Ok(kills)
    };
    let watched = watcher(&operator, watch.token, &stop);
    let (_, seen, kills) = tokio::try_join!(clients, watched, killer)?;
    for (service, method) in [
        ("registry", "TenantService/"),
        ("identity", "Authorization/Check"),
    ] {
        // The one that was killed last comes back into the gateway's turn a moment later.
        let all_serve = async {
            loop {
                let parts = served(&fleet, service, method).await?;
                if parts.iter().all(|part| *part > 0) {
                    return anyhow::Ok(parts);
                }
                operator.get("/api/v1/tenants?page_size=1").await?;
            }
        };
        let parts = tokio::time::timeout(Duration::from_secs(20), all_serve)
            .await
            .context("each replica serves a part")??;
        println!("{service}'s replicas served since their last start: {parts:?}");
    }
    let acknowledged = acknowledged.lock().await;
    println!(
        "{kills} kills, {} acknowledged changes of {} tenants",
        *count.borrow(),
        acknowledged.len()
    );
    compare(&fleet, &acknowledged, &seen).await?;
    fleet.stop().await
}

/// kill -9, and start.
async fn again(unit: &Unit) -> Result<()> {
    unit.kill_9().await?;
    unit.start().await
}

/// Holds what was acknowledged and what was watched against what is stored.
async fn compare(
    fleet: &Fleet,
    acknowledged: &HashMap<String, BTreeMap<i64, String>>,
    seen: &HashMap<String, Vec<i64>>,
) -> Result<()> {
    let mut connection = PgConnection::connect(fleet.superuser_url().as_str()).await?;
    for (id, versions) in acknowledged {
        let (name, version): (String, i64) =
            sqlx::query_as("SELECT name, version FROM registry.tenants WHERE tenant_id = $1::uuid")
                .bind(id)
                .fetch_one(&mut connection)
                .await?;
        let events: Vec<(i64, String, i64)> = sqlx::query_as(
            "SELECT n, event -> 'after' ->> 'name', (event -> 'after' ->> 'version')::bigint
             FROM registry.outbox WHERE tenant_id = $1::uuid ORDER BY n",
        )
        .bind(id)
        .fetch_all(&mut connection)
        .await?;
        let numbers: Vec<i64> = events.iter().map(|(n, ..)| *n).collect();
        assert_eq!(
            numbers,
            (1..=version).collect::<Vec<_>>(),
            "{id}: one event for each change, gapless"
        );
        for (n, event_name, event_version) in &events {
            assert_eq!(n, event_version, "{id}: in the order of the changes");
            if let Some(told) = versions.get(event_version) {
                assert_eq!(told, event_name, "{id}: the change that was acknowledged");
            }
        }
        let (newest, told) = versions.last_key_value().unwrap();
        assert!(
            version >= *newest,
            "{id}: version {newest} was acknowledged, {version} is stored"
        );
        if version == *newest {
            assert_eq!(&name, told);
        }
        assert_eq!(
            seen.get(id),
            Some(&numbers),
            "{id}: the watcher saw each change once, in order"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_registry_loses_and_repeats_nothing() -> Result<()> {
    storm(Plan {
        kills: 4,
        acknowledged: 300,
        everything: false,
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_anything_and_cutting_the_database_loses_and_repeats_nothing() -> Result<()> {
    let (kills, acknowledged) = if full() { (24, 2_000) } else { (8, 200) };
    storm(Plan {
        kills,
        acknowledged,
        everything: true,
    })
    .await
}
