//! Leases: spent before anyone is admitted for them, and what is left of them is given back once.

use std::time::Duration;

use jiff::ToSpan as _;
use tenantry_core::{TenantId, clock};
use tenantry_counter::{LeaseId, LeaseOf, Leased, Wanted, Window};
use tenantry_testkit::wait::until;

use crate::support::{Open, WITHIN, World, admitted};
use tenantry_counter::How;

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(3_600);

/// The same of each counter, whose limit has so much for its opening.
async fn lease(world: &World, id: &LeaseId, amount: i64, of: &[(&Open, i64)]) -> Leased {
    lease_for(world, id, (amount, LONG), of).await
}

async fn lease_for(
    world: &World,
    id: &LeaseId,
    (amount, noted_for): (i64, Duration),
    of: &[(&Open, i64)],
) -> Leased {
    let wanted = Wanted {
        amount,
        least: 2,
        noted_for,
    };
    let of: Vec<_> = of
        .iter()
        .map(|(open, limit)| open.lease_of(*limit))
        .collect();
    world.0.lease(id, wanted, &of).await.unwrap()
}

/// How much was leased.
fn amount(leased: &Leased) -> i64 {
    match leased {
        Leased::Done { amount, .. } => *amount,
        Leased::Scarce => 0,
        Leased::Lost(_) | Leased::Outside(_) => panic!("{leased:?}"),
    }
}

/// What a counter was spent fast, and what of it leases may give back.
async fn spent(world: &World, open: &Open) -> (i64, i64) {
    let counter = world.counter(open).await.unwrap();
    (counter.fast, counter.leased)
}

#[tokio::test]
async fn what_is_left_of_a_lease_is_given_back_once() {
    let world = World::start().await;
    let (root, child) = (TenantId::new(), TenantId::new());
    let pool = world.granted_in(root, root, 1_000).await;
    let cap = world.granted_in(root, child, 1_000).await;
    let (one, other) = (LeaseId::new(), LeaseId::new());
    let both = [(&cap, 1_000), (&pool, 1_000)];
    assert_eq!(amount(&lease(&world, &one, 20, &both).await), 20);
    assert_eq!(amount(&lease(&world, &other, 30, &both).await), 30);
    for open in [&cap, &pool] {
        assert_eq!(spent(&world, open).await, (50, 50));
    }
    let counters = [(&cap.key, &cap.opening), (&pool.key, &pool.opening)];
    for _ in 0..2 {
        world.0.end_lease(&one, 15, &counters).await.unwrap();
        for open in [&cap, &pool] {
            assert_eq!(spent(&world, open).await, (35, 30));
        }
    }
    // No more than it was of, whatever its holder says.
    world.0.end_lease(&other, 1_000, &counters).await.unwrap();
    assert_eq!(spent(&world, &pool).await, (5, 0));
}

#[tokio::test]
async fn a_lease_is_of_no_more_than_a_part_of_what_each_limit_has_and_of_what_is_granted() {
    let world = World::start().await;
    let (root, child) = (TenantId::new(), TenantId::new());
    let pool = world.granted_in(root, root, 50).await;
    let cap = world.granted_in(root, child, 1_000).await;
    let id = LeaseId::new;
    // An eighth of what the least of the limits has.
    let of = |cap_limit| [(&cap, cap_limit), (&pool, 1_000)];
    assert_eq!(amount(&lease(&world, &id(), 100, &of(80)).await), 10);
    assert_eq!(amount(&lease(&world, &id(), 100, &of(90)).await), 10);
    assert_eq!(amount(&lease(&world, &id(), 3, &of(1_000)).await), 3);
    // What is left of the grant.
    assert_eq!(amount(&lease(&world, &id(), 100, &of(1_000)).await), 27);
    assert_eq!(spent(&world, &cap).await, (50, 50));
    // Less than the least isn't leased, and nothing is spent for it.
    assert!(!admitted(&world.spend(How::Fast, &pool, 1).await));
    assert_eq!(lease(&world, &id(), 100, &of(1_000)).await, Leased::Scarce);
    let alone = world.granted(100).await;
    for limit in [15, 8, 0, -1] {
        let none = lease(&world, &id(), 100, &[(&alone, limit)]).await;
        assert_eq!(none, Leased::Scarce, "{limit}");
    }
    assert_eq!(spent(&world, &alone).await, (0, 0));
}

#[tokio::test]
async fn a_lease_that_is_not_given_back_in_time_stays_spent_and_holds_up_nobody() {
    let world = World::start().await;
    let open = world.granted(1_000).await;
    let short = (10, Duration::from_millis(200));
    let (one, other) = (LeaseId::new(), LeaseId::new());
    lease_for(&world, &one, short, &[(&open, 1_000)]).await;
    lease(&world, &other, 20, &[(&open, 1_000)]).await;
    assert_eq!(spent(&world, &open).await, (30, 30));
    let over = until("the end of the first", WITHIN, async || {
        Ok((spent(&world, &open).await == (30, 20)).then_some(()))
    });
    over.await.unwrap();
    // A holder that is late after all.
    let counters = [(&open.key, &open.opening)];
    world.0.end_lease(&one, 10, &counters).await.unwrap();
    assert_eq!(spent(&world, &open).await, (20, 20));
}

#[tokio::test]
async fn a_counter_has_a_bounded_number_of_leases_and_those_whose_time_is_over_make_room() {
    let world = World::start().await;
    let open = world.granted(1_000_000).await;
    let of = [(&open, 1_000_000)];
    let short = (2, Duration::from_secs(2));
    let mut taken = 0;
    while amount(&lease_for(&world, &LeaseId::new(), short, &of).await) == 2 {
        taken += 1;
    }
    assert_eq!(taken, 256);
    let room = until("room", WITHIN, async || {
        let next = lease(&world, &LeaseId::new(), 2, &of).await;
        Ok((amount(&next) == 2).then_some(()))
    });
    room.await.unwrap();
}

#[tokio::test]
async fn nothing_is_leased_of_or_given_back_to_an_opening_that_has_ended_or_outside_its_window() {
    let world = World::start().await;
    let open = world.granted(100).await;
    let id = LeaseId::new();
    lease(&world, &id, 10, &[(&open, 100)]).await;
    world.close(&open).await;
    let next = world.opened(open.key.clone(), open.window).await;
    world.grant(&next, 100).await;
    world.spend(How::Fast, &next, 50).await;
    let both = [(&open.key, &open.opening), (&next.key, &next.opening)];
    for of in both {
        world.0.end_lease(&id, 10, &[of]).await.unwrap();
    }
    assert_eq!(spent(&world, &next).await, (50, 0));
    let lost = lease(&world, &id, 10, &[(&open, 100)]).await;
    assert_eq!(lost, Leased::Lost(0));
    let now = clock::now();
    let over = LeaseOf {
        window: Window {
            start: now - 1.hour(),
            end: Some(now),
        },
        ..next.lease_of(100)
    };
    let wanted = Wanted {
        amount: 2,
        least: 2,
        noted_for: LONG,
    };
    let outside = world.0.lease(&id, wanted, &[over]).await.unwrap();
    assert!(matches!(outside, Leased::Outside(_)), "{outside:?}");
    assert_eq!(spent(&world, &next).await, (50, 0));
}
