//! What another service keeps counts while it is there, once, however often and in which order that is told.

use std::time::Duration;

use futures::future::join_all;
use tenantry_core::{Permission, Reason, TenantId};
use tenantry_proto::internal::quota::v1::{ConfirmRequest, HoldRequest, ReleaseRequest};
use tenantry_proto::quota::v1::{
    CancelReservationRequest, GetReservationRequest, OverrideLimitRequest,
};
use tenantry_rpc::assertion::Claims;
use tenantry_testkit::wait::until;
use tonic::Status;
use tonic_types::StatusExt as _;
use uuid::Uuid;

use crate::exactness::used;
use crate::several::usage;
use crate::support::{Replica, World, reason, to};

/// Longest wait for what happens by itself.
const WITHIN: Duration = Duration::from_secs(15);
/// Longer than any of these tests.
const LONG_MS: u32 = 600_000;
/// The shortest that there is.
const SHORT_MS: u32 = 1_000;

fn identity() -> Claims {
    Claims::of_service("identity", "quota")
}

fn item() -> String {
    Uuid::from_bytes(tenantry_core::random::bytes()).to_string()
}

async fn hold(
    replica: &Replica,
    tenant: TenantId,
    items: &[String],
    ttl_ms: u32,
) -> Result<Vec<String>, Status> {
    let request = HoldRequest {
        tenant_id: tenant.to_string(),
        resource_type: "users".to_owned(),
        items: items.to_vec(),
        ttl_ms,
        request_id: String::new(),
    };
    let held = replica.holds(&identity()).hold(request).await?;
    Ok(held.into_inner().held)
}

async fn confirm(replica: &Replica, tenant: TenantId, items: &[String]) {
    let request = ConfirmRequest {
        tenant_id: tenant.to_string(),
        resource_type: "users".to_owned(),
        items: items.to_vec(),
        request_id: String::new(),
    };
    replica.holds(&identity()).confirm(request).await.unwrap();
}

async fn release(replica: &Replica, tenant: TenantId, items: &[String]) {
    let request = ReleaseRequest {
        tenant_id: tenant.to_string(),
        resource_type: "users".to_owned(),
        items: items.to_vec(),
        request_id: String::new(),
    };
    replica.holds(&identity()).release(request).await.unwrap();
}

/// What became of an item.
async fn status(world: &World, item: &str) -> (String, bool) {
    sqlx::query_as(
        "SELECT status, ended_at IS NOT NULL FROM reservations WHERE reservation_id = $1::uuid",
    )
    .bind(item)
    .fetch_one(&mut world.owner().await)
    .await
    .unwrap()
}

async fn becomes(world: &World, item: &str, expected: &str) {
    let became = until("what becomes of a hold", WITHIN, async || {
        Ok((status(world, item).await.0 == expected).then_some(()))
    });
    became.await.unwrap();
}

