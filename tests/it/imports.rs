//! Ten thousand tenants come from one file, each once, whoever is killed meanwhile.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use tenantry_testkit::fleet::{Fleet, FleetConfig};
use tenantry_testkit::rest::Rest;
use tenantry_testkit::wait::until;

use crate::support::insist::insist;
use crate::support::world::text;
use crate::support::{OwnFleet, full, unique};

/// Every so many rows are bad, each in its own way.
const BAD_EVERY: usize = 250;
/// An import that doesn't go on for this long has stopped.
const STANDS_STILL: Duration = Duration::from_secs(60);

/// A file of so many rows, and the reasons that some of them are refused for.
fn file(rows: usize) -> (String, Vec<(usize, &'static str)>) {
    let mut file =
        "name,slug,external_id,email,subscription_tier,parent_external_id,labels.import\n"
            .to_owned();
    let mut bad = Vec::new();
    for row in 1..=rows {
        let mut cells = [
            format!("Tenant {row}"),
            format!("imported-{row}"),
            format!("crm-{row}"),
            "ops@example.com".to_owned(),
            "basic".to_owned(),
            // Below the first of its hundred.
            match row % 100 {
                1 => String::new(),
                _ => format!("crm-{}", row - (row + 99) % 100),
            },
            "many".to_owned(),
        ];
        if row % BAD_EVERY == 0 {
            let (cell, value, reason) = match (row / BAD_EVERY) % 4 {
                0 => (1, "admin", "SLUG_RESERVED"),
                1 => (2, "crm-2", "EXTERNAL_ID_TAKEN"),
                2 => (3, "nobody", "INVALID_ARGUMENT"),
                _ => (4, "gold", "PLAN_NOT_FOUND"),
            };
            value.clone_into(&mut cells[cell]);
            bad.push((row, reason));
        }
        let _ = writeln!(file, "{}", cells.join(","));
    }
    (file, bad)
}

/// Follows an import to its end; of its counts each that differed from the one before.
async fn follow(
    operator: &Rest,
    import: &str,
    mut seen: impl AsyncFnMut(i64) -> Result<()>,
) -> Result<(Value, Vec<i64>)> {
    let path = format!("/api/v1/tenant-imports/{import}");
    let mut counts = Vec::new();
    loop {
        // While a replica is being killed, some answers don't come.
        let moved = until("progress of the import", STANDS_STILL, async || {
            let Ok(answer) = operator.get(&path).await else {
                return Ok(None);
            };
            if answer.status != 200 {
                return Ok(None);
            }
            let import = answer.json();
            let done = import["done_count"].as_i64().context("done_count")?;
            let ended = !import["finished_at"].is_null();
            Ok((ended || counts.last() != Some(&done)).then_some((done, import)))
        });
        let (done, import) = moved.await.with_context(|| format!("at {counts:?}"))?;
        if counts.last() != Some(&done) {
            counts.push(done);
        }
        if !import["finished_at"].is_null() {
            return Ok((import, counts));
        }
        seen(done).await?;
    }
}

/// All pages of a list.
async fn all(rest: &Rest, path: &str, field: &str) -> Result<Vec<Value>> {
    let mut items = Vec::new();
    let mut token = String::new();
    loop {
        let page = rest
            .get(&format!("{path}page_size=1000&page_token={token}"))
            .await?
            .ok()?;
        items.extend(page[field].as_array().context("items")?.clone());
        token = text(&page, "next_page_token");
        if token.is_empty() {
            return Ok(items);
        }
    }
}

/// Tenants, and events that tell of new ones by this person, in so many streams.
async fn made(fleet: &Fleet) -> Result<(i64, i64, i64)> {
    let mut database = PgConnection::connect(fleet.superuser_url().as_str()).await?;
    let made = sqlx::query_as(
        "SELECT (SELECT count(*) FROM registry.tenants WHERE labels ? 'import'), count(*), count(DISTINCT tenant_id)
         FROM registry.outbox
         WHERE action = 'tenant.created' AND event -> 'after' -> 'labels' ? 'import'
           AND event -> 'actor' ->> 'kind' <> 'service'",
    )
    .fetch_one(&mut database)
    .await?;
    Ok(made)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_tenants_is_tried_and_then_imported_each_row_once_though_registry_is_killed()
-> Result<()> {
    let (rows, most_kills) = if full() { (10_000, 6) } else { (1_000, 2) };
    let fleet = OwnFleet::start(FleetConfig::replicas(2)).await?;
    let operator = fleet.operator_rest()?;
    let (content, bad) = file(rows);
    let path = "/api/v1/tenants:import";
    let count = i64::try_from(rows)?;

    let body =
        json!({"format": "csv", "content": content, "dry_run": true, "request_id": unique("dry")});
    let began = Instant::now();
    let dry = insist(&operator, Method::POST, path, &body).await?;
    let taken_in = began.elapsed();
    let (dry, counts) = follow(&operator, &text(&dry, "id"), async |_| Ok(())).await?;
    println!(
        "{rows} rows taken in after {taken_in:?}, tried after {:?}",
        began.elapsed()
    );
    assert_eq!(
        (&dry["state"], &dry["done_count"]),
        (&json!("partially_succeeded"), &json!(rows))
    );
    assert!(counts.is_sorted(), "{counts:?}");
    assert!(
        counts.iter().any(|done| (1..count).contains(done)),
        "progress is seen: {counts:?}"
    );
    assert_eq!(made(&fleet).await?, (0, 0, 0), "a dry run makes nothing");

    let body = json!({"format": "csv", "content": content, "request_id": unique("real")});
    let began = Instant::now();
    let import = insist(&operator, Method::POST, path, &body).await?;
    let again = insist(&operator, Method::POST, path, &body).await?;
    assert_eq!(import, again, "a repetition starts no second one");
    let id = text(&import, "id");
    let mut kills = 0;
    let kill_in_the_middle = async |done: i64| {
        if done > count * (kills + 1) / 8 && kills < most_kills {
            let unit = fleet
                .service("registry", usize::try_from(kills)? % 2)
                .unit();
            unit.kill_9().await?;
            unit.start().await?;
            kills += 1;
        }
        anyhow::Ok(())
    };
    let (import, counts) = follow(&operator, &id, kill_in_the_middle).await?;
    println!(
        "{rows} rows imported after {:?} over {kills} kills",
        began.elapsed()
    );
    assert!(kills == most_kills && counts.is_sorted(), "{counts:?}");
    for field in [
        "state",
        "done_count",
        "created_count",
        "existing_count",
        "refused_count",
    ] {
        assert_eq!(import[field], dry[field], "{field}");
    }

    let told = |import: &Value| format!("/api/v1/tenant-imports/{}/rows?", text(import, "id"));
    let foretold = all(&operator, &told(&dry), "rows").await?;
    let done = all(&operator, &told(&import), "rows").await?;
    assert_eq!((foretold.len(), done.len()), (rows, rows));
    for (foretold, done) in foretold.iter().zip(&done) {
        for field in ["row", "line", "outcome", "slug", "reason", "message"] {
            assert_eq!(foretold[field], done[field], "{foretold} {done}");
        }
    }
    let refused = all(
        &operator,
        &format!("{}outcome=refused&", told(&import)),
        "rows",
    )
    .await?;
    let reasons: Vec<_> = refused
        .iter()
        .map(|row| {
            (
                row["row"].as_u64().unwrap_or_default() as usize,
                text(row, "reason"),
            )
        })
        .collect();
    let expected: Vec<_> = bad
        .iter()
        .map(|(row, why)| (*row, (*why).to_owned()))
        .collect();
    assert_eq!(reasons, expected);

    let created = rows - bad.len();
    let listed = all(
        &operator,
        "/api/v1/tenants?filter=labels.import%3Dmany&",
        "tenants",
    )
    .await?;
    let listed: BTreeSet<_> = listed.iter().map(|tenant| text(tenant, "id")).collect();
    let made_by_rows: BTreeSet<_> = done
        .iter()
        .filter(|row| row["outcome"] == "created")
        .map(|row| text(row, "tenant_id"))
        .collect();
    assert_eq!((listed.len(), &listed), (created, &made_by_rows));
    let each = i64::try_from(created)?;
    assert_eq!(
        made(&fleet).await?,
        (each, each, each),
        "one event for each"
    );
    fleet.stop().await
}
