//! Leases whose holder is killed, whose Redis is emptied, or whose limit changes: never more than the limit, and less by no more
//! than what was out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use redis::AsyncCommands as _;
use tenantry_core::TenantId;
use tenantry_proto::envoy::service::ratelimit::v3::rate_limit_response::Code;
use tenantry_testkit::redis::Redis;
use tenantry_testkit::wait::until;
use tokio::task::JoinHandle;

use crate::rates::{one_of, use_up};
use crate::support::{Rates, World};

/// Longest wait for requests to be admitted.
const GOES_ON_WITHIN: Duration = Duration::from_secs(60);
/// How long Redis has a lease noted: a killed holder holds up a refusal by no more. And what the rest may take on a busy machine.
const NOTED_FOR: Duration = Duration::from_millis(1_500);
const BUSY: Duration = Duration::from_millis(1_500);
/// What is promised between a changed limit and its effect.
const AT_ONCE: Duration = Duration::from_secs(1);
/// A client's pause before it asks again: nothing is awaited by it.
const ASKS_AGAIN_AFTER: Duration = Duration::from_millis(5);

/// Callers that ask for one request after the other, whatever they are answered, until they are told to stop or the replica is gone.
struct Load {
    admitted: Arc<AtomicI64>,
    stop: Arc<AtomicBool>,
    callers: Vec<JoinHandle<()>>,
}

impl Load {
    fn start(rates: &[Rates], tenant: TenantId, callers: usize) -> Self {
        let (admitted, stop) = (
            Arc::new(AtomicI64::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let callers = (0..callers).map(|caller| {
            let mut rates = rates[caller % rates.len()].clone();
            let (admitted, stop) = (Arc::clone(&admitted), Arc::clone(&stop));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    match rates.should_rate_limit(one_of(tenant)).await {
                        Ok(answer) if answer.get_ref().overall_code == i32::from(Code::Ok) => {
                            admitted.fetch_add(1, Ordering::Relaxed);
                        }
                        Ok(_) | Err(_) => tokio::time::sleep(ASKS_AGAIN_AFTER).await,
                    }
                }
            })
        });
        Self {
            callers: callers.collect(),
            admitted,
            stop,
        }
    }

    fn admitted(&self) -> i64 {
        self.admitted.load(Ordering::Relaxed)
    }

    async fn reaches(&self, number: i64) {
        let reached = until("admitted requests", GOES_ON_WITHIN, async || {
            Ok((self.admitted() >= number).then_some(()))
        });
        reached.await.unwrap();
    }

    /// Waits until a request is refused: the limit has no more, and no lease either.
    async fn used_up(&self, rates: &mut Rates, tenant: TenantId) {
        let over = until("the end of the limit", GOES_ON_WITHIN, async || {
            let answer = rates.should_rate_limit(one_of(tenant)).await?.into_inner();
            if answer.overall_code == i32::from(Code::OverLimit) {
                return Ok(Some(()));
            }
            self.admitted.fetch_add(1, Ordering::Relaxed);
            Ok(None)
        });
        over.await.unwrap();
    }

    async fn end(self) -> i64 {
        self.stop.store(true, Ordering::Relaxed);
        for caller in self.callers {
            caller.await.unwrap();
        }
        self.admitted.load(Ordering::Relaxed)
    }
}

/// The name of the tenant's only counter.
pub(crate) async fn counter(redis: &Redis, tenant: TenantId) -> String {
    let mut connection = redis.connect().await.unwrap();
    let pattern = format!("tenantry:*:{tenant}:*");
    let keys: Vec<String> = connection.keys(pattern).await.unwrap();
    assert_eq!(keys.len(), 1, "{keys:?}");
    keys[0].clone()
}

