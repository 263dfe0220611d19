//! Reservations: what is held counts, what wasn't used is given back, and nothing is held for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures::future::join_all;
use tenantry_core::{Reason, TenantId};
use tenantry_proto::internal::registry::v1::TenantEntry;
use tenantry_proto::quota::v1::{
    CancelReservationRequest, CommitReservationRequest, CreateReservationRequest,
    GetReservationRequest, OverrideLimitRequest, Reservation,
};
use tenantry_testkit::wait::until;
use tonic::Status;

use crate::several::{resources, usage};
use crate::support::{Reservations, World, decided, reason, to, using};

/// Longest wait for what happens by itself.
const WITHIN: Duration = Duration::from_secs(10);

fn wish(amount: i64, id: &str) -> CreateReservationRequest {
    CreateReservationRequest {
        resource_type: "api_calls".to_owned(),
        amount: Some(amount),
        description: "a long answer".to_owned(),
        request_id: id.to_owned(),
        ..Default::default()
    }
}

async fn reserve(
    reservations: &mut Reservations,
    wish: CreateReservationRequest,
) -> Result<Reservation, Status> {
    let made = reservations.create_reservation(wish).await?;
    Ok(made.into_inner())
}

async fn commit(
    reservations: &mut Reservations,
    of: &Reservation,
    amount: Option<i64>,
    id: &str,
) -> Result<Reservation, Status> {
    let request = CommitReservationRequest {
        reservation: of.id.clone(),
        amount,
        request_id: id.to_owned(),
        ..Default::default()
    };
    let ended = reservations.commit_reservation(request).await?;
    Ok(ended.into_inner())
}

async fn cancel(reservations: &mut Reservations, of: &Reservation) -> Result<Reservation, Status> {
    let request = CancelReservationRequest {
        reservation: of.id.clone(),
        ..Default::default()
    };
    let ended = reservations.cancel_reservation(request).await?;
    Ok(ended.into_inner())
}

async fn get(reservations: &mut Reservations, id: &str) -> Result<Reservation, Status> {
    let request = GetReservationRequest {
        reservation: id.to_owned(),
        ..Default::default()
    };
    let found = reservations.get_reservation(request).await?;
    Ok(found.into_inner())
}

#[tokio::test]
async fn what_is_held_counts_and_what_was_not_used_is_given_back() {
    let world = World::start().await;
    let other = world.replica().await;
    let tenant = world.limited(10).await;
    let claims = world.program(tenant);
    let (mut here, mut there) = (world.reservations(&claims), other.reservations(&claims));
    let mut quotas = other.quotas(&claims);
    let first = reserve(&mut here, wish(7, "first")).await.unwrap();
    assert_eq!(
        (first.status.as_str(), first.standings[0].remaining),
        ("held", Some(3))
    );
    let refused = decided(&mut quotas, using("api_calls", 4)).await;
    assert_eq!(refused, Err(Reason::QuotaExceeded));
    let refused = reserve(&mut there, wish(4, "")).await.unwrap_err();
    assert_eq!(reason(&refused), Reason::QuotaExceeded);
    let second = reserve(&mut there, wish(3, "")).await.unwrap();

    let committed = commit(&mut there, &first, Some(2), "done").await.unwrap();
    assert_eq!(committed.status, "committed");
    assert_eq!(committed.resources[0].amount, 2);
    assert_eq!(
        (
            committed.standings[0].usage,
            committed.standings[0].remaining
        ),
        (5, Some(5))
    );
    assert_eq!(get(&mut here, &first.id).await.unwrap().status, "committed");
    let used = decided(&mut quotas, using("api_calls", 5)).await.unwrap();
    assert_eq!(used.remaining, Some(0));
    let cancelled = cancel(&mut here, &second).await.unwrap();
    assert_eq!(
        (cancelled.status.as_str(), cancelled.standings[0].usage),
        ("cancelled", 7)
    );
    assert_eq!(crate::exactness::used(&world, tenant).await, 7);
    assert_eq!(usage(&world, tenant, "api_calls").await, 7);
}

