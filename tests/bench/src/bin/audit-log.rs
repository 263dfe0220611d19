//! What does the log take, and how soon is it there? Appending in batches against the bare INSERT of the same rows, in turn; and
//! how long it takes from a change's answer until the change is found, and until it stands under a checkpoint; and a proof.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures::future::try_join_all;
use serde_json::json;
use sqlx::PgConnection;
use tenantry_bench::log::{self, append_as, batch};
use tenantry_bench::{figures, load};
use tenantry_testkit::fleet::Fleet;
use tenantry_testkit::rest::Rest;
use tenantry_testkit::wait::until;
use uuid::Uuid;

/// Tenants of one batch, and events of each in it.
const TENANTS: i64 = 100;
const OF_EACH: i64 = 20;
/// Batches of one round; two sources send at once.
const BATCHES: i64 = 12;
const ROUNDS: i64 = 5;
const SOURCES: [&str; 2] = ["registry", "identity"];
/// Changes whose way into the log is timed, and who makes others meanwhile.
const TIMED: usize = 200;
const OTHERS: usize = 4;
const FOUND_WITHIN: Duration = Duration::from_secs(20);
const PROOFS: usize = 2_000;

#[tokio::main]
async fn main() -> Result<()> {
    let fleet = load::fleet().await?;
    let mut connection = load::superuser(&fleet).await?;
    appending(&fleet, &mut connection).await?;
    let rest = fleet.operator_rest()?;
    let tenant = rest
        .post("/api/v1/tenants", json!({"name": "Timed"}))
        .await?
        .ok()?;
    let tenant = tenant["id"].as_str().context("an id")?.to_owned();
    ways(&fleet, &rest, &tenant).await?;
    proofs(&rest, &tenant).await?;
    fleet.stop().await
}

/// Events per second, of the log and of the bare INSERT.
async fn appending(fleet: &Fleet, connection: &mut PgConnection) -> Result<()> {
    sqlx::raw_sql(
        "CREATE TABLE audit.bare (LIKE audit.events INCLUDING DEFAULTS);
         ALTER TABLE audit.bare ADD PRIMARY KEY (tenant_id, index, class, received_at);
         CREATE INDEX ON audit.bare (position)",
    )
    .execute(&mut *connection)
    .await?;
    let tenants: Vec<Uuid> = (1..=TENANTS).map(load::tenant).collect();
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let from: i64 = sqlx::query_scalar("SELECT position FROM audit.log_head")
            .fetch_one(&mut *connection)
            .await?;
        let mut sending = Vec::new();
        for source in SOURCES {
            let mut append = append_as(fleet, source).await?;
            let batches: Vec<_> = (0..BATCHES)
                .map(|n| batch(&tenants, (round * BATCHES + n) * OF_EACH + 1, OF_EACH))
                .collect();
            sending.push(async move {
                for batch in batches {
                    log::send(&mut append, batch).await?;
                }
                anyhow::Ok(())
            });
        }
        let began = Instant::now();
        try_join_all(sending).await?;
        let took = began.elapsed();
        let events = BATCHES * TENANTS * OF_EACH * SOURCES.len() as i64;
        ours.push(events as f64 / took.as_secs_f64());
        bare.push(insert(connection, from, events).await?);
    }
    ours.sort_by(f64::total_cmp);
    bare.sort_by(f64::total_cmp);
    figures::head("appending, in batches of 2000", "bare INSERT", "the log");
    let median = |rates: &[f64]| rates[rates.len() / 2];
    figures::line("events/s", "", median(&bare), median(&ours));
    Ok(())
}

