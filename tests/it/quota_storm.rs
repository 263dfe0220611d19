//! A limit admits exactly its number, whatever is killed meanwhile: quota's replicas, Redis, which restarts as it was, emptied, or from an
//! older file, and Postgres. What is acknowledged is never lost and never counted twice.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use tenantry_testkit::fleet::{Database, Fleet, FleetConfig};
use tenantry_testkit::keys::GatewayWord;
use tenantry_testkit::postgres::Durability;
use tenantry_testkit::rest::Rest;
use tenantry_testkit::unit::Unit;
use tenantry_testkit::wait::until;

use crate::support::dynamic::{channel, native};
use crate::support::world::create_tenant;
use crate::support::{OwnFleet, full, unique};

const CALLERS: usize = 16;
/// Longest time without work after a kill.
const GOES_ON_WITHIN: Duration = Duration::from_secs(120);
/// A client's pauses before it asks again, refused or without an answer: nothing is awaited by them.
const FULL_PAUSE: Duration = Duration::from_millis(50);
const LOST_PAUSE: Duration = Duration::from_millis(20);
/// Uses between two kills.
const BETWEEN_KILLS: i64 = 30;

/// What befalls the fleet in turn.
#[derive(Clone, Copy, Debug)]
enum Blow {
    Quota,
    RedisRestarted,
    RedisFlushed,
    Postgres,
    RedisEmptied,
    RedisOlder,
}

const BLOWS: [Blow; 6] = [
    Blow::Quota,
    Blow::RedisRestarted,
    Blow::RedisFlushed,
    Blow::Postgres,
    Blow::RedisEmptied,
    Blow::RedisOlder,
];

/// kill -9, and start.
async fn again(unit: &Unit) -> Result<()> {
    unit.kill_9().await?;
    unit.start().await
}

/// Waits until so many more are acknowledged, or all that there are.
async fn acknowledged(admitted: &AtomicI64, more: i64, most: i64) -> Result<()> {
    let reached = (admitted.load(Ordering::Relaxed) + more).min(most);
    until("work", GOES_ON_WITHIN, async || {
        Ok((admitted.load(Ordering::Relaxed) >= reached).then_some(()))
    })
    .await
}

async fn strike(
    fleet: &Fleet,
    blow: Blow,
    round: usize,
    (admitted, limit): (&AtomicI64, i64),
) -> Result<()> {
    let redis = || fleet.redis().context("a Redis of its own");
    match blow {
        Blow::Quota => again(fleet.service("quota", round % 2).unit()).await,
        Blow::RedisRestarted => again(redis()?.unit()).await,
        Blow::RedisFlushed => {
            let mut connection = redis()?.connect().await?;
            redis::cmd("FLUSHALL").exec_async(&mut connection).await?;
            Ok(())
        }
        Blow::RedisEmptied => {
            let redis = redis()?;
            redis.unit().kill_9().await?;
            fs::remove_dir_all(redis.dir().join("appendonlydir"))?;
            redis.unit().start().await
        }
        Blow::RedisOlder => {
            let redis = redis()?;
            let old = tenantry_testkit::paths::scratch("older")?;
            redis.unit().stop().await?;
            copy(redis.dir(), &old)?;
            redis.unit().start().await?;
            // The file is older than something.
            acknowledged(admitted, 5, limit).await?;
            redis.unit().kill_9().await?;
            copy(&old, redis.dir())?;
            redis.unit().start().await
        }
        Blow::Postgres => {
            let postgres = fleet.postgres().context("a server of its own")?;
            postgres.unit().kill_9().await?;
            postgres.start().await
        }
    }
}

/// Copies a folder's content over another's.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::remove_dir_all(to)?;
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .args([from, to])
        .status()?;
    ensure!(
        copied.success(),
        "cp -a {} {}",
        from.display(),
        to.display()
    );
    Ok(())
}