#[tokio::test]
async fn an_item_counts_once_from_its_hold_to_its_release_however_often_each_is_told() {
    let world = World::start().await;
    let other = world.replica().await;
    let tenant = world.tenant();
    let one = [item()];
    for _ in 0..2 {
        for replica in [&*world, &other] {
            assert_eq!(hold(replica, tenant, &one, LONG_MS).await.unwrap(), one);
        }
    }
    assert_eq!(used(&world, tenant).await, 1);
    let confirms = [&*world, &other, &*world].map(|replica| confirm(replica, tenant, &one));
    join_all(confirms).await;
    assert_eq!(used(&world, tenant).await, 1);
    // It lasts as long as what it is for.
    assert_eq!(
        status(&world, &one[0]).await,
        ("committed".to_owned(), false)
    );
    let releases = [&*world, &other, &*world].map(|replica| release(replica, tenant, &one));
    join_all(releases).await;
    assert_eq!(used(&world, tenant).await, 0);
    // Late, it counts nothing.
    confirm(&other, tenant, &one).await;
    assert_eq!(hold(&world, tenant, &one, LONG_MS).await.unwrap(), one);
    assert_eq!(status(&world, &one[0]).await, ("released".to_owned(), true));
    assert_eq!(used(&world, tenant).await, 0);
    // Gone before anybody heard of it.
    let two = [item()];
    let releases = [&*world, &other].map(|replica| release(replica, tenant, &two));
    join_all(releases).await;
    confirm(&world, tenant, &two).await;
    assert_eq!(used(&world, tenant).await, 0);
    assert_eq!(usage(&world, tenant, "users").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn holds_at_once_are_exactly_as_many_as_the_limit_has() {
    let world = World::start().await;
    let other = world.replica().await;
    let tenant = world.tenant();
    let items: Vec<_> = (0..40).map(|_| [item()]).collect();
    let holds = items.iter().enumerate().map(|(n, item)| {
        let replica = if n % 2 == 0 { &*world } else { &other };
        hold(replica, tenant, item, LONG_MS)
    });
    let (held, refused): (Vec<_>, Vec<_>) =
        join_all(holds).await.into_iter().partition(Result::is_ok);
    assert_eq!(held.len(), 5);
    for refused in refused.into_iter().map(Result::unwrap_err) {
        let details = refused.get_error_details();
        let facts = &details.error_info().unwrap().metadata;
        assert_eq!(reason(&refused), Reason::QuotaExceeded);
        assert_eq!(
            (facts["resource_type"].as_str(), facts["limit"].as_str()),
            ("users", "5")
        );
    }
    assert_eq!(used(&world, tenant).await, 5);
    // A raised limit has room at once.
    world.set(tenant, "users", 6, "never").await;
    let next = [item()];
    until("room", WITHIN, async || {
        Ok(hold(&other, tenant, &next, LONG_MS).await.ok())
    })
    .await
    .unwrap();
    let full = hold(&world, tenant, &[item()], LONG_MS).await.unwrap_err();
    assert_eq!(reason(&full), Reason::QuotaExceeded);
    // And so has whatever is released.
    release(&world, tenant, &next).await;
    hold(&world, tenant, &[item()], LONG_MS).await.unwrap();
    assert_eq!(used(&world, tenant).await, 6);
}

#[tokio::test]
async fn of_several_as_many_are_held_as_the_limits_have_and_of_the_pools_above_too() {
    let world = World::start().await;
    let parent = world.registry.add("reseller", "basic", None);
    let [one, two] = ["one", "two"].map(|slug| world.registry.add(slug, "basic", Some(parent)));
    let pool = OverrideLimitRequest {
        reset_period: "never".to_owned(),
        shared: true,
        ..to(parent, "users", 7)
    };
    world.set_by(pool).await.unwrap();
    let items: Vec<_> = (0..8).map(|_| item()).collect();
    let held = hold(&world, one, &items, LONG_MS).await.unwrap();
    assert_eq!(held.len(), 5, "its own limit");
    let others: Vec<_> = (0..4).map(|_| item()).collect();
    let held_by_other = hold(&world, two, &others, LONG_MS).await.unwrap();
    assert_eq!(held_by_other.len(), 2, "the pool");
    let none = hold(&world, two, &[item()], LONG_MS).await.unwrap_err();
    let facts = none
        .get_error_details()
        .error_info()
        .unwrap()
        .metadata
        .clone();
    assert_eq!(facts["limit_tenant_id"], parent.to_string());
    release(&world, one, &held).await;
    assert_eq!(hold(&world, two, &others, LONG_MS).await.unwrap().len(), 4);
    // What is there counts all the same, in both.
    let more: Vec<_> = (0..9).map(|_| item()).collect();
    confirm(&world, one, &more).await;
    assert_eq!((used(&world, one).await, used(&world, two).await), (9, 4));
    assert_eq!(usage(&world, one, "users").await, 9);
    let pooled: i64 =
        sqlx::query_scalar("SELECT sum(settled)::bigint FROM accounts WHERE tenant_id = $1")
            .bind(parent.uuid())
            .fetch_one(&mut world.owner().await)
            .await
            .unwrap();
    assert_eq!(pooled, 13);
    // A tenant that ends takes its own out of the pool.
    world.purge(one).await;
    let pooled: i64 =
        sqlx::query_scalar("SELECT sum(settled)::bigint FROM accounts WHERE tenant_id = $1")
            .bind(parent.uuid())
            .fetch_one(&mut world.owner().await)
            .await
            .unwrap();
    assert_eq!(pooled, 4);
    hold(&world, two, &[item()], LONG_MS).await.unwrap();
}

#[tokio::test]
async fn a_hold_that_nobody_ends_is_what_its_owner_says_and_held_until_it_says_so() {
    let world = World::start().await;
    let other = world.replica().await;
    let tenant = world.tenant();
    let [there, gone] = [item(), item()];
    world.identity.be_silent();
    for item in [&there, &gone] {
        let item = std::slice::from_ref(item);
        hold(&other, tenant, item, SHORT_MS).await.unwrap();
    }
    // One that is told about isn't asked about.
    let told = [item()];
    hold(&other, tenant, &told, SHORT_MS).await.unwrap();
    confirm(&other, tenant, &told).await;
    let asked = until("a question", WITHIN, async || {
        Ok((world.identity.asked() >= 2).then_some(()))
    });
    asked.await.unwrap();
    for item in [&there, &gone] {
        assert_eq!(status(&world, item).await.0, "held");
    }
    assert_eq!(used(&world, tenant).await, 3);
    world.identity.keep(std::slice::from_ref(&there));
    becomes(&world, &there, "committed").await;
    becomes(&world, &gone, "released").await;
    assert_eq!(status(&world, &told[0]).await.0, "committed");
    assert_eq!(used(&world, tenant).await, 2);
    // The owner's word comes late, and changes nothing.
    confirm(&world, tenant, &[there, gone]).await;
    assert_eq!(used(&world, tenant).await, 2);
}

#[tokio::test]
async fn a_hold_is_no_reservation_of_the_tenants_programs() {
    let world = World::start().await;
    let tenant = world.tenant();
    let held = item();
    hold(&world, tenant, std::slice::from_ref(&held), LONG_MS)
        .await
        .unwrap();
    let claims = world.program(tenant);
    let mut reservations = world.reservations(&claims);
    let get = GetReservationRequest {
        reservation: held.clone(),
        ..Default::default()
    };
    let cancel = CancelReservationRequest {
        reservation: held.clone(),
        ..Default::default()
    };
    let seen = reservations.get_reservation(get).await.unwrap_err();
    assert_eq!(reason(&seen), Reason::ReservationNotFound);
    let ended = reservations.cancel_reservation(cancel).await.unwrap_err();
    assert_eq!(reason(&ended), Reason::ReservationNotFound);
    assert_eq!(used(&world, tenant).await, 1);
    let person = tenantry_testkit::caller::member(tenant, &[Permission::UsageRecord]);
    for claims in [person, Claims::of_service("audit", "quota")] {
        let request = ReleaseRequest {
            tenant_id: tenant.to_string(),
            resource_type: "users".to_owned(),
            items: vec![held.clone()],
            request_id: String::new(),
        };
        let refused = world.holds(&claims).release(request).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::PermissionDenied);
    }
    assert_eq!(used(&world, tenant).await, 1);
}

#[tokio::test]
async fn what_is_malformed_is_refused_and_a_purged_tenant_keeps_no_word() {
    let world = World::start().await;
    let tenant = world.tenant();
    let twice = item();
    for (items, ttl) in [
        (Vec::new(), LONG_MS),
        (vec!["no id".to_owned()], LONG_MS),
        (vec![twice.clone(), twice], LONG_MS),
        ((0..1_001).map(|_| item()).collect(), LONG_MS),
        (vec![item()], 999),
        (vec![item()], 3_600_001),
    ] {
        let refused = hold(&world, tenant, &items, ttl).await.unwrap_err();
        assert_eq!(reason(&refused), Reason::InvalidArgument);
    }
    hold(&world, tenant, &[item()], LONG_MS).await.unwrap();
    world.purge(tenant).await;
    // Told late: nothing is to be counted, and nothing is kept.
    confirm(&world, tenant, &[item()]).await;
    release(&world, tenant, &[item()]).await;
    assert!(hold(&world, tenant, &[item()], LONG_MS).await.is_err());
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM reservations WHERE tenant_id = $1")
        .bind(tenant.uuid())
        .fetch_one(&mut world.owner().await)
        .await
        .unwrap();
    assert_eq!(kept, 0);
}