#[tokio::test]
async fn each_step_of_a_reservation_is_done_once_and_an_ended_one_is_not_ended_again() {
    let world = World::start().await;
    let other = world.replica().await;
    let tenant = world.limited(10).await;
    let claims = world.program(tenant);
    let mut here = world.reservations(&claims);
    let mut there = other.reservations(&claims);
    let first = reserve(&mut here, wish(6, "one")).await.unwrap();
    assert_eq!(reserve(&mut there, wish(6, "one")).await.unwrap(), first);
    let another = reserve(&mut there, wish(5, "one")).await.unwrap_err();
    assert_eq!(reason(&another), Reason::RequestIdReused);
    let done = commit(&mut here, &first, Some(4), "end").await.unwrap();
    let again = commit(&mut there, &first, Some(4), "end").await.unwrap();
    assert_eq!(again, done);
    // The first answer is told again as it is by now.
    let replayed = reserve(&mut there, wish(6, "one")).await.unwrap();
    assert_eq!(
        (&replayed.id, replayed.status.as_str()),
        (&first.id, "committed")
    );
    // Another method is another request, though its message has the same bytes.
    let all = commit(&mut here, &first, None, "end").await.unwrap_err();
    assert_eq!(reason(&all), Reason::RequestIdReused);
    for ended in [
        commit(&mut here, &first, Some(4), "other").await,
        commit(&mut here, &first, Some(9), "more").await,
        cancel(&mut there, &first).await,
    ] {
        assert_eq!(reason(&ended.unwrap_err()), Reason::ReservationEnded);
    }
    assert_eq!(usage(&world, tenant, "api_calls").await, 4);
    // At once, by both: one ends it.
    for _ in 0..10 {
        let held = reserve(&mut here, wish(3, "")).await.unwrap();
        let ends = tokio::join!(
            commit(&mut here, &held, Some(0), ""),
            cancel(&mut there, &held)
        );
        let ends = [ends.0, ends.1];
        assert_eq!(ends.iter().filter(|end| end.is_ok()).count(), 1, "{ends:?}");
    }
    assert_eq!(crate::exactness::used(&world, tenant).await, 4);
}

#[tokio::test]
async fn no_more_is_committed_than_is_held_and_nobody_ends_anothers() {
    let world = World::start().await;
    let tenant = world.limited(10).await;
    let mut here = world.reservations(&world.program(tenant));
    let several = CreateReservationRequest {
        resources: resources(&[("api_calls", 5), ("users", 2)]),
        ..Default::default()
    };
    let held = reserve(&mut here, several).await.unwrap();
    let beyond = CommitReservationRequest {
        reservation: held.id.clone(),
        resources: resources(&[("api_calls", 6)]),
        ..Default::default()
    };
    let unknown = CommitReservationRequest {
        resources: resources(&[("alerts", 1)]),
        ..beyond.clone()
    };
    let which = CommitReservationRequest {
        resources: Vec::new(),
        amount: Some(1),
        ..beyond.clone()
    };
    for bad in [beyond, unknown, which] {
        let refused = here.commit_reservation(bad).await.unwrap_err();
        assert_eq!(reason(&refused), Reason::InvalidArgument, "{refused:?}");
    }
    for ttl in [0, -1, 86_401] {
        let long = CreateReservationRequest {
            ttl_seconds: Some(ttl),
            ..wish(1, "")
        };
        let refused = reserve(&mut here, long).await.unwrap_err();
        assert_eq!(reason(&refused), Reason::InvalidArgument);
    }
    let mut strangers = world.reservations(&world.program(world.tenant()));
    let absent = Reservation {
        id: TenantId::new().to_string(),
        ..Default::default()
    };
    let foreign = cancel(&mut strangers, &held).await.unwrap_err();
    let missing = cancel(&mut strangers, &absent).await.unwrap_err();
    assert_eq!(reason(&foreign), Reason::ReservationNotFound);
    assert_eq!(
        (foreign.message(), foreign.details()),
        (missing.message(), missing.details())
    );
    let foreign = get(&mut strangers, &held.id).await.unwrap_err();
    assert_eq!(reason(&foreign), Reason::ReservationNotFound);
    // Of several, what isn't named was used whole.
    let part = CommitReservationRequest {
        reservation: held.id.clone(),
        resources: resources(&[("api_calls", 1)]),
        ..Default::default()
    };
    here.commit_reservation(part).await.unwrap();
    assert_eq!(usage(&world, tenant, "api_calls").await, 1);
    assert_eq!(usage(&world, tenant, "users").await, 2);
}

