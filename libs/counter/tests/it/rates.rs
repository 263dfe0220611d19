//! Rates: how fast counters are spent, in whatever window and by however many.

use std::time::{Duration, Instant};

use tenantry_core::TenantId;
use tenantry_counter::{Counter, How, Rate, RatePeriod, Spend, Spent};
use tokio::task::JoinSet;

use crate::support::{Access, Open, World, admitted};

const fn rate(amount: i64, per: RatePeriod, burst: i64) -> Option<Rate> {
    Some(Rate { amount, per, burst })
}

async fn spend(world: &Access, open: &Open, amount: i64, rate: Option<Rate>) -> Spent {
    let spend = Spend {
        rate,
        ..open.spend(amount)
    };
    world.0.spend(How::Fast, &[spend]).await.unwrap()
}

/// Spends by many at once for a while, and holds that against what the rate admits.
async fn spent_no_faster(world: &Access) {
    const LASTS: Duration = Duration::from_secs(1);
    let open = world.granted(1_000_000).await;
    let rate = rate(100, RatePeriod::Second, 50);
    let began = Instant::now();
    let mut calling = JoinSet::new();
    for _ in 0..16 {
        let (world, open) = (world.clone(), open.clone());
        calling.spawn(async move {
            let mut done = 0;
            while began.elapsed() < LASTS {
                done += i64::from(admitted(&spend(&world, &open, 1, rate).await));
            }
            done
        });
    }
    let done: i64 = calling.join_all().await.iter().sum();
    let most = 50 + (began.elapsed().as_secs_f64() * 100.0).ceil() as i64;
    assert!((100..=most).contains(&done), "{done} of {most}");
    assert_eq!(world.counter(&open).await.unwrap().fast, done);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_at_once_spend_no_faster_than_the_rate() {
    let world = World::start().await;
    spent_no_faster(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_cluster_too() {
    let world = World::cluster().await;
    spent_no_faster(&world).await;
}

#[tokio::test]
async fn one_that_is_early_is_told_when_it_would_not_be_and_spends_nothing() {
    let world = World::start().await;
    let (root, child) = (TenantId::new(), TenantId::new());
    let pool = world.granted_in(root, root, 1_000).await;
    let own = world.granted_in(root, child, 1_000).await;
    let hourly = rate(60, RatePeriod::Hour, 5);
    assert!(admitted(&spend(&world, &pool, 4, hourly).await));
    // Its own counter has no rate, that of the pool does.
    let both = [
        own.spend(2),
        Spend {
            rate: hourly,
            ..pool.spend(2)
        },
    ];
    let Spent::Early { place, wait, left } = world.0.spend(How::Durably, &both).await.unwrap()
    else {
        panic!("it isn't early");
    };
    assert_eq!((place, left), (1, 1));
    // One is free in a minute.
    let wait = wait.unwrap();
    assert!(
        (Duration::from_secs(50)..=Duration::from_secs(60)).contains(&wait),
        "{wait:?}"
    );
    let counter = world.counter(&own).await.unwrap();
    assert_eq!(counter.left(), 1_000);
    // More than the burst never is.
    let never = spend(&world, &pool, 6, hourly).await;
    assert!(
        matches!(never, Spent::Early { wait: None, .. }),
        "{never:?}"
    );
    // What has too little left says so before anything of a rate.
    let short = spend(&world, &pool, 997, hourly).await;
    let Spent::Short(counters) = short else {
        panic!("{short:?}");
    };
    assert_eq!(counters.iter().map(Counter::left).sum::<i64>(), 996);
}

#[tokio::test]
async fn a_rate_goes_on_where_a_counter_is_opened_anew_and_is_forgotten_when_it_is_full_again() {
    let world = World::start().await;
    let open = world.granted(100).await;
    let second = rate(5, RatePeriod::Second, 2);
    assert!(admitted(&spend(&world, &open, 2, second).await));
    let anew = world.opened(open.key.clone(), open.window).await;
    world.grant(&anew, 100).await;
    let Spent::Early { wait, .. } = spend(&world, &anew, 2, second).await else {
        panic!("another opening has a burst of its own");
    };
    tokio::time::sleep(wait.unwrap()).await;
    assert!(admitted(&spend(&world, &anew, 2, second).await));
}
