//! Tenants that share the pool of a tenant above.

use std::time::Duration;

use tenantry_core::{Reason, TenantId};
use tenantry_proto::quota::v1::{CheckQuotaRequest, OverrideLimitRequest};
use tenantry_rpc::assertion::Claims;
use tenantry_testkit::wait::until;

use crate::support::{Replica, World, reason, to};

/// What is promised between a changed limit and its effect.
const AT_ONCE: Duration = Duration::from_secs(1);

/// Whose limit it is that callers use up.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Whose {
    /// A tenant's own.
    Own,
    /// Two tenants share a pool.
    Pool,
}

impl Whose {
    pub(crate) const ALL: [Self; 2] = [Self::Own, Self::Pool];

    /// The tenants that use it, as all these replicas know them.
    pub(crate) async fn tenants(
        self,
        world: &World,
        replicas: &[&Replica],
        limit: i64,
    ) -> Vec<TenantId> {
        if matches!(self, Self::Own) {
            return vec![world.limited(limit).await];
        }
        let (parent, children) = pooled(world, limit).await;
        for child in children {
            // Their own limits don't bind them.
            world.set(child, "api_calls", limit + 1_000, "day").await;
            for replica in replicas {
                bounded_by(replica, &world.program(child), parent, limit).await;
            }
        }
        children.to_vec()
    }
}

/// A parent with a pool of so much, and two children of it.
pub(crate) async fn pooled(world: &World, pool: i64) -> (TenantId, [TenantId; 2]) {
    let parent = world.registry.add("reseller", "basic", None);
    let children = ["one", "two"].map(|slug| world.registry.add(slug, "basic", Some(parent)));
    let set = world.set_by(OverrideLimitRequest {
        reset_period: "day".to_owned(),
        shared: true,
        ..to(parent, "api_calls", pool)
    });
    assert!(set.await.unwrap().shared);
    (parent, children)
}

/// Waits until a replica bounds who has these claims by the pool.
pub(crate) async fn bounded_by(replica: &Replica, claims: &Claims, parent: TenantId, pool: i64) {
    let mut checks = replica.quotas(claims);
    let request = CheckQuotaRequest {
        resource_type: "api_calls".to_owned(),
        ..Default::default()
    };
    let known = until("the pool", AT_ONCE, async || {
        let answer = checks.check_quota(request.clone()).await?.into_inner();
        let bound = (answer.limit, answer.limit_tenant_id);
        Ok((bound == (Some(pool), parent.to_string())).then_some(()))
    });
    known.await.unwrap();
}

#[tokio::test]
async fn a_child_spends_its_own_limit_and_the_pool_together() {
    let world = World::start().await;
    let (parent, [one, two]) = pooled(&world, 10).await;
    world.set(one, "api_calls", 4, "day").await;
    let answer = world.consume(one, 4).await.unwrap();
    // Its own limit binds.
    assert_eq!((answer.limit, answer.remaining), (Some(4), Some(0)));
    assert_eq!(answer.limit_tenant_id, one.to_string());
    assert_eq!(
        reason(&world.consume(one, 1).await.unwrap_err()),
        Reason::QuotaExceeded
    );
    // The pool binds.
    let answer = world.consume(two, 3).await.unwrap();
    assert_eq!(
        (answer.limit, answer.usage, answer.remaining),
        (Some(10), 7, Some(3))
    );
    assert_eq!(answer.limit_tenant_id, parent.to_string());
    // What is refused by the pool counts nowhere, and what the parent uses itself is of the pool too.
    assert_eq!(
        reason(&world.consume(two, 4).await.unwrap_err()),
        Reason::QuotaExceeded
    );
    let answer = world.consume(parent, 3).await.unwrap();
    assert_eq!((answer.usage, answer.remaining), (10, Some(0)));
    for tenant in [parent, two] {
        assert_eq!(
            reason(&world.consume(tenant, 1).await.unwrap_err()),
            Reason::QuotaExceeded
        );
    }
    let used: Vec<(uuid::Uuid, i64)> =
        sqlx::query_as("SELECT tenant_id, (settled + committed) FROM accounts WHERE NOT superseded ORDER BY tenant_id")
            .fetch_all(&mut world.owner().await)
            .await
            .unwrap();
    let mut expected = vec![(parent.uuid(), 10), (one.uuid(), 4), (two.uuid(), 3)];
    expected.sort();
    assert_eq!(used, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn children_that_share_a_pool_use_exactly_it() {
    let world = World::start().await;
    let other = world.replica().await;
    let (parent, children) = pooled(&world, 300).await;
    let claims = children.map(|child| world.program(child));
    bounded_by(&other, &claims[0], parent, 300).await;
    let admitted = crate::exactness::use_up(&[&*world, &other], &claims, 64).await;
    println!("a pool of 300, two children, 64 callers, 2 replicas: {admitted:?}");
    assert_eq!(admitted.iter().sum::<i64>(), 300);
}

#[tokio::test]
async fn a_pool_ends_with_its_override() {
    let world = World::start().await;
    let (parent, [one, _]) = pooled(&world, 1).await;
    world.consume(one, 1).await.unwrap();
    assert_eq!(
        reason(&world.consume(one, 1).await.unwrap_err()),
        Reason::QuotaExceeded
    );
    world.set(parent, "api_calls", 1, "day").await;
    let freed = until("end of the pool", AT_ONCE, async || {
        Ok(world.consume(one, 1).await.ok())
    });
    assert_eq!(freed.await.unwrap().limit_tenant_id, one.to_string());
}

#[tokio::test]
async fn a_tenant_that_moves_to_another_tree_takes_what_it_used_along() {
    let world = World::start().await;
    let (_, [one, _]) = pooled(&world, 100).await;
    let (other, _) = pooled(&world, 5).await;
    world.set(one, "api_calls", 10, "day").await;
    world.consume(one, 4).await.unwrap();
    world
        .registry
        .change(one, |tenant| tenant.parent_id = other.to_string())
        .unwrap();
    let moved = until("the move", AT_ONCE, async || {
        let answer = world.consume(one, 0).await.unwrap();
        Ok((answer.limit_tenant_id == other.to_string()).then_some(answer))
    });
    assert_eq!((moved.await.unwrap().limit), Some(5));
    let answer = world.consume(one, 5).await.unwrap();
    assert_eq!((answer.usage, answer.remaining), (5, Some(0)));
    world
        .set_by(OverrideLimitRequest {
            reset_period: "day".to_owned(),
            shared: true,
            ..to(other, "api_calls", 50)
        })
        .await
        .unwrap();
    let own = until("the larger pool", AT_ONCE, async || {
        Ok(world.consume(one, 1).await.ok())
    });
    let own = own.await.unwrap();
    assert_eq!(
        (own.limit, own.usage),
        (Some(10), 10),
        "its own: 4 before the move, 6 after it"
    );
}
