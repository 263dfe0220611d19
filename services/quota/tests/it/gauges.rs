//! Gauges: what is there, given back, and set.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use tenantry_core::{Reason, TenantId};
use tenantry_proto::quota::v1::{
    ConsumeQuotaRequest, OverrideLimitRequest, QuotaDecision, ReleaseQuotaRequest, SetGaugeRequest,
};
use tonic::Status;

use crate::several::usage;
use crate::support::{Quotas, World, at_once, decided, reason, to, using};

async fn release(
    quotas: &mut Quotas,
    resource_type: &str,
    amount: i64,
    id: &str,
) -> Result<QuotaDecision, Status> {
    let request = ReleaseQuotaRequest {
        resource_type: resource_type.to_owned(),
        amount: Some(amount),
        request_id: id.to_owned(),
        ..Default::default()
    };
    let released = quotas.release_quota(request).await?;
    Ok(released.into_inner())
}

async fn set(
    quotas: &mut Quotas,
    resource_type: &str,
    value: i64,
    id: &str,
) -> Result<QuotaDecision, Status> {
    let request = SetGaugeRequest {
        resource_type: resource_type.to_owned(),
        value: Some(value),
        request_id: id.to_owned(),
        ..Default::default()
    };
    let set = quotas.set_gauge(request).await?;
    Ok(set.into_inner())
}

#[tokio::test]
async fn what_is_given_back_can_be_used_again_and_no_more_than_there_is() {
    let world = World::start().await;
    let other = world.replica().await;
    let tenant = world.tenant();
    world.set(tenant, "devices", 5, "never").await;
    let mut quotas = world.quotas(&world.program(tenant));
    decided(&mut quotas, using("devices", 5)).await.unwrap();
    let mut others = other.quotas(&world.program(tenant));
    let full = decided(&mut others, using("devices", 1)).await;
    assert_eq!(full, Err(Reason::QuotaExceeded));
    let released = release(&mut quotas, "devices", 2, "gone").await.unwrap();
    assert_eq!(
        (released.amount, released.usage, released.remaining),
        (-2, 3, Some(2))
    );
    // Once for its id.
    let again = release(&mut quotas, "devices", 2, "gone").await.unwrap();
    assert_eq!(again, released);
    let another = release(&mut quotas, "devices", 1, "gone")
        .await
        .unwrap_err();
    assert_eq!(reason(&another), Reason::RequestIdReused);
    // So is one of another method, whose message has the same bytes.
    let used = ConsumeQuotaRequest {
        request_id: "gone".to_owned(),
        ..using("devices", 2)
    };
    assert_eq!(
        decided(&mut quotas, used).await,
        Err(Reason::RequestIdReused)
    );
    let beyond = release(&mut quotas, "devices", 4, "").await.unwrap_err();
    assert_eq!(reason(&beyond), Reason::ReleaseBeyondUsage);
    assert!(beyond.message().contains("3 are used"));
    let window = release(&mut quotas, "api_calls", 1, "").await.unwrap_err();
    assert_eq!(reason(&window), Reason::NotAGauge);
    let used = decided(&mut quotas, using("devices", 2)).await.unwrap();
    assert_eq!(used.remaining, Some(0));
    assert_eq!(crate::exactness::used(&world, tenant).await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn never_more_are_there_at_once_than_the_limit_however_many_come_and_go() {
    let world = World::start().await;
    let other = world.replica().await;
    let tenant = world.tenant();
    world.set(tenant, "devices", 3, "never").await;
    let (inside, most) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicI64::new(0)));
    let calls = at_once(&[&*world, &other], 16, |_, replica| {
        let mut quotas = replica.quotas(&world.program(tenant));
        let (inside, most) = (Arc::clone(&inside), Arc::clone(&most));
        async move {
            let mut came = 0;
            while came < 20 {
                if decided(&mut quotas, using("devices", 1)).await.is_err() {
                    tokio::task::yield_now().await;
                    continue;
                }
                came += 1;
                let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
                most.fetch_max(now, Ordering::SeqCst);
                inside.fetch_sub(1, Ordering::SeqCst);
                release(&mut quotas, "devices", 1, "").await.unwrap();
            }
        }
    });
    calls.await;
    let most = most.load(Ordering::SeqCst);
    println!("{most} of 3 at once at most");
    assert!((1..=3).contains(&most));
    assert_eq!(usage(&world, tenant, "devices").await, 0);
    assert_eq!(crate::exactness::used(&world, tenant).await, 0);
}

