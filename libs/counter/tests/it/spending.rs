//! Spending: what was granted is admitted, to the last one, and nothing more.

use std::collections::BTreeSet;

use jiff::ToSpan as _;
use tenantry_core::{TenantId, clock};
use tenantry_counter::{Counter, CounterKey, Error, How, MAX_AMOUNT, Spend, Spent, Window};
use tokio::task::JoinSet;

use crate::support::{Access, World, admitted};

/// Spends of counters with these limits by so many callers at once, until each is refused.
async fn spent_to_the_last(world: &Access) {
    for (limit, callers) in [(1, 64), (10, 16), (1_000, 64), (1_000, 256)] {
        let open = world.granted(limit).await;
        let mut calling = JoinSet::new();
        for _ in 0..callers {
            let (world, open) = (world.clone(), open.clone());
            calling.spawn(async move {
                let mut done = 0;
                while admitted(&world.spend(How::Fast, &open, 1).await) {
                    done += 1;
                }
                done
            });
        }
        let done = calling.join_all().await;
        assert_eq!(done.iter().sum::<i64>(), limit, "{callers} callers");
        let counter = world.counter(&open).await.unwrap();
        assert_eq!((counter.fast, counter.left()), (limit, 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_at_once_are_admitted_exactly_what_was_granted() {
    let world = World::start().await;
    spent_to_the_last(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_cluster_too_for_the_counters_of_a_tree_lie_at_one_node() {
    let world = World::cluster().await;
    spent_to_the_last(&world).await;
    // Trees lie at all of its nodes.
    let mut incarnations = BTreeSet::new();
    for _ in 0..32 {
        let (root, child) = (TenantId::new(), TenantId::new());
        let (pool, cap) = (
            world.granted_in(root, root, 2).await,
            world.granted_in(root, child, 1).await,
        );
        let both = [cap.spend(1), pool.spend(1)];
        assert!(admitted(&world.0.spend(How::Durably, &both).await.unwrap()));
        assert!(!admitted(
            &world.0.spend(How::Durably, &both).await.unwrap()
        ));
        let (incarnation, _) = pool.opening.as_str().split_once('-').unwrap();
        incarnations.insert(incarnation.to_owned());
    }
    assert_eq!(incarnations.len(), world.redis.nodes().len());
}

#[tokio::test]
async fn a_call_spends_of_all_counters_or_of_none() {
    let world = World::start().await;
    let (root, child) = (TenantId::new(), TenantId::new());
    let (pool, cap) = (
        world.granted_in(root, root, 5).await,
        world.granted_in(root, child, 3).await,
    );
    let both = |amount| [cap.spend(amount), pool.spend(amount)];
    assert!(admitted(
        &world.0.spend(How::Durably, &both(2)).await.unwrap()
    ));
    let short = world.0.spend(How::Durably, &both(2)).await.unwrap();
    let Spent::Short(counters) = short else {
        panic!("{short:?}");
    };
    let left: Vec<_> = counters.iter().map(Counter::left).collect();
    assert_eq!(left, [1, 3]);
    assert!(admitted(
        &world.0.spend(How::Durably, &both(1)).await.unwrap()
    ));
}

#[tokio::test]
async fn a_counter_that_comes_twice_in_a_call_is_one_counter() {
    let world = World::start().await;
    let open = world.granted(10).await;
    let twice = |amount| [open.spend(amount), open.spend(amount)];
    let short = world.0.spend(How::Fast, &twice(6)).await.unwrap();
    assert!(matches!(short, Spent::Short(_)), "{short:?}");
    let spent = world.0.spend(How::Fast, &twice(5)).await.unwrap();
    let counter = world.counter(&open).await.unwrap();
    assert_eq!((counter.fast, counter.left()), (10, 0));
    assert_eq!(spent, Spent::Done(vec![counter, counter]));
}

#[tokio::test]
async fn outside_its_window_nothing_is_spent_and_the_time_is_told() {
    let world = World::start().await;
    let open = world.granted(10).await;
    let now = clock::now();
    for (start, end) in [
        (now - 2.hours(), now - 1.hour()),
        (now + 1.hour(), now + 2.hours()),
        (now - 1.hour(), now),
    ] {
        let window = Window {
            start,
            end: Some(end),
        };
        let spend = Spend {
            window,
            ..open.spend(1)
        };
        let Spent::Outside(told) = world.0.spend(How::Fast, &[spend]).await.unwrap() else {
            panic!("spent outside");
        };
        assert!((now - 1.minute()..now + 1.minute()).contains(&told));
    }
    let never = Window {
        start: jiff::Timestamp::UNIX_EPOCH,
        end: None,
    };
    let tenant = TenantId::new();
    let key = CounterKey::new(tenant, tenant, "users", ("never", never.start));
    let open = world.opened(key, never).await;
    world.grant(&open, 1).await;
    assert!(admitted(&world.spend(How::Fast, &open, 1).await));
}

#[tokio::test]
async fn the_largest_amounts_are_exact_and_larger_ones_refused() {
    let world = World::start().await;
    let open = world.granted(MAX_AMOUNT).await;
    assert!(admitted(
        &world.spend(How::Fast, &open, MAX_AMOUNT - 1).await
    ));
    assert!(!admitted(&world.spend(How::Fast, &open, 2).await));
    assert!(admitted(&world.spend(How::Fast, &open, 1).await));
    assert!(!admitted(&world.spend(How::Fast, &open, 1).await));
    assert!(admitted(&world.spend(How::Fast, &open, 0).await));
    for amount in [-1, MAX_AMOUNT + 1, i64::MAX, i64::MIN] {
        let refused = world.0.spend(How::Fast, &[open.spend(amount)]).await;
        assert!(matches!(refused, Err(Error::Amount(told)) if told == amount));
    }
    let counter = world.counter(&open).await.unwrap();
    assert_eq!((counter.fast, counter.durable), (MAX_AMOUNT, 0));
}

#[tokio::test]
async fn what_was_spent_durably_can_be_given_back_and_nothing_else() {
    let world = World::start().await;
    let tenant = TenantId::new();
    let (one, other) = (
        world.granted_in(tenant, tenant, 10).await,
        world.granted_in(tenant, TenantId::new(), 10).await,
    );
    world.spend(How::Durably, &one, 4).await;
    world.spend(How::Fast, &one, 6).await;
    // Of a call over two counters one of which was asked for nothing.
    let back = [one.spend(4), other.spend(0)];
    world.0.give_back(&back).await.unwrap();
    world.0.give_back(&back).await.unwrap();
    let counter = world.counter(&one).await.unwrap();
    assert_eq!((counter.fast, counter.durable, counter.left()), (6, 0, 4));
}
