//! Whatever Redis loses while callers call, no more than the limit is admitted; and what is acknowledged as used is never lost, nor
//! counted twice.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use tenantry_core::{Reason, TenantId};
use tenantry_proto::envoy::service::ratelimit::v3::rate_limit_response::Code;
use tenantry_proto::quota::v1::ConsumeQuotaRequest;
use tenantry_testkit::paths;
use tenantry_testkit::redis::Redis;
use tenantry_testkit::wait::until;
use tokio::task::JoinHandle;

use crate::rates::one_of;
use crate::support::{Replica, World, decided, using};

/// Longest wait for the end of one call: Redis is away for as long as it takes to start again.
const GOES_ON_WITHIN: Duration = Duration::from_secs(60);

/// A client's pause before it asks again, refused or without an answer: nothing is awaited by it.
const ASKS_AGAIN_AFTER: Duration = Duration::from_millis(5);

/// What befalls Redis.
#[derive(Clone, Copy, Debug)]
enum Loss {
    Flushed,
    Restarted,
    Emptied,
    OlderFile,
}

/// Waits until so much more was admitted, or all that there is.
async fn admit(admitted: &AtomicI64, more: i64, most: i64) {
    let reached = (admitted.load(Ordering::Relaxed) + more).min(most);
    let goes_on = until("work", GOES_ON_WITHIN, async || {
        Ok((admitted.load(Ordering::Relaxed) >= reached).then_some(()))
    });
    goes_on.await.unwrap();
}

async fn befall(redis: &Redis, loss: Loss, admitted: &AtomicI64, most: i64) {
    match loss {
        Loss::Flushed => {
            let mut connection = redis.connect().await.unwrap();
            let flushed: String = redis::cmd("FLUSHALL")
                .query_async(&mut connection)
                .await
                .unwrap();
            assert_eq!(flushed, "OK");
        }
        Loss::Restarted => {
            redis.unit().kill_9().await.unwrap();
            redis.unit().start().await.unwrap();
        }
        Loss::Emptied => {
            redis.unit().kill_9().await.unwrap();
            fs::remove_dir_all(redis.dir().join("appendonlydir")).unwrap();
            redis.unit().start().await.unwrap();
        }
        Loss::OlderFile => {
            let old = paths::scratch("old").unwrap();
            redis.unit().stop().await.unwrap();
            copy(redis.dir(), &old);
            redis.unit().start().await.unwrap();
            // The file is older than something.
            admit(admitted, 10, most).await;
            redis.unit().kill_9().await.unwrap();
            copy(&old, redis.dir());
            redis.unit().start().await.unwrap();
        }
    }
}

/// Copies a folder's content over another's.
fn copy(from: &Path, to: &Path) {
    fs::remove_dir_all(to).unwrap();
    let copied = Command::new("cp")
        .arg("-a")
        .args([from, to])
        .status()
        .unwrap();
    assert!(copied.success());
}

/// Uses one unit after the other, each under an id of its own and as often as nobody says whether it counts, until it is refused.
fn user(
    replica: &Replica,
    world: &World,
    tenant: TenantId,
    name: String,
    stop: Arc<AtomicBool>,
    admitted: Arc<AtomicI64>,
) -> JoinHandle<()> {
    let mut quotas = replica.quotas(&world.program(tenant));
    tokio::spawn(async move {
        for n in 0.. {
            let request = ConsumeQuotaRequest {
                request_id: format!("{name}-{n}"),
                ..using("api_calls", 1)
            };
            match decided(&mut quotas, request).await {
                Ok(_) => {
                    admitted.fetch_add(1, Ordering::Relaxed);
                }
                Err(Reason::QuotaExceeded) if stop.load(Ordering::Relaxed) => return,
                Err(Reason::QuotaExceeded) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_is_exactly_the_limit_whatever_redis_loses() {
    let world = World::start().await;
    let other = world.replica().await;
    let limit = 2_000;
    let tenant = world.limited(limit).await;
    let (stop, admitted) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicI64::new(0)),
    );
    let users: Vec<_> = (0..16)
        .map(|n| {
            let replica = if n % 2 == 0 { &*world } else { &other };
            user(
                replica,
                &world,
                tenant,
                format!("user-{n}"),
                Arc::clone(&stop),
                Arc::clone(&admitted),
            )
        })
        .collect();
    for loss in [
        Loss::Flushed,
        Loss::Restarted,
        Loss::OlderFile,
        Loss::Emptied,
        Loss::Flushed,
    ] {
        admit(&admitted, 50, limit).await;
        befall(world.redis.redis(), loss, &admitted, limit).await;
        println!(
            "{loss:?} behind {} admitted",
            admitted.load(Ordering::Relaxed)
        );
    }
    stop.store(true, Ordering::Relaxed);
    for user in users {
        tokio::time::timeout(GOES_ON_WITHIN, user)
            .await
            .unwrap()
            .unwrap();
    }
    assert_eq!(admitted.load(Ordering::Relaxed), limit);
    assert_eq!(crate::exactness::used(&world, tenant).await, limit);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_never_pass_the_limit_and_lose_no_more_than_was_granted_whatever_redis_loses() {
    let world = World::start().await;
    let other = world.replica().await;
    let limit = 20_000;
    let tenant = world.limited(limit).await;
    let (stop, admitted) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicI64::new(0)),
    );
    let callers: Vec<_> = (0..16)
        .map(|n| {
            let mut rates = if n % 2 == 0 {
                world.rates()
            } else {
                other.rates()
            };
            let (stop, admitted) = (Arc::clone(&stop), Arc::clone(&admitted));
            tokio::spawn(async move {
                loop {
                    match rates.should_rate_limit(one_of(tenant)).await {
                        Ok(answer) if answer.get_ref().overall_code == i32::from(Code::Ok) => {
                            admitted.fetch_add(1, Ordering::Relaxed);
                        }
                        Ok(_) if stop.load(Ordering::Relaxed) => return,
                        Ok(_) | Err(_) => tokio::time::sleep(ASKS_AGAIN_AFTER).await,
                    }
                }
            })
        })
        .collect();
    let mut lost_grants = 0;
    for loss in [
        Loss::Flushed,
        Loss::Restarted,
        Loss::OlderFile,
        Loss::Emptied,
    ] {
        admit(&admitted, 200, limit).await;
        let granted: i64 = sqlx::query_scalar(
            "SELECT granted FROM accounts WHERE tenant_id = $1 AND NOT superseded",
        )
        .bind(tenant.uuid())
        .fetch_one(&mut world.owner().await)
        .await
        .unwrap();
        lost_grants += granted;
        befall(world.redis.redis(), loss, &admitted, limit).await;
        println!(
            "{loss:?} behind {} admitted, {granted} granted",
            admitted.load(Ordering::Relaxed)
        );
    }
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        tokio::time::timeout(GOES_ON_WITHIN, caller)
            .await
            .unwrap()
            .unwrap();
    }
    let admitted = admitted.load(Ordering::Relaxed);
    println!("{admitted} of {limit} admitted; up to {lost_grants} may have been lost");
    assert!(admitted <= limit);
    let settled: i64 =
        sqlx::query_scalar("SELECT settled FROM accounts WHERE tenant_id = $1 AND NOT superseded")
            .bind(tenant.uuid())
            .fetch_one(&mut world.owner().await)
            .await
            .unwrap();
    // What was counted for used and wasn't admitted is what lost openings had been granted and not spent.
    let standing = crate::exactness::usage(&world, tenant).await;
    assert_eq!(
        standing, limit,
        "used up by its own account, {settled} of it in openings that ended"
    );
    assert!(limit - admitted <= settled);
}
