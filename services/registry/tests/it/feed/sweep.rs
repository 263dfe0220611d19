//! What the outbox forgets, and what it tells those who come too late for it.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgConnection;
use tenantry_core::{Reason, TenantId, TenantRef};
use tenantry_proto::internal::registry::v1::FollowTenantsRequest;
use tenantry_proto::internal::registry::v1::follow_tenants_response::Item;
use tenantry_proto::registry::v1::{Tenant, WatchTenantsRequest};
use tenantry_rpc::Tasks;
use tenantry_rpc::tenants::{Follower, View};
use tenantry_store::feed::number;
use tenantry_testkit::fault_proxy::FaultProxy;
use tenantry_testkit::wait::until;

use super::client::Watch;
use crate::support::{SOON, World, operator, reason, rename, service, soon};

/// How long changes are kept in these tests, in hours.
const KEPT: u32 = 72;

/// A world with these tenants, each of them changed once: with two changes in the feed.
async fn with_changes(names: &[&str]) -> (World, Vec<Tenant>) {
    let world = World::start().await;
    let mut made = Vec::new();
    for name in names {
        made.push(world.tenant(name).await);
    }
    for tenant in &made {
        let mut tenants = world.tenants(&operator());
        tenants
            .update_tenant(rename(tenant, "Changed"))
            .await
            .unwrap();
    }
    while number(&world.store).await.unwrap() != Some(0) {}
    (world, made)
}

/// The tenants and numbers that the outbox has, in the order of the feed.
async fn left(owner: &mut PgConnection) -> Vec<(TenantId, i64)> {
    let rows: Vec<(uuid::Uuid, i64)> =
        sqlx::query_as("SELECT tenant_id, n FROM outbox ORDER BY feed_n")
            .fetch_all(owner)
            .await
            .unwrap();
    rows.into_iter().map(|(id, n)| (id.into(), n)).collect()
}

async fn floor(owner: &mut PgConnection) -> i64 {
    sqlx::query_scalar("SELECT floor FROM feed_head")
        .fetch_one(owner)
        .await
        .unwrap()
}

/// The log has the feed up to this place.
async fn relayed(owner: &mut PgConnection, position: i64) {
    sqlx::query("UPDATE relay SET position = $1")
        .bind(position)
        .execute(owner)
        .await
        .unwrap();
}

/// Lets so many hours pass for what stands up to this place in the feed.
async fn age(owner: &mut PgConnection, up_to: i64, hours: i32) {
    sqlx::query("UPDATE outbox SET at = at - make_interval(hours => $2) WHERE feed_n <= $1")
        .bind(up_to)
        .bind(hours)
        .execute(owner)
        .await
        .unwrap();
}

fn id(tenant: &Tenant) -> TenantId {
    tenant.id.parse().unwrap()
}

#[tokio::test]
async fn what_the_log_does_not_have_stays_however_old_it_is() {
    let (world, tenants) = with_changes(&["One", "Two"]).await;
    let mut owner = world.owner().await;
    let all = left(&mut owner).await;
    age(&mut owner, 4, 1_000).await;
    assert_eq!(world.store.sweep_outbox(KEPT).await.unwrap(), 0);
    relayed(&mut owner, 3).await;
    assert_eq!(world.store.sweep_outbox(KEPT).await.unwrap(), 3);
    assert_eq!(left(&mut owner).await, all[3..]);
    assert_eq!((all[3], floor(&mut owner).await), ((id(&tenants[1]), 2), 3));
    // Its numbers go on.
    let mut changing = world.tenants(&operator());
    changing
        .update_tenant(rename(&tenants[0], "Again"))
        .await
        .unwrap();
    while number(&world.store).await.unwrap() != Some(0) {}
    assert_eq!(left(&mut owner).await.last(), Some(&(id(&tenants[0]), 3)));
}

