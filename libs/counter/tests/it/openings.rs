//! Openings: what was granted in one ends with it.

use tenantry_counter::{Closed, Counter, Granted, How, Opened, Spent, Window};

use crate::support::{World, admitted, this_hour};

#[tokio::test]
async fn a_grant_that_comes_twice_or_late_grants_once() {
    let world = World::start().await;
    let open = world.granted(10).await;
    for sum in [10, 5, 20, 20, 10] {
        world.grant(&open, sum).await;
    }
    assert_eq!(world.counter(&open).await.unwrap().granted, 20);
}

#[tokio::test]
async fn a_counter_that_was_closed_tells_what_it_spent_and_spends_nothing_more() {
    let world = World::start().await;
    let open = world.granted(10).await;
    world.spend(How::Fast, &open, 3).await;
    world.spend(How::Durably, &open, 2).await;
    let ended = Counter {
        granted: 10,
        fast: 3,
        durable: 2,
        leased: 0,
    };
    assert_eq!(world.close(&open).await, Closed::Ended(ended));
    assert_eq!(world.spend(How::Fast, &open, 1).await, Spent::Lost(0));
    assert_eq!(world.grant(&open, 20).await, Granted::Lost);
    assert_eq!(world.close(&open).await, Closed::Lost);
}

#[tokio::test]
async fn what_comes_late_of_an_opening_does_nothing_to_the_next_one() {
    let world = World::start().await;
    let first = world.granted(10).await;
    world.spend(How::Durably, &first, 5).await;
    // Whether or not the first one was closed before: a call that opens may come late, too.
    let second = world.opened(first.key.clone(), first.window).await;
    assert_ne!(second.opening, first.opening);
    assert_eq!(world.grant(&first, 10).await, Granted::Lost);
    assert!(!admitted(&world.spend(How::Fast, &first, 1).await));
    assert!(matches!(
        world.spend(How::Fast, &second, 1).await,
        Spent::Short(_)
    ));
    world.grant(&second, 2).await;
    world.spend(How::Durably, &second, 1).await;
    world.0.give_back(&[first.spend(1)]).await.unwrap();
    assert_eq!(world.close(&first).await, Closed::Lost);
    let expected = Counter {
        granted: 2,
        fast: 0,
        durable: 1,
        leased: 0,
    };
    assert_eq!(world.counter(&second).await, Some(expected));
}

#[tokio::test]
async fn nothing_is_opened_behind_its_window() {
    let world = World::start().await;
    let open = world.granted(1).await;
    let over = Window {
        start: this_hour().start,
        end: Some(this_hour().start),
    };
    let opened = world.0.open(&open.key, over).await.unwrap();
    assert!(matches!(opened, Opened::Outside(_)), "{opened:?}");
    assert!(admitted(&world.spend(How::Fast, &open, 1).await));
}
