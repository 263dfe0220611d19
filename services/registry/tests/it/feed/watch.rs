//! The public stream, of all tenants and of one.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tenantry_core::{Permission, Reason};
use tenantry_proto::internal::registry::v1::FollowTenantsRequest;
use tenantry_proto::registry::v1::watch_tenants_response::Item;
use tenantry_proto::registry::v1::{
    DeleteTenantRequest, SuspendTenantRequest, Tenant, TenantChange, WatchTenantsRequest,
};

use super::client::{Position, Watch};
use crate::support::{Replica, World, member, operator, reason, rename, service, why};

/// Those of a replica in these tests.
const PLATFORM_CONNECTIONS: usize = 6;
/// A suspension must end streams this soon.
const SUSPENSION_WITHIN: Duration = Duration::from_secs(1);

fn steps(changes: &[TenantChange]) -> Vec<(&str, i64)> {
    changes
        .iter()
        .map(|change| (change.action.as_str(), change.version))
        .collect()
}

fn suspend(tenant: &Tenant) -> SuspendTenantRequest {
    SuspendTenantRequest {
        tenant: tenant.id.clone(),
        reason: "unpaid".to_owned(),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_watch_begins_with_the_present_state_and_goes_on_with_each_change() {
    let world = World::start().await;
    let [one, two] = [world.tenant("One").await, world.tenant("Two").await];
    let caller = operator();
    let mut watch = Watch::open_whole(&world, &caller).await;
    assert_eq!(
        watch.position.state,
        BTreeMap::from([(one.id.clone(), 1), (two.id.clone(), 1)])
    );

    let mut tenants = world.tenants(&caller);
    tenants.update_tenant(rename(&one, "New")).await.unwrap();
    tenants.suspend_tenant(suspend(&two)).await.unwrap();
    let updated = watch.change().await;
    assert_eq!(
        (updated.action.as_str(), updated.version),
        ("tenant.updated", 2)
    );
    assert_eq!(updated.tenant.unwrap().name, "New");
    let suspended = watch.change().await;
    assert_eq!(
        (suspended.action.as_str(), suspended.version),
        ("tenant.suspended", 2)
    );
    assert_eq!(suspended.tenant.unwrap().suspend_reason, "unpaid");
    assert!(suspended.at.is_some());
}

#[tokio::test]
async fn a_watch_that_goes_on_elsewhere_has_each_change_once_in_order() {
    let world = World::start().await;
    let other = world.replica().await;
    let tenant = world.tenant("Acme").await;
    let caller = operator();
    let watch = Watch::open_whole(&world, &caller).await;
    let mut position = watch.position;
    let mut versions = Vec::new();
    for version in 2..=21_i64 {
        let name = format!("Version {version}");
        world
            .tenants(&caller)
            .update_tenant(rename(&tenant, &name))
            .await
            .unwrap();
        // Every other change is read elsewhere, behind the token of the change before.
        let replica: &Replica = if version % 2 == 0 { &other } else { &world };
        let mut watch = Watch::resume(replica, &caller, position).await;
        let change = watch.change().await;
        assert_eq!(change.tenant.unwrap().name, name);
        versions.push(change.version);
        position = watch.position;
    }
    assert_eq!(versions, (2..=21).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_happened_while_a_watcher_was_away_comes_when_it_is_back() {
    let world = World::start().await;
    let [seen, missed] = [world.tenant("Seen").await, world.tenant("Missed").await];
    let caller = operator();
    let watch = Watch::open_whole(&world, &caller).await;
    let position = watch.position.clone();
    drop(watch);
    let mut tenants = world.tenants(&caller);
    for n in 0..30 {
        let (a, b) = (format!("Seen {n}"), format!("Missed {n}"));
        tenants.update_tenant(rename(&seen, &a)).await.unwrap();
        tenants.update_tenant(rename(&missed, &b)).await.unwrap();
    }
    // A replica that began later has none of it in memory.
    let late = world.replica().await;
    let mut watch = Watch::resume(&late, &caller, position).await;
    let mut versions: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for _ in 0..60 {
        let change = watch.change().await;
        versions
            .entry(change.tenant.unwrap().id)
            .or_default()
            .push(change.version);
    }
    let each = (2..=31).collect::<Vec<i64>>();
    assert_eq!(
        versions,
        BTreeMap::from([(seen.id, each.clone()), (missed.id, each)])
    );
}

#[tokio::test]
async fn bookmarks_come_while_nothing_happens_and_are_fresh() {
    let world = World::start().await;
    let tenant = world.tenant("Acme").await;
    for claims in [operator(), member(&tenant, &[Permission::TenantsRead])] {
        let mut watch = Watch::open_whole(&world, &claims).await;
        for _ in 0..4 {
            let before = Instant::now();
            let Some(Item::Bookmark(bookmark)) = watch.item().await.unwrap() else {
                panic!("nothing but bookmarks");
            };
            assert!(before.elapsed() < Duration::from_secs(1));
            assert!(bookmark.age_ms < 1_000, "{bookmark:?}");
            assert!(!watch.position.token.is_empty());
        }
    }
}

#[tokio::test]
async fn the_feed_goes_on_while_others_hold_every_connection_of_the_platform_s_role() {
    let world = World::start().await;
    let mut watch = Watch::open_whole(&world, &operator()).await;
    let mut held = Vec::new();
    for _ in 0..PLATFORM_CONNECTIONS {
        let mut tx = world.store.platform().await.unwrap();
        let longest: String = sqlx::query_scalar("SHOW statement_timeout")
            .fetch_one(tx.conn())
            .await
            .unwrap();
        assert_eq!(longest, "20s", "nothing holds one for good");
        held.push(tx);
    }
    let held_since = Instant::now();
    while held_since.elapsed() < Duration::from_secs(2) {
        let Some(Item::Bookmark(bookmark)) = watch.item().await.unwrap() else {
            panic!("nothing but bookmarks");
        };
        assert!(bookmark.age_ms < 1_000, "{bookmark:?}");
    }
}

#[tokio::test]
async fn a_token_that_is_damaged_or_of_another_stream_is_refused() {
    let world = World::start().await;
    let [own, foreign] = [world.tenant("Own").await, world.tenant("Foreign").await];
    let read = [Permission::TenantsRead];
    let mut tokens = Vec::new();
    for claims in [operator(), member(&foreign, &read)] {
        let watch = Watch::open_whole(&world, &claims).await;
        tokens.push(watch.position.token);
    }
    let mut follow = world.feed(&service("identity"));
    let mut stream = follow
        .follow_tenants(FollowTenantsRequest::default())
        .await
        .unwrap()
        .into_inner();
    let internal = loop {
        let response = stream.message().await.unwrap().unwrap();
        if !response.resume_token.is_empty() {
            break response.resume_token;
        }
    };
    tokens.push(internal);
    let mut damaged = tokens[0].clone();
    damaged.replace_range(40..41, if &damaged[40..41] == "A" { "B" } else { "A" });
    tokens.extend([damaged, "x".to_owned(), "\u{1}".to_owned(), "A".repeat(100)]);

    let claims = member(&own, &read);
    for token in &tokens {
        let request = WatchTenantsRequest {
            resume_token: token.clone(),
        };
        let refused = world.tenants(&claims).watch_tenants(request).await;
        assert_eq!(why(refused), Reason::InvalidResumeToken, "{token}");
    }
    let request = FollowTenantsRequest {
        resume_token: tokens[0].clone(),
    };
    assert_eq!(
        why(follow.follow_tenants(request).await),
        Reason::InvalidResumeToken
    );
}

#[tokio::test]
async fn a_token_older_than_what_is_kept_is_told_so() {
    let world = World::start().await;
    let caller = operator();
    let mut watch = Watch::open_whole(&world, &caller).await;
    world.tenant("Acme").await;
    watch.change().await;
    let mut owner = world.owner().await;
    sqlx::query("UPDATE feed_head SET head = head + 10, floor = head + 10")
        .execute(&mut owner)
        .await
        .unwrap();
    let late = world.replica().await;
    let request = WatchTenantsRequest {
        resume_token: watch.position.token.clone(),
    };
    let opened = late.tenants(&caller).watch_tenants(request).await;
    // Known at once, or, before this replica's first look at the feed, as the stream's first word.
    let status = match opened {
        Err(status) => status,
        Ok(stream) => {
            let watch = Watch {
                stream: stream.into_inner(),
                position: Position::default(),
            };
            let (changes, end, status) = watch.until_end().await;
            assert!(changes.is_empty());
            assert_eq!(end.reason, "RESUME_TOKEN_TOO_OLD");
            status
        }
    };
    assert_eq!(reason(&status), Reason::ResumeTokenTooOld);
}

#[tokio::test]
async fn a_tenant_s_own_watch_shows_itself_alone_and_ends_within_a_second_of_suspension() {
    let world = World::start().await;
    let other = world.replica().await;
    let [own, foreign] = [world.tenant("Own").await, world.tenant("Foreign").await];
    let own_child = world.child("Child", &own).await;
    let claims = member(&own, &[Permission::TenantsRead, Permission::TenantsCreate]);
    let watch = Watch::open_whole(&other, &claims).await;
    assert_eq!(watch.position.state, BTreeMap::from([(own.id.clone(), 1)]));

    let mut above = world.tenants(&operator());
    for tenant in [&foreign, &own_child, &own] {
        above
            .update_tenant(rename(tenant, "Changed"))
            .await
            .unwrap();
    }
    let token = watch.position.token.clone();
    above.suspend_tenant(suspend(&own)).await.unwrap();
    let suspended = Instant::now();
    let (changes, end, status) = watch.until_end().await;
    assert!(
        suspended.elapsed() < SUSPENSION_WITHIN,
        "{:?}",
        suspended.elapsed()
    );
    assert!(
        changes
            .iter()
            .all(|change| change.tenant.as_ref().unwrap().id == own.id)
    );
    assert_eq!(
        steps(&changes),
        [("tenant.updated", 2), ("tenant.suspended", 3)]
    );
    assert_eq!(end.reason, "STREAM_TENANT_STATUS");
    assert_eq!(reason(&status), Reason::StreamTenantStatus);

    // Those who manage it go on seeing it.
    let watch = Watch::open_whole(&other, &operator()).await;
    assert_eq!(watch.position.state.len(), 3);
    // And nobody comes in again, neither anew nor by token.
    for token in ["", &token] {
        let request = WatchTenantsRequest {
            resume_token: token.to_owned(),
        };
        let again = other.tenants(&claims).watch_tenants(request).await;
        assert_eq!(why(again), Reason::TenantSuspended);
    }
}

#[tokio::test]
async fn a_tenant_s_own_watch_ends_within_a_second_of_the_suspension_of_one_above() {
    let world = World::start().await;
    let [top, foreign] = [world.tenant("Top").await, world.tenant("Foreign").await];
    let middle = world.child("Middle", &top).await;
    let own = world.child("Own", &middle).await;
    let claims = member(&own, &[Permission::TenantsRead]);
    let watch = Watch::open_whole(&world, &claims).await;
    let token = watch.position.token.clone();

    let mut above = world.tenants(&operator());
    above.update_tenant(rename(&top, "Renamed")).await.unwrap();
    above.suspend_tenant(suspend(&foreign)).await.unwrap();
    above.update_tenant(rename(&own, "Renamed")).await.unwrap();
    above.suspend_tenant(suspend(&top)).await.unwrap();
    let suspended = Instant::now();
    let (changes, end, status) = watch.until_end().await;
    assert!(
        suspended.elapsed() < SUSPENSION_WITHIN,
        "{:?}",
        suspended.elapsed()
    );
    assert_eq!(
        steps(&changes),
        [("tenant.updated", 2)],
        "its own changes alone"
    );
    assert_eq!(end.reason, "STREAM_TENANT_STATUS");
    assert_eq!(reason(&status), Reason::StreamTenantStatus);

    // What was admitted just before, by who didn't know of it yet, ends as well.
    let position = Position {
        token,
        ..Position::default()
    };
    let watch = Watch::resume(&world, &claims, position).await;
    let (_, end, _) = watch.until_end().await;
    assert_eq!(end.reason, "STREAM_TENANT_STATUS");
}

#[tokio::test]
async fn a_watch_of_a_deleted_tenant_ends_and_can_t_be_opened_again() {
    let world = World::start().await;
    let own = world.tenant("Own").await;
    let claims = member(&own, &[Permission::TenantsRead]);
    let watch = Watch::open_whole(&world, &claims).await;
    let delete = DeleteTenantRequest {
        tenant: own.id.clone(),
        ..Default::default()
    };
    world
        .tenants(&operator())
        .delete_tenant(delete)
        .await
        .unwrap();
    let (changes, end, _) = watch.until_end().await;
    assert_eq!(steps(&changes), [("tenant.deleted", 2)]);
    assert_eq!(end.reason, "STREAM_TENANT_STATUS");
    let again = world
        .tenants(&claims)
        .watch_tenants(WatchTenantsRequest::default())
        .await;
    assert_eq!(why(again), Reason::TenantNotFound);
}

#[tokio::test]
async fn a_credential_has_sixteen_streams_open_and_one_that_closes_makes_room() {
    let world = World::start().await;
    let claims = operator();
    let mut watches = Vec::new();
    for _ in 0..16 {
        watches.push(Watch::open_whole(&world, &claims).await);
    }
    let mut tenants = world.tenants(&claims);
    let request = WatchTenantsRequest::default();
    let refused = tenants.watch_tenants(request.clone()).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
    assert_eq!(reason(&refused), Reason::Overloaded);
    // Another credential has its own.
    Watch::open_whole(&world, &operator()).await;
    watches.pop();
    let deadline = Instant::now() + Duration::from_secs(10);
    while let Err(refused) = tenants.watch_tenants(request.clone()).await {
        assert_eq!(reason(&refused), Reason::Overloaded);
        assert!(Instant::now() < deadline, "the closed stream's place");
    }
}

#[tokio::test]
async fn a_watch_ends_with_its_credential() {
    let world = World::start().await;
    let mut claims = operator();
    claims.credential_exp = Some(tenantry_core::clock::now().as_second() + 3);
    let watch = Watch::open_whole(&world, &claims).await;
    let (_, end, status) = watch.until_end().await;
    assert_eq!(end.reason, "STREAM_CREDENTIAL_ENDED");
    assert_eq!(reason(&status), Reason::StreamCredentialEnded);
}

#[tokio::test]
async fn a_replica_that_ends_tells_its_watchers_who_go_on_at_another() {
    let world = World::start().await;
    let leaving = world.replica().await;
    let caller = operator();
    let watch = Watch::open_whole(&leaving, &caller).await;
    let position = watch.position.clone();
    let (ended, ()) = futures::join!(watch.until_end(), leaving.end());
    assert_eq!(ended.1.reason, "STREAM_LIFETIME_REACHED");
    let tenant = world.tenant("Acme").await;
    let mut watch = Watch::resume(&world, &caller, position).await;
    assert_eq!(watch.change().await.tenant.unwrap().id, tenant.id);
}