/// Inserts the rows behind a position once more, into a table without walls or partitions, in as many transactions.
async fn insert(connection: &mut PgConnection, from: i64, events: i64) -> Result<f64> {
    sqlx::raw_sql("DROP TABLE IF EXISTS audit.kept")
        .execute(&mut *connection)
        .await?;
    sqlx::query(sqlx::AssertSqlSafe(format!(
        "CREATE UNLOGGED TABLE audit.kept AS SELECT * FROM audit.events WHERE position > {from} ORDER BY position"
    )))
    .execute(&mut *connection)
    .await?;
    let of_one = TENANTS * OF_EACH;
    let began = Instant::now();
    let mut first = from;
    while first < from + events {
        sqlx::query("INSERT INTO audit.bare SELECT * FROM audit.kept WHERE position > $1 AND position <= $2")
            .bind(first)
            .bind(first + of_one)
            .execute(&mut *connection)
            .await?;
        first += of_one;
    }
    Ok(events as f64 / began.elapsed().as_secs_f64())
}

/// From the answer to a change until the log shows it, and until it stands under a checkpoint, while others write.
async fn ways(fleet: &Fleet, rest: &Rest, tenant: &str) -> Result<()> {
    let others: Vec<Rest> = (0..OTHERS)
        .map(|_| fleet.operator_rest())
        .collect::<Result<_>>()?;
    let busy = try_join_all(others.iter().map(|other| async move {
        loop {
            other
                .post(
                    "/api/v1/tenants",
                    json!({"name": format!("Busy {}", load::random_id())}),
                )
                .await?
                .ok()?;
        }
        #[allow(unreachable_code)]
        anyhow::Ok(())
    }));
    let timed = async {
        let (mut found, mut signed) = (Vec::new(), Vec::new());
        for n in 0..TIMED {
            let name = format!("Timed w{n}w");
            let path = format!("/api/v1/tenants/{tenant}");
            rest.patch(&path, json!({"name": name})).await?.ok()?;
            let answered = Instant::now();
            let search = format!("{path}/audit-log?event_type=tenant.updated&q=w{n}w");
            let index: i64 = until("event", FOUND_WITHIN, async || {
                let page = rest.get(&search).await?.ok()?;
                let index = page["events"][0]["index"].as_str();
                Ok(index.and_then(|index| index.parse().ok()))
            })
            .await?;
            found.push(answered.elapsed());
            if n % 10 == 0 {
                until("checkpoint", FOUND_WITHIN, async || {
                    let state = rest.get(&format!("{path}/audit-log/checkpoint")).await?;
                    let size = state.json()["tree_size"]
                        .as_str()
                        .and_then(|size| size.parse::<i64>().ok());
                    Ok(size.is_some_and(|size| size > index).then_some(()))
                })
                .await?;
                signed.push(answered.elapsed());
            }
        }
        anyhow::Ok((found, signed))
    };
    let (found, signed) = tokio::select! {
        timed = timed => timed?,
        stopped = busy => { stopped?; anyhow::bail!("others stopped writing") }
    };
    tell("commit to found", found, "limit 1000 ms");
    tell("commit to checkpoint", signed, "limit 5000 ms");
    Ok(())
}

async fn proofs(rest: &Rest, tenant: &str) -> Result<()> {
    let log = format!("/api/v1/tenants/{tenant}/audit-log");
    let state = rest.get(&format!("{log}/checkpoint")).await?.ok()?;
    let size: usize = state["tree_size"].as_str().context("a size")?.parse()?;
    let mut times = Vec::new();
    for n in 0..PROOFS {
        let began = Instant::now();
        let index = n * 7_919 % size;
        rest.get(&format!("{log}/proof?event={index}&tree_size={size}"))
            .await?
            .ok()?;
        times.push(began.elapsed());
    }
    tell("proof, through the gateway", times, "limit 10 ms");
    Ok(())
}

fn tell(what: &str, mut times: Vec<Duration>, limit: &str) {
    times.sort_unstable();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
    println!(
        "{what:28} p50 {:>8.2} ms   p99 {:>8.2} ms   ({limit}, {} samples)",
        at(0.5),
        at(0.99),
        times.len()
    );
}
