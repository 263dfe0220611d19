//! What does the log of usage take? Events in batches, each acknowledged when it is there for good, against the bare INSERT of the same
//! rows, in batches as large, by as many connections, into a table with the same indexes; in turn. Behind it all: every event is there
//! once, they add up to what the accounts say, and a batch that comes again counts nothing.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use prost::Message as _;
use sqlx::{Connection as _, PgConnection};
use tenantry_bench::drive::{Ask, Target};
use tenantry_bench::{figures, load, side, usage};
use tenantry_proto::quota::v1::{RecordUsageEventsRequest, RecordUsageEventsResponse, UsageEvent};
use tenantry_rpc::assertion;
use tenantry_testkit::fleet::{Database, Fleet, FleetConfig};
use tenantry_testkit::postgres::Durability;
use tonic::metadata::{Ascii, MetadataValue};
use uuid::Uuid;

const RECORD: &str = "/tenantry.quota.v1.UsageEventService/RecordUsageEvents";
const TENANTS: i64 = 6;
/// Events of a batch.
const BATCHES: [usize; 3] = [100, 1_000, 10_000];
const IN_FLIGHT: usize = 4;
/// Events of a round of each side.
const EVENTS: usize = 120_000;
const ROUNDS: usize = 3;

#[tokio::main]
async fn main() -> Result<()> {
    let fleet = Fleet::start(FleetConfig {
        database: Database::Own(Durability::Full),
        ..FleetConfig::default()
    })
    .await?;
    load::tenants(&fleet, TENANTS, 0).await?;
    fleet.service("quota", 0).unit().restart().await?;
    let target = Target::of(&fleet, "quota", RECORD, is_recorded).await?;
    let mut connection = load::superuser(&fleet).await?;
    sqlx::raw_sql(
        "CREATE TABLE quota.bare (LIKE quota.usage_log INCLUDING DEFAULTS INCLUDING INDEXES)",
    )
    .execute(&mut connection)
    .await?;
    let assertion = usage::operator(&fleet)?;
    let mut told = 0;
    for size in BATCHES {
        let (mut ours, mut bare, mut cpu) = (Vec::new(), Vec::new(), Vec::new());
        let mut last = None;
        for _ in 0..=ROUNDS {
            let asks = batches(size, &assertion);
            let unit = fleet.service("quota", 0).unit();
            let before = side::cpu(unit)?;
            let round = target.round(&asks, IN_FLIGHT, asks.len()).await?;
            let spent = side::cpu(unit)?.saturating_sub(before);
            told += EVENTS;
            ours.push(EVENTS as f64 / round.took.as_secs_f64());
            cpu.push(spent.as_secs_f64() * 1e6 / EVENTS as f64);
            bare.push(insert(&fleet, &mut connection, size).await?);
            last = asks.last().cloned();
        }
        // The first round warmed up.
        let median = |figures: &mut Vec<f64>| {
            figures.remove(0);
            figures.sort_by(f64::total_cmp);
            figures[figures.len() / 2]
        };
        let title = format!("events, {size} in a batch");
        figures::head(&title, "bare INSERT", "the log");
        figures::line("acknowledged/s", "", median(&mut bare), median(&mut ours));
        println!("processor of quota, each event {:>8.1}us", median(&mut cpu));
        if let Some(again) = last {
            let again = RecordUsageEventsResponse::decode(target.once(&again).await?)?;
            ensure!(
                again.recorded == 0,
                "a repeated batch counts {}",
                again.recorded
            );
        }
    }
    check(&mut connection, told).await?;
    println!("\n{told} events told, each there once; the accounts say the same");
    fleet.stop().await
}

fn is_recorded(answer: &[u8]) -> bool {
    RecordUsageEventsResponse::decode(answer).is_ok_and(|answer| answer.refused.is_empty())
}

/// Batches of new events, of the tenants in turn.
fn batches(size: usize, assertion: &MetadataValue<Ascii>) -> Arc<[Ask]> {
    let batches = (0..EVENTS / size).map(|n| {
        let events = (0..size).map(|_| UsageEvent {
            id: load::random_id().to_string(),
            source: "meter".to_owned(),
            resource_type: "api_calls".to_owned(),
            amount: Some(1),
            ..Default::default()
        });
        let request = RecordUsageEventsRequest {
            tenant: load::tenant(n as i64 % TENANTS + 1).to_string(),
            events: events.collect(),
            ..Default::default()
        };
        let mut ask = Ask {
            body: request.encode_to_vec().into(),
            ..Ask::default()
        };
        ask.metadata.insert(assertion::HEADER, assertion.clone());
        ask
    });
    batches.collect()
}

/// Rows per second, of the last round's inserted once more.
async fn insert(fleet: &Fleet, connection: &mut PgConnection, size: usize) -> Result<f64> {
    let keep = format!(
        "DROP TABLE IF EXISTS quota.kept;
         CREATE UNLOGGED TABLE quota.kept AS
         SELECT row_number() OVER (ORDER BY recorded_at, tenant_id) - 1 AS n, l.* FROM quota.usage_log AS l
         ORDER BY recorded_at DESC LIMIT {EVENTS};
         CREATE INDEX ON quota.kept (n);
         ANALYZE quota.kept"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(keep))
        .execute(&mut *connection)
        .await?;
    let (first, columns): (i64, String) = sqlx::query_as(
        "SELECT (SELECT min(n) FROM quota.kept), string_agg(quote_ident(attname), ', ' ORDER BY attnum)
         FROM pg_attribute WHERE attrelid = 'quota.bare'::regclass AND attnum > 0 AND NOT attisdropped",
    )
    .fetch_one(&mut *connection)
    .await?;
    let statement = Arc::new(format!(
        "INSERT INTO quota.bare ({columns}) SELECT {columns} FROM quota.kept WHERE n >= $1 AND n < $2"
    ));
    let url = fleet.superuser_url();
    let mut connections = Vec::new();
    for _ in 0..IN_FLIGHT {
        connections.push(PgConnection::connect(url.as_str()).await?);
    }
    let began = Instant::now();
    let inserting = connections.into_iter().enumerate().map(|(nth, mut to)| {
        let statement = Arc::clone(&statement);
        tokio::spawn(async move {
            for n in (nth..EVENTS / size).step_by(IN_FLIGHT) {
                let from = first + (n * size) as i64;
                sqlx::query(sqlx::AssertSqlSafe(statement.as_str().to_owned()))
                    .bind(from)
                    .bind(from + size as i64)
                    .execute(&mut to)
                    .await?;
            }
            anyhow::Ok(())
        })
    });
    for inserted in try_join_all(inserting.collect::<Vec<_>>()).await? {
        inserted?;
    }
    let took = began.elapsed();
    sqlx::raw_sql("TRUNCATE quota.bare")
        .execute(&mut *connection)
        .await?;
    Ok(EVENTS as f64 / took.as_secs_f64())
}

/// Whether all that was told is there, once.
async fn check(connection: &mut PgConnection, told: usize) -> Result<()> {
    let tenants: Vec<Uuid> = (1..=TENANTS).map(load::tenant).collect();
    let (rows, used): (i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM quota.usage_log WHERE tenant_id = ANY ($1) AND kind = 'recorded'),
                (SELECT sum(settled + committed)::bigint FROM quota.accounts WHERE tenant_id = ANY ($1))",
    )
    .bind(tenants)
    .fetch_one(connection)
    .await?;
    let told = i64::try_from(told)?;
    ensure!(
        rows == told && used == told,
        "{told} told, {rows} there, {used} used"
    );
    Ok(())
}