#[tokio::test]
async fn what_is_younger_stays_and_all_behind_it() {
    let (world, _) = with_changes(&["One", "Two", "Three"]).await;
    let mut owner = world.owner().await;
    relayed(&mut owner, 6).await;
    age(&mut owner, 6, 100).await;
    let young = "UPDATE outbox SET at = clock_timestamp() - interval '71 hours' WHERE feed_n = 3";
    sqlx::query(young).execute(&mut owner).await.unwrap();
    let all = left(&mut owner).await;
    assert_eq!(world.store.sweep_outbox(KEPT).await.unwrap(), 2);
    assert_eq!(
        (left(&mut owner).await, floor(&mut owner).await),
        (all[2..].to_vec(), 2)
    );
    age(&mut owner, 3, 2).await;
    assert_eq!(world.store.sweep_outbox(KEPT).await.unwrap(), 4);
    assert_eq!(
        (left(&mut owner).await, floor(&mut owner).await),
        (vec![], 6)
    );
}

#[tokio::test]
async fn a_stream_that_the_log_does_not_take_stays_whole_and_the_others_go() {
    let (world, tenants) = with_changes(&["Held", "Free"]).await;
    let mut owner = world.owner().await;
    relayed(&mut owner, 4).await;
    age(&mut owner, 4, 100).await;
    let held = id(&tenants[0]);
    sqlx::query("INSERT INTO relay_held (tenant_id, from_n) VALUES ($1, 2)")
        .bind(held.uuid())
        .execute(&mut owner)
        .await
        .unwrap();
    assert_eq!(world.store.sweep_outbox(KEPT).await.unwrap(), 2);
    assert_eq!(left(&mut owner).await, [(held, 1), (held, 2)]);
    assert_eq!(floor(&mut owner).await, 4);
    sqlx::query("DELETE FROM relay_held")
        .execute(&mut owner)
        .await
        .unwrap();
    assert_eq!(world.store.sweep_outbox(KEPT).await.unwrap(), 2);
    assert_eq!(
        (left(&mut owner).await, floor(&mut owner).await),
        (vec![], 4)
    );
}

#[tokio::test]
async fn more_than_one_batch_goes_and_two_replicas_at_once_take_nothing_twice() {
    let world = World::start().await;
    let mut owner = world.owner().await;
    sqlx::query(
        "INSERT INTO outbox (tenant_id, n, event_id, at, action, event)
         SELECT gen_random_uuid(), 1, gen_random_uuid(), now() - interval '80 hours', 'tenant.updated', '{}'
         FROM generate_series(1, 5000)",
    )
    .execute(&mut owner)
    .await
    .unwrap();
    while number(&world.store).await.unwrap() != Some(0) {}
    relayed(&mut owner, 4_500).await;
    let (one, two) = tokio::join!(
        world.store.sweep_outbox(KEPT),
        world.store.sweep_outbox(KEPT)
    );
    assert!(one.unwrap() + two.unwrap() <= 4_500);
    world.store.sweep_outbox(KEPT).await.unwrap();
    assert_eq!(left(&mut owner).await.len(), 500);
    assert_eq!(floor(&mut owner).await, 4_500);
}

#[tokio::test]
async fn a_watch_with_a_token_of_what_is_gone_is_told_to_begin_anew_and_then_has_all() {
    let (world, tenants) = with_changes(&["One", "Two"]).await;
    let caller = operator();
    let watch = Watch::open_whole(&world, &caller).await;
    let (whole, old) = (watch.position.state.clone(), watch.position.token.clone());
    drop(watch);
    let mut changing = world.tenants(&caller);
    for name in ["A", "B"] {
        changing
            .update_tenant(rename(&tenants[0], name))
            .await
            .unwrap();
    }
    while number(&world.store).await.unwrap() != Some(0) {}
    let mut owner = world.owner().await;
    relayed(&mut owner, 6).await;
    age(&mut owner, 5, 100).await;
    assert_eq!(world.store.sweep_outbox(KEPT).await.unwrap(), 5);
    // One whose memory doesn't reach back.
    let late = world.replica().await;
    let asked = async || {
        let request = WatchTenantsRequest {
            resume_token: old.clone(),
        };
        let mut stream = late
            .tenants(&caller)
            .watch_tenants(request)
            .await?
            .into_inner();
        while stream.message().await?.is_some() {}
        Ok(())
    };
    let refused: Result<(), tonic::Status> = soon(asked()).await;
    assert_eq!(reason(&refused.unwrap_err()), Reason::ResumeTokenTooOld);
    let anew = Watch::open_whole(&late, &caller).await;
    let mut expected = whole;
    expected.insert(tenants[0].id.clone(), 4);
    assert_eq!(anew.position.state, expected);
}

