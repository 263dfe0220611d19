//! Plans on the feed: all versions first, then each change, in time and none skipped.

use std::time::{Duration, Instant};

use tenantry_core::Permission;
use tenantry_proto::internal::registry::v1::FollowTenantsRequest;
use tenantry_proto::internal::registry::v1::follow_tenants_response::Item as Followed;
use tenantry_proto::registry::v1::watch_tenants_response::Item;
use tenantry_proto::registry::v1::{Plan, WatchTenantsRequest, WatchTenantsResponse};
use tenantry_rpc::assertion::Claims;
use tonic::Streaming;

use super::{create, new_plan, price, update};
use crate::support::{Replica, World, member, operator, rename, service, soon};

/// What a change may take to arrive.
const LAG: Duration = Duration::from_secs(1);

async fn watch(replica: &Replica, claims: &Claims, token: &str) -> Streaming<WatchTenantsResponse> {
    let request = WatchTenantsRequest {
        resume_token: token.to_owned(),
    };
    let opened = replica.tenants(claims).watch_tenants(request).await;
    opened.unwrap().into_inner()
}

/// Everything up to the first bookmark with a token, in order, and that token.
async fn first_state(stream: &mut Streaming<WatchTenantsResponse>) -> (Vec<Item>, String) {
    let mut items = Vec::new();
    soon(async {
        loop {
            let response = stream.message().await.unwrap().unwrap();
            match response.item.unwrap() {
                Item::Bookmark(_) if !response.resume_token.is_empty() => {
                    return (items, response.resume_token);
                }
                Item::Bookmark(_) => {}
                item => items.push(item),
            }
        }
    })
    .await
}

/// The next version of a plan that is made from now on, with what happened.
async fn next_plan(stream: &mut Streaming<WatchTenantsResponse>) -> (Plan, String) {
    soon(async {
        loop {
            let response = stream.message().await.unwrap().unwrap();
            if let Some(Item::Plan(change)) = response.item {
                return (change.plan.unwrap(), change.action);
            }
        }
    })
    .await
}

#[tokio::test]
async fn an_operators_stream_begins_with_all_versions_and_goes_on_with_each_change() {
    let world = World::start().await;
    let other = world.replica().await;
    world.tenant("Acme").await;
    update(&world, price("basic", 1, "")).await;
    let mut stream = watch(&other, &operator(), "").await;
    let (items, token) = first_state(&mut stream).await;
    let is_plan = |item: &Item| matches!(item, Item::Plan(_));
    let plans = items.iter().take_while(|item| is_plan(item)).count();
    assert_eq!(
        plans, 8,
        "seven plans, one of them in two versions, before any tenant"
    );
    assert!(items.iter().any(|item| matches!(item, Item::Change(_))));

    let began = Instant::now();
    let made = update(&world, price("basic", 2, "")).await;
    let arrived = next_plan(&mut stream).await;
    assert!(began.elapsed() < LAG, "{:?}", began.elapsed());
    assert_eq!(arrived, (made, "plan.updated".to_owned()));

    // What was made while nobody listened comes to whoever goes on with the token, on any replica.
    drop(stream);
    let mut missed = vec![create(&world, new_plan("gold")).await];
    for n in 0..20 {
        missed.push(update(&other, price("gold", n, "")).await);
    }
    let mut stream = watch(&world, &operator(), &token).await;
    assert_eq!(next_plan(&mut stream).await.0.key, "basic");
    for plan in missed {
        assert_eq!(next_plan(&mut stream).await.0, plan);
    }
}

#[tokio::test]
async fn a_tenants_own_stream_carries_no_plans() {
    let world = World::start().await;
    let tenant = world.tenant("Acme").await;
    let mut stream = watch(&world, &member(&tenant, &[Permission::TenantsRead]), "").await;
    let (items, _) = first_state(&mut stream).await;
    assert_eq!(items.len(), 1, "{items:?}");
    update(&world, price("basic", 1, "")).await;
    world
        .tenants(&operator())
        .update_tenant(rename(&tenant, "Renamed"))
        .await
        .unwrap();
    soon(async {
        loop {
            match stream.message().await.unwrap().unwrap().item.unwrap() {
                Item::Change(change) if change.version == 2 => return,
                Item::Plan(plan) => panic!("{plan:?}"),
                _ => {}
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_service_that_follows_knows_the_version_of_each_tenant_before_the_tenant() {
    let world = World::start().await;
    let tenant = world.tenant("Acme").await;
    update(&world, price("free", 1, "")).await;
    let mut feed = world.feed(&service("identity"));
    let opened = feed.follow_tenants(FollowTenantsRequest::default()).await;
    let mut stream = opened.unwrap().into_inner();
    let mut known = std::collections::BTreeSet::new();
    soon(async {
        loop {
            match stream.message().await.unwrap().unwrap().item.unwrap() {
                Followed::Plan(plan) => {
                    known.insert((plan.key, plan.version));
                }
                Followed::Tenant(entry) => {
                    assert_eq!(entry.id, tenant.id);
                    assert!(
                        known.contains(&(entry.plan, entry.plan_version)),
                        "{known:?}"
                    );
                }
                Followed::Bookmark(bookmark) if bookmark.complete => return,
                Followed::Bookmark(_) => {}
            }
        }
    })
    .await;
    assert_eq!(known.len(), 8);
    let began = Instant::now();
    let made = update(&world, price("free", 2, "")).await;
    soon(async {
        loop {
            let item = stream.message().await.unwrap().unwrap().item.unwrap();
            if let Followed::Plan(plan) = item
                && plan == made
            {
                return;
            }
        }
    })
    .await;
    assert!(began.elapsed() < LAG, "{:?}", began.elapsed());
}
