//! Requests that replicas admit from leases: exactly the limit, by all of them together.

use tenantry_core::Reason;
use tenantry_proto::envoy::service::ratelimit::v3::rate_limit_response::Code;
use tenantry_testkit::environment;
use tenantry_testkit::redis::Redis;

use crate::pools::Whose;
use crate::rates::{ask, headers, one_of, use_up};
use crate::support::{Kind, Replica, World, decided, using};

/// A lease is at most this part of the limit, and of at least so many requests.
const SHARE: i64 = 100;
const LEAST: i64 = 8;

/// How many functions Redis was asked to call so far.
async fn calls(world: &World) -> i64 {
    let mut calls = 0;
    for node in world.redis.nodes() {
        calls += calls_of(node).await;
    }
    calls
}

async fn calls_of(redis: &Redis) -> i64 {
    let mut connection = redis.connect().await.unwrap();
    let mut info = redis::cmd("INFO");
    let info = info.arg("commandstats").query_async(&mut connection);
    let info: String = info.await.unwrap();
    let of_functions = info.lines().find_map(|line| {
        let line = line.strip_prefix("cmdstat_fcall:calls=")?;
        line.split(',').next()?.parse().ok()
    });
    of_functions.unwrap_or_default()
}

/// Has so many callers use a limit up at these replicas.
async fn cell(world: &World, replicas: &[&Replica], whose: Whose, limit: i64, callers: usize) {
    let tenants = whose.tenants(world, replicas, limit).await;
    let before = calls(world).await;
    let admitted = use_up(replicas, &tenants, callers).await;
    let calls = calls(world).await - before;
    let number = replicas.len();
    println!(
        "limit {limit}, {whose:?}, {callers} callers, {number} replicas: {admitted:?}, {calls} calls"
    );
    assert_eq!(admitted.iter().sum::<i64>(), limit);
    if limit >= 1_000 && callers >= number {
        assert!(admitted.iter().all(|count| *count > 0), "{admitted:?}");
    }
    // Without leases each request is a call. Many callers ask again often while the last leases come back.
    if limit >= SHARE * 100 && callers <= 64 {
        assert!(calls < limit * 9 / 10, "{calls} calls");
    }
}

async fn grid(redis: Kind, cells: &[(i64, usize, usize)]) {
    let world = World::with(redis).await;
    let most = cells.iter().map(|(_, _, replicas)| *replicas).max();
    let mut others = Vec::new();
    for _ in 1..most.unwrap_or(1) {
        others.push(world.replica().await);
    }
    let replicas: Vec<&Replica> = [&*world].into_iter().chain(&others).collect();
    for (limit, callers, number) in cells {
        for whose in Whose::ALL {
            cell(&world, &replicas[..*number], whose, *limit, *callers).await;
        }
    }
}

/// All cells where each caller asks often enough to be worth one.
fn whole() -> Vec<(i64, usize, usize)> {
    let mut cells = Vec::new();
    for limit in [0, 1, 10, 1_000, 10_000, 100_000] {
        for callers in [1, 16, 64, 256] {
            for replicas in [1, 2, 4] {
                if callers >= replicas && limit <= 10_000 || callers == 64 {
                    cells.push((limit, callers, replicas));
                }
            }
        }
    }
    cells
}

fn cells(short: &[(i64, usize, usize)]) -> Vec<(i64, usize, usize)> {
    if environment::full() {
        whole()
    } else {
        short.to_vec()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_admits_exactly_its_number_from_leases() {
    let short = [
        (0, 16, 2),
        (10, 64, 4),
        (1_000, 1, 1),
        (1_000, 64, 4),
        (10_000, 64, 2),
        (10_000, 256, 4),
    ];
    grid(Kind::alone().await, &cells(&short)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_admits_exactly_its_number_from_leases_in_a_cluster() {
    let short = [(1, 64, 4), (1_000, 16, 2), (10_000, 64, 4)];
    grid(Kind::cluster().await, &cells(&short)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn uses_and_requests_from_leases_share_one_limit_exactly() {
    let world = World::start().await;
    let other = world.replica().await;
    let limit = 10_000;
    let tenant = world.limited(limit).await;
    let before = calls(&world).await;
    let uses = (0..32).map(|caller| {
        let replica = if caller % 2 == 0 { &*world } else { &other };
        let mut quotas = replica.quotas(&world.program(tenant));
        tokio::spawn(async move {
            let mut used = 0;
            loop {
                match decided(&mut quotas, using("api_calls", 3)).await {
                    Ok(_) => used += 3,
                    Err(Reason::QuotaExceeded) => return used,
                    Err(other) => panic!("{other:?}"),
                }
            }
        })
    });
    let uses: Vec<_> = uses.collect();
    let admitted = use_up(&[&*world, &other], &[tenant], 32).await;
    let mut used = 0_i64;
    for caller in uses {
        used += caller.await.unwrap();
    }
    let requests = admitted.iter().sum::<i64>();
    let calls = calls(&world).await - before;
    println!("{limit} shared: {used} of uses, {admitted:?} of requests, {calls} calls");
    assert_eq!(used + requests, limit);
    assert!(used > 0 && admitted.iter().all(|count| *count > 0));
    assert!(calls < (requests + used / 3) * 3 / 4, "{calls} calls");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_callers_are_told_remains_is_off_by_no_more_than_a_lease_and_exact_near_the_end() {
    let world = World::start().await;
    let limit = 2_000;
    let tenant = world.limited(limit).await;
    let mut rates = world.rates();
    let before = calls(&world).await;
    let mut farthest = 0;
    for n in 1..=limit {
        let answer = ask(&mut rates, one_of(tenant)).await;
        let told: i64 = headers(&answer)["x-ratelimit-remaining"].parse().unwrap();
        let off = told - (limit - n);
        farthest = farthest.max(off.abs());
        assert!((0..=limit).contains(&told), "{told} behind {n}");
        assert!(off.abs() <= limit / SHARE, "{told} behind {n}");
        // Nothing is leased of the last ones: of what was, the last is spent.
        assert!(off == 0 || limit - n > 4 * LEAST, "{told} behind {n}");
    }
    let calls = calls(&world).await - before;
    println!("{limit} requests, {calls} calls, told off by {farthest} at most");
    assert!(calls < limit / 2, "{calls} calls");
    let over = ask(&mut rates, one_of(tenant)).await;
    assert_eq!(over.overall_code, i32::from(Code::OverLimit));
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_are_told_to_lease_nothing_ask_about_each_request() {
    let world = World::start().await;
    let other = world.replica_without_leases().await;
    let tenant = world.limited(2_000).await;
    let before = calls(&world).await;
    let admitted = use_up(&[&other], &[tenant], 16).await;
    assert_eq!(admitted, [2_000]);
    assert!(calls(&world).await - before >= 2_000);
}