#[tokio::test]
async fn what_nobody_ends_is_given_back_when_its_time_has_passed() {
    let world = World::start().await;
    let tenant = world.limited(10).await;
    let mut here = world.reservations(&world.program(tenant));
    let short = CreateReservationRequest {
        ttl_seconds: Some(1),
        ..wish(10, "")
    };
    let held = reserve(&mut here, short).await.unwrap();
    let expired = until("the end of a reservation", WITHIN, async || {
        let mut here = world.reservations(&world.program(tenant));
        let found = get(&mut here, &held.id).await.unwrap();
        Ok((found.status == "expired").then_some(found))
    });
    let expired = expired.await.unwrap();
    let seconds = |at: Option<prost_types::Timestamp>| at.unwrap().seconds;
    assert!(seconds(expired.ended_at) > seconds(held.created_at));
    assert_eq!(usage(&world, tenant, "api_calls").await, 0);
    world.consume(tenant, 10).await.unwrap();
    let late = commit(&mut here, &held, Some(3), "").await.unwrap_err();
    assert_eq!(reason(&late), Reason::ReservationEnded);
    assert_eq!(crate::exactness::used(&world, tenant).await, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn never_more_is_held_at_once_than_the_limit_whatever_redis_loses() {
    let world = World::start().await;
    let other = world.replica().await;
    let tenant = world.limited(5).await;
    let (inside, most) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicI64::new(0)));
    let calls = (0..12_usize).map(|caller| {
        let replica = if caller.is_multiple_of(2) {
            &*world
        } else {
            &other
        };
        let mut reservations = replica.reservations(&world.program(tenant));
        let (inside, most) = (Arc::clone(&inside), Arc::clone(&most));
        tokio::spawn(async move {
            let mut held = 0;
            while held < 12 {
                let made = match reserve(&mut reservations, wish(1, "")).await {
                    Ok(made) => made,
                    Err(refused) => {
                        assert_eq!(reason(&refused), Reason::QuotaExceeded);
                        tokio::task::yield_now().await;
                        continue;
                    }
                };
                held += 1;
                let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
                most.fetch_max(now, Ordering::SeqCst);
                inside.fetch_sub(1, Ordering::SeqCst);
                let end = if held % 2 == 0 {
                    cancel(&mut reservations, &made).await
                } else {
                    commit(&mut reservations, &made, Some(0), "").await
                };
                end.unwrap();
            }
        })
    });
    let calls: Vec<_> = calls.collect();
    for _ in 0..3 {
        let reached = until("reservations", WITHIN, async || {
            let mut owner = world.owner().await;
            let made: i64 = sqlx::query_scalar("SELECT count(*) FROM reservations")
                .fetch_one(&mut owner)
                .await?;
            Ok((made > 10).then_some(()))
        });
        reached.await.unwrap();
        let mut connection = world.redis.redis().connect().await.unwrap();
        let flushed: String = redis::cmd("FLUSHALL")
            .query_async(&mut connection)
            .await
            .unwrap();
        assert_eq!(flushed, "OK");
    }
    for call in join_all(calls).await {
        call.unwrap();
    }
    let most = most.load(Ordering::SeqCst);
    println!("{most} of 5 at once at most");
    assert!((1..=5).contains(&most));
    assert_eq!(crate::exactness::used(&world, tenant).await, 0);
    // All of it can be used again.
    world.consume(tenant, 5).await.unwrap();
}

#[tokio::test]
async fn a_reservation_ends_also_when_the_pool_that_it_counted_in_is_gone() {
    let world = World::start().await;
    let parent = world.registry.add("reseller", "basic", None);
    let child = world.registry.add("child", "basic", Some(parent));
    let pool = OverrideLimitRequest {
        shared: true,
        reset_period: "day".to_owned(),
        ..to(parent, "api_calls", 100)
    };
    world.set_by(pool).await.unwrap();
    let mut here = world.reservations(&world.program(child));
    let [one, two] = [
        reserve(&mut here, wish(5, "one")).await.unwrap(),
        reserve(&mut here, wish(7, "two")).await.unwrap(),
    ];
    assert_eq!(usage(&world, parent, "api_calls").await, 12);
    let moved = |tenant: &mut TenantEntry| tenant.parent_id = String::new();
    world.registry.change(child, moved).unwrap();
    world.purge(parent).await;
    assert_eq!(cancel(&mut here, &one).await.unwrap().status, "cancelled");
    let committed = commit(&mut here, &two, Some(3), "").await.unwrap();
    assert_eq!(committed.standings[0].usage, 3);
    assert_eq!(crate::exactness::used(&world, child).await, 3);
}

#[tokio::test]
async fn what_is_ended_in_the_past_makes_no_sum_that_nobody_can_write() {
    let world = World::start().await;
    let tenant = world.tenant();
    let mut here = world.reservations(&world.program(tenant));
    let held = CreateReservationRequest {
        resource_type: "devices".to_owned(),
        amount: Some((1 << 53) - 1),
        ..Default::default()
    };
    let held = reserve(&mut here, held).await.unwrap();
    // As far down as a sum can be.
    sqlx::query("UPDATE usage_series SET amount = -9223372036854775807 WHERE tenant_id = $1")
        .bind(tenant.uuid())
        .execute(&mut world.owner().await)
        .await
        .unwrap();
    assert_eq!(cancel(&mut here, &held).await.unwrap().status, "cancelled");
    assert_eq!(usage(&world, tenant, "devices").await, 0);
}