#[tokio::test]
async fn a_gauge_that_is_set_is_a_fact_and_refuses_what_is_beyond_the_limit() {
    let world = World::start().await;
    let tenant = world.tenant();
    world.set(tenant, "devices", 5, "never").await;
    let mut quotas = world.quotas(&world.program(tenant));
    let first = set(&mut quotas, "devices", 4, "night").await.unwrap();
    assert_eq!(
        (first.allowed, first.amount, first.usage, first.remaining),
        (true, 4, 4, Some(1))
    );
    let over = set(&mut quotas, "devices", 9, "").await.unwrap();
    assert_eq!(
        (over.allowed, over.amount, over.usage, over.remaining),
        (false, 5, 9, Some(0))
    );
    let refused = decided(&mut quotas, using("devices", 1)).await;
    assert_eq!(refused, Err(Reason::QuotaExceeded));
    // Sent again it sets nothing back.
    let again = set(&mut quotas, "devices", 4, "night").await.unwrap();
    assert_eq!(again, first);
    assert_eq!(usage(&world, tenant, "devices").await, 9);
    let fewer = set(&mut quotas, "devices", 2, "").await.unwrap();
    assert_eq!((fewer.amount, fewer.remaining), (-7, Some(3)));
    decided(&mut quotas, using("devices", 3)).await.unwrap();
    // What nothing bounds is a gauge all the same.
    let free = set(&mut quotas, "storage_bytes", 1 << 50, "").await;
    assert_eq!(free.unwrap().usage, 1 << 50);
    let window = set(&mut quotas, "api_calls", 1, "").await.unwrap_err();
    assert_eq!(reason(&window), Reason::NotAGauge);
    // What the fleet counts nobody else says.
    for owned in ["users", "api_keys"] {
        let refused = [
            set(&mut quotas, owned, 0, "").await,
            release(&mut quotas, owned, 1, "").await,
        ];
        for refused in refused {
            assert_eq!(reason(&refused.unwrap_err()), Reason::CountedByFleet);
        }
    }
    let nothing = SetGaugeRequest {
        resource_type: "devices".to_owned(),
        ..Default::default()
    };
    let nothing = quotas.set_gauge(nothing).await.unwrap_err();
    assert_eq!(reason(&nothing), Reason::InvalidArgument);
    assert_eq!(usage(&world, tenant, "devices").await, 5);
}

async fn pool(world: &World, tenant: TenantId, limit: i64) {
    let request = OverrideLimitRequest {
        shared: true,
        reset_period: "never".to_owned(),
        ..to(tenant, "devices", limit)
    };
    world.set_by(request).await.unwrap();
}

#[tokio::test]
async fn what_children_give_back_or_set_is_in_their_parents_pool() {
    let world = World::start().await;
    let parent = world.tenant();
    pool(&world, parent, 10).await;
    let children = [1, 2].map(|_| world.registry.add("child", "basic", Some(parent)));
    let [mut one, mut two] = children.map(|child| world.quotas(&world.program(child)));
    for child in children {
        world.set(child, "devices", 8, "never").await;
    }
    decided(&mut one, using("devices", 8)).await.unwrap();
    let full = decided(&mut two, using("devices", 3)).await;
    assert_eq!(full, Err(Reason::QuotaExceeded));
    release(&mut one, "devices", 1, "").await.unwrap();
    let admitted = decided(&mut two, using("devices", 3)).await.unwrap();
    assert_eq!(
        (admitted.limit_tenant_id, admitted.usage, admitted.remaining),
        (parent.to_string(), 10, Some(0))
    );
    set(&mut one, "devices", 2, "").await.unwrap();
    let admitted = decided(&mut two, using("devices", 5)).await.unwrap();
    assert_eq!((admitted.usage, admitted.remaining), (8, Some(0)));
    assert_eq!(usage(&world, parent, "devices").await, 10);
}