#[tokio::test]
async fn a_follower_that_was_away_for_too_long_lists_again_and_misses_nothing() {
    let (world, tenants) = with_changes(&["One", "Two", "Three"]).await;
    let proxy = FaultProxy::start(world.address).await.unwrap();
    let tasks = Tasks::new();
    let view = Arc::new(View::default());
    let registry = world.callable(&format!("http://{}", proxy.address()), "identity", &tasks);
    let follower = Follower::new(&registry, Arc::clone(&view));
    tasks.keep("follower", follower.run(tasks.token()));
    let version = |tenant: &Tenant| {
        let entry = view.find("", &TenantRef::Id(id(tenant)));
        entry.map(|entry| entry.version)
    };
    let knows = async |what: &str, expected: [Option<i64>; 3]| {
        let look = async || {
            let known = [0, 1, 2].map(|place| version(&tenants[place]));
            let fresh = view.age() < Duration::from_secs(1);
            Ok((fresh && known == expected).then_some(()))
        };
        until(what, SOON, look).await.unwrap();
    };
    knows("first state", [Some(2); 3]).await;
    proxy.refuse(true);
    proxy.cut_all();
    let mut changing = world.tenants(&operator());
    changing
        .update_tenant(rename(&tenants[0], "Meanwhile"))
        .await
        .unwrap();
    let purge = tenantry_proto::registry::v1::PurgeTenantRequest {
        tenant: tenants[1].id.clone(),
        force: true,
        ..Default::default()
    };
    changing.purge_tenant(purge).await.unwrap();
    let mut owner = world.owner().await;
    let gone = async || {
        let gone = "SELECT max(feed_n) FROM outbox WHERE action = 'tenant.purged'";
        Ok(sqlx::query_scalar::<_, Option<i64>>(gone)
            .fetch_one(&mut owner)
            .await?)
    };
    let last = until("purge", SOON, gone).await.unwrap();
    relayed(&mut owner, last).await;
    age(&mut owner, last, 100).await;
    assert!(world.store.sweep_outbox(KEPT).await.unwrap() > 0);
    assert!(left(&mut owner).await.is_empty());
    // By a replica that has none of it in memory.
    let late = world.replica().await;
    proxy.retarget(late.address);
    proxy.refuse(false);
    knows("state after the sweep", [Some(3), None, Some(2)]).await;
    tasks.cancel();
}

#[tokio::test]
async fn the_fleet_s_own_feed_says_that_a_token_is_too_old() {
    let (world, tenants) = with_changes(&["One"]).await;
    let mut feed = world.feed(&service("identity"));
    let begin = FollowTenantsRequest::default();
    let mut stream = feed.follow_tenants(begin).await.unwrap().into_inner();
    let token = soon(async {
        loop {
            let response = stream.message().await.unwrap().unwrap();
            if matches!(response.item, Some(Item::Bookmark(bookmark)) if bookmark.complete) {
                return response.resume_token;
            }
        }
    })
    .await;
    world
        .tenants(&operator())
        .update_tenant(rename(&tenants[0], "New"))
        .await
        .unwrap();
    while number(&world.store).await.unwrap() != Some(0) {}
    let mut owner = world.owner().await;
    relayed(&mut owner, 3).await;
    age(&mut owner, 3, 100).await;
    assert_eq!(world.store.sweep_outbox(KEPT).await.unwrap(), 3);
    let late = world.replica().await;
    let mut feed = late.feed(&service("identity"));
    let mut asked = async || {
        let request = FollowTenantsRequest {
            resume_token: token.clone(),
        };
        let mut stream = feed.follow_tenants(request).await?.into_inner();
        while stream.message().await?.is_some() {}
        Ok(())
    };
    let refused: Result<(), tonic::Status> = soon(asked()).await;
    assert_eq!(reason(&refused.unwrap_err()), Reason::ResumeTokenTooOld);
}