/// Uses one unit after the other, each under an id of its own and as often as nobody says whether it counts, until none is left.
/// Each that is acknowledged is sent once more now and then: it counts no more.
async fn caller(rest: &Rest, path: &str, admitted: &AtomicI64, over: &AtomicBool) -> Result<()> {
    for n in 0.. {
        let body = json!({"resource_type": "api_calls", "request_id": unique("use")});
        loop {
            let pause = match rest.post(path, body.clone()).await {
                Ok(answer) if answer.status == 200 => break,
                Ok(answer) if answer.status == 429 && answer.reason() == "QUOTA_EXCEEDED" => {
                    if over.load(Ordering::Relaxed) {
                        return Ok(());
                    }
                    FULL_PAUSE
                }
                Ok(answer) if answer.status < 500 && answer.status != 429 => {
                    anyhow::bail!("{} {}", answer.status, answer.text);
                }
                Ok(_) | Err(_) => LOST_PAUSE,
            };
            tokio::time::sleep(pause).await;
        }
        admitted.fetch_add(1, Ordering::Relaxed);
        if n % 7 == 0
            && let Ok(again) = rest.post(path, body).await
        {
            ensure!(
                again.status == 200 || again.status >= 500,
                "{} {}",
                again.status,
                again.text
            );
        }
    }
    Ok(())
}

/// Tells of events until all is over, each as often as nobody says what became of it; how many are acknowledged.
async fn teller(rest: &Rest, tenant: &str, over: &AtomicBool) -> Result<i64> {
    let path = format!("/api/v1/tenants/{tenant}/usage-events");
    let mut told = 0;
    while !over.load(Ordering::Relaxed) {
        let events = (0..3).map(|_| json!({"id": unique("event"), "resource_type": "alerts"}));
        let body = json!({"events": events.collect::<Vec<_>>()});
        sent(rest, &path, &body).await?;
        told += 3;
        tokio::time::sleep(FULL_PAUSE).await;
    }
    Ok(told)
}

/// Holds something and ends that, one time after the other, until all is over: nothing of it is used.
async fn holder(rest: &Rest, tenant: &str, over: &AtomicBool) -> Result<i64> {
    let path = format!("/api/v1/tenants/{tenant}/reservations");
    let mut ended = 0;
    while !over.load(Ordering::Relaxed) {
        let body =
            json!({"resource_type": "classes", "ttl_seconds": 3_600, "request_id": unique("hold")});
        let held = sent(rest, &path, &body).await?;
        let id = held["id"].as_str().context("an id")?;
        let end = if ended % 2 == 0 {
            json!({"request_id": unique("end")})
        } else {
            json!({"amount": 0, "request_id": unique("end")})
        };
        let verb = if ended % 2 == 0 { "cancel" } else { "commit" };
        sent(rest, &format!("{path}/{id}:{verb}"), &end).await?;
        ended += 1;
        tokio::time::sleep(FULL_PAUSE).await;
    }
    Ok(ended)
}

/// Sends a request as often as nobody says what became of it.
async fn sent(rest: &Rest, path: &str, body: &Value) -> Result<Value> {
    loop {
        match rest.post(path, body.clone()).await {
            Ok(answer) if answer.status == 200 => return Ok(answer.json()),
            Ok(answer) if answer.status < 500 && answer.reason() != "OVERLOADED" => {
                anyhow::bail!("{path}: {} {}", answer.status, answer.text);
            }
            Ok(_) | Err(_) => tokio::time::sleep(LOST_PAUSE).await,
        }
    }
}

/// What the ledger has of a resource type, and what its log adds up to.
async fn counted(connection: &mut PgConnection, resource_type: &str) -> Result<(i64, i64)> {
    let counted = "SELECT coalesce(sum(settled + committed), 0)::bigint FROM quota.accounts WHERE resource_type = $1";
    let logged =
        "SELECT coalesce(sum(amount), 0)::bigint FROM quota.usage_log WHERE resource_type = $1";
    let counted = sqlx::query_scalar(counted).bind(resource_type);
    let logged = sqlx::query_scalar(logged).bind(resource_type);
    let counted = counted.fetch_one(&mut *connection).await?;
    Ok((counted, logged.fetch_one(connection).await?))
}

/// Waits until each replica of quota bounds these tenants by the pool.
async fn known_everywhere(fleet: &Fleet, children: &[String], pool: i64) -> Result<()> {
    let word = fleet.keys().gateway_word().value().to_str()?.to_owned();
    let assertion = crate::headers::operator_assertion(fleet)?;
    let headers = [
        (GatewayWord::HEADER, word.as_str()),
        ("x-tenantry-assertion", assertion.as_str()),
    ];
    let method = "/tenantry.quota.v1.QuotaService/CheckQuota";
    for replica in fleet.replicas("quota") {
        let to = channel(replica.address()).await?;
        for child in children {
            let message = json!({"tenant": child, "resource_type": "api_calls"});
            until("the pool", GOES_ON_WITHIN, async || {
                let answer = native(&to, method, &message, &headers).await?;
                let limit = answer
                    .messages
                    .first()
                    .map(|answer| answer["limit"].clone());
                Ok((limit == Some(json!(pool.to_string()))).then_some(()))
            })
            .await?;
        }
    }
    Ok(())
}

