//! A hard limit admits exactly its number.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use futures::future::join_all;
use tenantry_core::{Reason, TenantId};
use tenantry_proto::quota::v1::CheckQuotaRequest;
use tenantry_rpc::assertion::Claims;

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

async fn grid(world: &World, others: &[Replica], cells: &[(i64, usize)]) {
    let replicas: Vec<&Replica> = [&**world].into_iter().chain(others).collect();
    for (limit, callers) in cells {
        let tenant = world.limited(*limit).await;
        let claims = [world.program(tenant)];
        let admitted = use_up(&replicas, &claims, *callers).await;
        println!(
            "limit {limit}, {callers} callers, {} replicas: {admitted:?}",
            replicas.len()
        );
        assert_eq!(admitted.iter().sum::<i64>(), *limit);
        assert_eq!(used(world, tenant).await, *limit);
        if *limit >= 1_000 {
            assert!(admitted.iter().all(|count| *count > 0), "{admitted:?}");
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
    let world = World::start().await;
    grid(&world, &[], &[(0, 4), (1, 64), (10, 16), (1_000, 256)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_admits_exactly_its_number_over_replicas() {
    let world = World::start().await;
    let others = [
        world.replica().await,
        world.replica().await,
        world.replica().await,
    ];
    grid(&world, &others, &[(1, 64), (10, 64), (1_000, 64)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_admits_exactly_its_number_in_a_cluster() {
    let world = World::with(Kind::cluster().await).await;
    let others = [world.replica().await];
    grid(&world, &others, &[(1, 64), (10, 64), (1_000, 64)]).await;
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
