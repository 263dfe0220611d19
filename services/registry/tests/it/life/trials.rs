//! The end of a trial: by itself, at its time, once over all replicas.

use futures::future::join_all;
use jiff::Timestamp;
use tenantry_core::{Permission, Reason};
use tenantry_proto::registry::v1::watch_tenants_response::Item;
use tenantry_proto::registry::v1::{
    CreateTenantRequest, SuspendTenantRequest, Tenant, UpdateTenantRequest, WatchTenantsRequest,
};

use super::{events, now};
use crate::support::{World, fields, member, named, operator, soon, why};

/// Trials that end at the same time.
const TRIALS: usize = 24;

async fn trial(world: &World) -> Tenant {
    world
        .create(CreateTenantRequest {
            trial_days: 1,
            subscription_tier: "business".to_owned(),
            ..named("Trial")
        })
        .await
}

/// Sets the end of a tenant's trial this many milliseconds from now.
fn ends_in(tenant: &Tenant, ms: i64) -> UpdateTenantRequest {
    let at = tenantry_core::clock::now() + jiff::SignedDuration::from_millis(ms);
    UpdateTenantRequest {
        tenant: tenant.id.clone(),
        trial_ends_at: Some(tenantry_rpc::convert::timestamp(at)),
        ..Default::default()
    }
}

/// Waits until as many trials have ended.
async fn ended(world: &World, count: usize, meanwhile: impl Future<Output = ()>) {
    let mut tenants = world.tenants(&operator());
    let watch = tenants.watch_tenants(WatchTenantsRequest::default()).await;
    let mut stream = watch.unwrap().into_inner();
    let all_ended = async {
        let mut left = count;
        while left > 0 {
            let item = stream.message().await.unwrap().unwrap().item;
            if let Some(Item::Change(change)) = item {
                left -= usize::from(change.action == "tenant.trial_ended");
            }
        }
    };
    soon(async { futures::join!(all_ended, meanwhile) }).await;
}

#[tokio::test]
async fn each_trial_ends_once_at_its_time_whichever_replica_is_first() {
    let world = World::start().await;
    let second = world.replica().await;
    let trials = join_all((0..TRIALS).map(|_| trial(&world))).await;
    let began = tenantry_core::clock::now();
    let shorten = async {
        join_all(trials.iter().enumerate().map(|(n, tenant)| {
            let replica = if n % 2 == 0 { &*world } else { &second };
            let mut client = replica.tenants(&operator());
            async move { client.update_tenant(ends_in(tenant, 8_000)).await.unwrap() }
        }))
        .await;
    };
    ended(&world, TRIALS, shorten).await;
    for tenant in &trials {
        let then = now(&world, tenant).await;
        assert_eq!(
            (then.status.as_str(), then.subscription_tier.as_str()),
            ("active", "free")
        );
        assert_eq!(then.etag, "3", "created, shortened, ended");
        assert_eq!(events(&world, tenant, "tenant.trial_ended").await, 1);
    }
    let late: Vec<(Option<String>, f64)> = sqlx::query_as(
        "SELECT event -> 'actor' ->> 'name', extract(epoch FROM o.at - t.trial_ends_at)::float8
         FROM outbox AS o JOIN tenants AS t USING (tenant_id) WHERE action = 'tenant.trial_ended'",
    )
    .fetch_all(&mut world.owner().await)
    .await
    .unwrap();
    for (actor, seconds) in late {
        assert_eq!(actor.as_deref(), Some("registry"));
        assert!((0.0..10.0).contains(&seconds), "{seconds} s after its time");
    }
    assert!(tenantry_core::clock::now() > began);
}

#[tokio::test]
async fn a_trial_that_was_interrupted_ends_when_it_goes_on() {
    let world = World::start().await;
    let tenant = trial(&world).await;
    let mut above = world.tenants(&operator());
    let suspend = SuspendTenantRequest {
        tenant: tenant.id.clone(),
        ..Default::default()
    };
    above.suspend_tenant(suspend).await.unwrap();
    sqlx::query(
        "UPDATE tenants SET trial_ends_at = now() - interval '1 hour' WHERE tenant_id = $1::uuid",
    )
    .bind(&tenant.id)
    .execute(&mut world.owner().await)
    .await
    .unwrap();
    let resume = tenantry_proto::registry::v1::ResumeTenantRequest {
        tenant: tenant.id.clone(),
        ..Default::default()
    };
    ended(&world, 1, async {
        above.resume_tenant(resume).await.unwrap();
    })
    .await;
    assert_eq!(now(&world, &tenant).await.status, "active");
}

#[tokio::test]
async fn the_end_of_a_trial_is_moved_by_those_above_and_only_while_there_is_one() {
    let world = World::start().await;
    let (tenant, settled) = (trial(&world).await, world.tenant("Settled").await);
    let mut above = world.tenants(&operator());
    let day = 86_400_000;
    let longer = above.update_tenant(ends_in(&tenant, 20 * day)).await;
    let end = longer.unwrap().into_inner().trial_ends_at.unwrap();
    let least = tenantry_core::clock::now() + jiff::SignedDuration::from_hours(19 * 24);
    assert!(Timestamp::from_second(end.seconds).unwrap() > least);
    for wrong in [-1_000, 366 * day] {
        let refused = fields(above.update_tenant(ends_in(&tenant, wrong)).await);
        assert_eq!(refused, ["trial_ends_at"]);
    }
    let cleared = UpdateTenantRequest {
        tenant: tenant.id.clone(),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["trial_ends_at".to_owned()],
        }),
        ..Default::default()
    };
    assert_eq!(
        fields(above.update_tenant(cleared).await),
        ["trial_ends_at"]
    );
    let refused = above.update_tenant(ends_in(&settled, day)).await;
    assert_eq!(why(refused), Reason::StatusForbids);
    let own = member(
        &tenant,
        &[Permission::TenantsRead, Permission::TenantsUpdate],
    );
    let refused = world
        .tenants(&own)
        .update_tenant(ends_in(&tenant, day))
        .await;
    assert_eq!(why(refused), Reason::PermissionDenied);
}