async fn storm(rounds: usize) -> Result<()> {
    let fleet = OwnFleet::start_alone(FleetConfig {
        database: Database::Own(Durability::Full),
        ..FleetConfig::replicas(2)
    })
    .await?;
    let operator = fleet.operator_rest()?;
    let parent = create_tenant(&operator, json!({"name": unique("Pool")})).await?;
    let (mut paths, mut children) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        let body = json!({"name": unique("Child"), "parent_id": parent["id"]});
        let child = create_tenant(&operator, body).await?;
        let id = child["id"].as_str().context("an id")?;
        let free = json!({"resource_type": "api_calls", "limit": 1_000_000, "reason": "Storm"});
        operator
            .patch(&format!("/api/v1/tenants/{id}/limits"), free)
            .await?
            .ok()?;
        paths.push(format!("/api/v1/tenants/{id}/usage/increment"));
        children.push(id.to_owned());
    }
    // A pool that is used up a little after the last blow.
    let blows = i64::try_from(rounds * BLOWS.len())?;
    let limit = (blows + 3) * BETWEEN_KILLS;
    let id = parent["id"].as_str().context("an id")?;
    let pool =
        json!({"resource_type": "api_calls", "limit": limit, "reason": "Storm", "shared": true});
    operator
        .patch(&format!("/api/v1/tenants/{id}/limits"), pool)
        .await?
        .ok()?;
    known_everywhere(&fleet, &children, limit).await?;

    let (admitted, over) = (AtomicI64::new(0), AtomicBool::new(false));
    let callers = (0..CALLERS).map(|n| caller(&operator, &paths[n % 2], &admitted, &over));
    let callers = try_join_all(callers);
    let striker = async {
        for round in 0..rounds {
            for blow in BLOWS {
                acknowledged(&admitted, BETWEEN_KILLS, limit)
                    .await
                    .with_context(|| format!("before {blow:?}"))?;
                strike(&fleet, blow, round, (&admitted, limit)).await?;
            }
        }
        until("the last unit", GOES_ON_WITHIN, async || {
            Ok((admitted.load(Ordering::Relaxed) >= limit).then_some(()))
        })
        .await?;
        over.store(true, Ordering::Relaxed);
        anyhow::Ok(())
    };
    let told = teller(&operator, &children[0], &over);
    let held = holder(&operator, &children[1], &over);
    let (_, (), told, ended) = tokio::try_join!(callers, striker, told, held)?;

    let admitted = admitted.load(Ordering::Relaxed);
    let mut connection = PgConnection::connect(fleet.superuser_url().as_str()).await?;
    let pool: i64 = sqlx::query_scalar(
        "SELECT sum(settled + committed)::bigint FROM quota.accounts WHERE tenant_id = $1::uuid",
    )
    .bind(id)
    .fetch_one(&mut connection)
    .await?;
    let (_, logged) = counted(&mut connection, "api_calls").await?;
    println!(
        "{blows} blows, {admitted} of {limit} acknowledged; the pool has {pool}, the log {logged}"
    );
    assert_eq!((admitted, pool, logged), (limit, limit, limit));
    println!("{told} events told of, {ended} reservations ended");
    assert!(told > 0 && ended > 0);
    assert_eq!(counted(&mut connection, "alerts").await?, (told, told));
    assert_eq!(counted(&mut connection, "classes").await?, (0, 0));
    // Each threshold of the pool was told once.
    let alerts: Vec<(String, i64)> = sqlx::query_as(
        "SELECT event -> 'after' ->> 'threshold', count(*) FROM quota.outbox
         WHERE tenant_id = $1::uuid AND action = 'usage_alert.raised' GROUP BY 1 ORDER BY 1",
    )
    .bind(id)
    .fetch_all(&mut connection)
    .await?;
    let once = ["80_percent", "95_percent", "refused"];
    assert_eq!(alerts, once.map(|threshold| (threshold.to_owned(), 1)));
    fleet.stop().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shared_limit_admits_exactly_its_number_whatever_is_killed() -> Result<()> {
    storm(if full() { 15 } else { 1 }).await
}
