//! A hard limit admits exactly its number.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use futures::future::join_all;
use tenantry_core::{Reason, TenantId};
use tenantry_proto::quota::v1::CheckQuotaRequest;
use tenantry_rpc::assertion::Claims;
use tenantry_testkit::environment;

use crate::pools::Whose;
use crate::rates;
use crate::support::{Kind, Replica, World, decided, using};

/// Has so many callers use one unit after the other until each is refused; how many units each replica admitted.
pub(crate) async fn use_up(replicas: &[&Replica], claims: &[Claims], callers: usize) -> Vec<i64> {
    let admitted: Vec<_> = replicas
        .iter()
        .map(|_| Arc::new(AtomicI64::new(0)))
        .collect();
    let calling = (0..callers).map(|caller| {
        let replica = caller % replicas.len();
        let mut quotas = replicas[replica].quotas(&claims[caller % claims.len()]);
        let admitted = Arc::clone(&admitted[replica]);
        tokio::spawn(async move {
            loop {
                match decided(&mut quotas, using("api_calls", 1)).await {
                    Ok(_) => {
                        admitted.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(refused) => {
                        assert_eq!(refused, Reason::QuotaExceeded);
                        return;
                    }
                }
            }
        })
    });
    for call in join_all(calling.collect::<Vec<_>>()).await {
        call.unwrap();
    }
    admitted
        .iter()
        .map(|count| count.load(Ordering::Relaxed))
        .collect()
}

/// How what is asked for is counted.
#[derive(Clone, Copy, Debug)]
enum How {
    /// Committed to the ledger before it is answered.
    Durably,
    /// In Redis.
    Fast,
}

/// Has so many callers use a limit up at these replicas.
async fn cell(
    world: &World,
    replicas: &[&Replica],
    (how, whose): (How, Whose),
    (limit, callers): (i64, usize),
) {
    let tenants = whose.tenants(world, replicas, limit).await;
    let admitted = match how {
        How::Durably => {
            let claims: Vec<_> = tenants
                .iter()
                .map(|tenant| world.program(*tenant))
                .collect();
            use_up(replicas, &claims, callers).await
        }
        How::Fast => rates::use_up(replicas, &tenants, callers).await,
    };
    let number = replicas.len();
    println!(
        "limit {limit}, {how:?}, {whose:?}, {callers} callers, {number} replicas: {admitted:?}"
    );
    assert_eq!(admitted.iter().sum::<i64>(), limit);
    if matches!((how, whose), (How::Durably, Whose::Own)) {
        assert_eq!(used(world, tenants[0]).await, limit);
    }
    if limit >= 1_000 && callers >= number {
        assert!(admitted.iter().all(|count| *count > 0), "{admitted:?}");
    }
}

/// A limit, how many callers use it up, and at how many replicas.
type Cell = (i64, usize, usize);

/// These cells, or all of them where the long forms run. No replica leases anything.
async fn grid(redis: Kind, short: &[Cell]) {
    let world = World::with(redis).await;
    let mut replicas = Vec::new();
    for _ in 0..4 {
        replicas.push(world.replica_without_leases().await);
    }
    let replicas: Vec<_> = replicas.iter().collect();
    if !environment::full() {
        for (limit, callers, number) in short {
            let replicas = &replicas[..*number];
            for how in [How::Durably, How::Fast] {
                cell(&world, replicas, (how, Whose::Own), (*limit, *callers)).await;
            }
        }
        return;
    }
    for number in [1, 2, 4] {
        let replicas = &replicas[..number];
        for how in [How::Durably, How::Fast] {
            for whose in Whose::ALL {
                for limit in [0, 1, 10, 1_000] {
                    for callers in [1, 16, 64, 256] {
                        cell(&world, replicas, (how, whose), (limit, callers)).await;
                    }
                }
                if number == 4 {
                    cell(&world, replicas, (how, whose), (100_000, 256)).await;
                }
            }
        }
    }
}

/// What the ledger says is used, and what the log adds up to.
pub(crate) async fn used(world: &World, tenant: TenantId) -> i64 {
    let mut owner = world.owner().await;
    let counted: i64 = sqlx::query_scalar(
        "SELECT coalesce(sum(settled + committed), 0)::bigint FROM accounts WHERE tenant_id = $1",
    )
    .bind(tenant.uuid())
    .fetch_one(&mut owner)
    .await
    .unwrap();
    let logged: i64 = sqlx::query_scalar(
        "SELECT coalesce(sum(amount), 0)::bigint FROM usage_log WHERE tenant_id = $1",
    )
    .bind(tenant.uuid())
    .fetch_one(&mut owner)
    .await
    .unwrap();
    assert_eq!(counted, logged);
    counted
}

/// What is used of `api_calls`, as callers are told.
pub(crate) async fn usage(world: &World, tenant: TenantId) -> i64 {
    let request = CheckQuotaRequest {
        resource_type: "api_calls".to_owned(),
        ..Default::default()
    };
    let mut quotas = world.quotas(&world.program(tenant));
    quotas
        .check_quota(request)
        .await
        .unwrap()
        .into_inner()
        .usage
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_admits_exactly_its_number() {
    let short = [
        (0, 4, 1),
        (1, 64, 4),
        (10, 16, 1),
        (10, 64, 4),
        (1_000, 64, 4),
        (1_000, 256, 1),
    ];
    grid(Kind::alone().await, &short).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_admits_exactly_its_number_in_a_cluster() {
    let short = [(1, 64, 2), (10, 64, 2), (1_000, 64, 2)];
    grid(Kind::cluster().await, &short).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gauge_admits_exactly_its_number() {
    let world = World::start().await;
    let others = [world.replica().await];
    let replicas = [&*world, &others[0]];
    let tenant = world.tenant();
    world.set(tenant, "api_calls", 100, "never").await;
    let admitted = use_up(&replicas, &[world.program(tenant)], 64).await;
    assert_eq!(admitted.iter().sum::<i64>(), 100, "{admitted:?}");
    assert_eq!(used(&world, tenant).await, 100);
}