/// What leases of a counter come to, of these fields.
fn out(fields: &[(String, String)]) -> i64 {
    let leases = fields.iter().filter(|(name, _)| name.starts_with("l:"));
    let amounts = leases.map(|(_, lease)| lease.split(':').next()?.parse::<i64>().ok());
    amounts.map(Option::unwrap).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_is_killed_loses_what_it_had_leased_and_holds_up_a_refusal_once() {
    let world = World::start().await;
    let limit = 5_000;
    let tenant = world.limited(limit).await;
    let killed = world.process().await;
    let callers = 16;
    let mut rates = killed.rates();
    let load = Load::start(&[rates.clone()], tenant, callers);
    // What is left is used up before the lease's time is over.
    load.reaches(limit * 9 / 10).await;
    let mut before = load.end().await;
    let redis = world.redis.redis();
    let mut connection = redis.connect().await.unwrap();
    let name = counter(redis, tenant).await;
    let mut leased = async || {
        let fields: Vec<(String, String)> = connection.hgetall(&name).await.unwrap();
        out(&fields)
    };
    // Asked a little more, it has a lease that it doesn't spend at once.
    while leased().await == 0 {
        let answer = rates.should_rate_limit(one_of(tenant)).await.unwrap();
        assert_eq!(answer.get_ref().overall_code, i32::from(Code::Ok));
        before += 1;
    }
    killed.unit().kill_9().await.unwrap();
    let at = Instant::now();
    let lost = leased().await;
    let admitted = use_up(&[&*world], &[tenant], callers).await[0];
    let took = at.elapsed();
    let under = limit - before - admitted;
    println!(
        "{before} before the kill with {lost} out, {admitted} behind it: {under} under the limit, {took:?} until all were refused"
    );
    assert!(lost > 0, "it had a lease");
    assert!(
        lost <= 2 * limit / 100,
        "one, and what was left of one before"
    );
    assert!(under >= 0, "never more than the limit");
    assert!(under <= lost, "less by no more than what was out");
    assert!(took < NOTED_FOR + BUSY, "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_changes_while_leases_are_out_is_kept_and_a_raised_one_acts_at_once() {
    let world = World::start().await;
    let other = world.replica().await;
    let tenant = world.limited(20_000).await;
    let load = Load::start(&[world.rates(), other.rates()], tenant, 32);
    load.reaches(2_000).await;
    // Each change may lose what each of two replicas had out: at most twice a hundredth of the limit.
    let (lowered, mut lost) = (6_000, 2 * 2 * 20_000 / 100);
    let set = world.set(tenant, "api_calls", lowered, "day").await;
    println!("lowered to {lowered} when {} were used", set.usage);
    load.reaches(lowered - lost).await;
    load.used_up(&mut world.rates(), tenant).await;
    let at_most = load.admitted();
    assert!((lowered - lost..=lowered).contains(&at_most), "{at_most}");
    let raised = 12_000;
    let at = Instant::now();
    world.set(tenant, "api_calls", raised, "day").await;
    load.reaches(at_most + 100).await;
    println!("100 more {:?} behind a raise to {raised}", at.elapsed());
    assert!(at.elapsed() < AT_ONCE);
    // Below what is used: not one more is spent.
    let set = world
        .set_by(tenantry_proto::quota::v1::OverrideLimitRequest {
            reset_period: "day".to_owned(),
            force: true,
            ..crate::support::to(tenant, "api_calls", 100)
        })
        .await
        .unwrap();
    lost += 2 * 2 * raised / 100;
    load.used_up(&mut world.rates(), tenant).await;
    let admitted = load.end().await;
    println!(
        "{admitted} admitted when {} were counted as used",
        set.usage
    );
    assert!((set.usage - lost..=set.usage).contains(&admitted));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_emptied_while_leases_are_out_has_no_more_admitted_than_the_limit() {
    let world = World::start().await;
    let other = world.replica().await;
    let limit = 20_000;
    let tenant = world.limited(limit).await;
    let load = Load::start(&[world.rates(), other.rates()], tenant, 32);
    let redis = world.redis.redis();
    let mut connection = redis.connect().await.unwrap();
    for n in 1..=3 {
        load.reaches(load.admitted() + 1_000).await;
        let name = counter(redis, tenant).await;
        let (fields, _): (Vec<(String, String)>, ()) = redis::pipe()
            .atomic()
            .hgetall(name)
            .cmd("FLUSHALL")
            .query_async(&mut connection)
            .await
            .unwrap();
        println!(
            "loss {n} behind {} admitted with {} out",
            load.admitted(),
            out(&fields)
        );
        assert!(out(&fields) > 0, "leases were out");
    }
    load.used_up(&mut world.rates(), tenant).await;
    let admitted = load.end().await;
    println!("{admitted} of {limit}");
    assert!(admitted <= limit);
    assert_eq!(crate::exactness::usage(&world, tenant).await, limit);
}
