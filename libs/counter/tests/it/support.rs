//! Redis of the test's own, and counters in it.

use std::ops::Deref;
use std::time::Duration;

use jiff::ToSpan as _;
use tenantry_core::{TenantId, clock};
use tenantry_counter::{
    Closed, Counter, CounterKey, Counters, Granted, How, LeaseOf, Opened, Opening, Spend, Spent,
    Window,
};
use tenantry_testkit::redis::Redis;
use tenantry_testkit::redis_cluster::RedisCluster;
use tenantry_testkit::wait::until;
use tenantry_testkit::{paths, port};

/// Longest wait for what has to come: a call that is given up is perhaps done.
pub(crate) const WITHIN: Duration = Duration::from_secs(20);

/// Counters in a Redis that a test does with as it likes: alone, unless it says otherwise.
#[derive(Debug)]
pub(crate) struct World<R = Redis> {
    pub(crate) redis: R,
    access: Access,
}

impl World {
    pub(crate) async fn start() -> Self {
        let dir = paths::scratch("redis").unwrap();
        let log = dir.join("redis.log");
        let redis = Redis::prepare(&dir.join("data"), port::free().unwrap(), &log).unwrap();
        redis.unit().start().await.unwrap();
        let access = Access(Counters::alone(&redis.url(), WITHIN).unwrap());
        Self { redis, access }
    }
}

impl World<RedisCluster> {
    pub(crate) async fn cluster() -> Self {
        let dir = paths::scratch("redis-cluster").unwrap();
        let redis = RedisCluster::start(&dir, 3).await.unwrap();
        let access = Access(Counters::cluster(&redis.urls(), WITHIN).await.unwrap());
        Self { redis, access }
    }
}

impl<R> Deref for World<R> {
    type Target = Access;

    fn deref(&self) -> &Access {
        &self.access
    }
}

/// The counters, as tests use them.
#[derive(Clone, Debug)]
pub(crate) struct Access(pub(crate) Counters);

impl Access {
    /// A new counter of this hour with so much granted.
    pub(crate) async fn granted(&self, amount: i64) -> Open {
        let tenant = TenantId::new();
        self.granted_in(tenant, tenant, amount).await
    }

    pub(crate) async fn granted_in(&self, root: TenantId, tenant: TenantId, amount: i64) -> Open {
        let window = this_hour();
        let key = CounterKey::new(root, tenant, "api_calls", ("hour", window.start));
        let open = self.opened(key, window).await;
        assert!(matches!(self.grant(&open, amount).await, Granted::Done(_)));
        open
    }

    pub(crate) async fn opened(&self, key: CounterKey, window: Window) -> Open {
        let opened = until("answer of Redis", WITHIN, async || {
            Ok(self.0.open(&key, window).await.ok())
        });
        let Opened::Done(opening) = opened.await.unwrap() else {
            panic!("the window is over");
        };
        Open {
            key,
            opening,
            window,
        }
    }

    pub(crate) async fn grant(&self, open: &Open, sum: i64) -> Granted {
        let granted = self.0.grant(&open.key, &open.opening, sum);
        granted.await.unwrap()
    }

    pub(crate) async fn spend(&self, how: How, open: &Open, amount: i64) -> Spent {
        self.0.spend(how, &[open.spend(amount)]).await.unwrap()
    }

    pub(crate) async fn close(&self, open: &Open) -> Closed {
        self.0.close(&open.key, &open.opening).await.unwrap()
    }

    pub(crate) async fn counter(&self, open: &Open) -> Option<Counter> {
        let look = self.0.look(&[(&open.key, &open.opening)]).await;
        look.unwrap().counters[0]
    }
}

/// A counter that is open.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    pub(crate) key: CounterKey,
    pub(crate) opening: Opening,
    pub(crate) window: Window,
}

impl Open {
    pub(crate) const fn spend(&self, amount: i64) -> Spend<'_> {
        Spend {
            key: &self.key,
            opening: &self.opening,
            amount,
            window: self.window,
            rate: None,
        }
    }

    /// What a lease is of, where the limit has so much for this opening.
    pub(crate) const fn lease_of(&self, limit: i64) -> LeaseOf<'_> {
        LeaseOf {
            key: &self.key,
            opening: &self.opening,
            limit,
            window: self.window,
        }
    }
}

/// A window of an hour around now.
pub(crate) fn this_hour() -> Window {
    let now = clock::now();
    Window {
        start: now - 30.minutes(),
        end: Some(now + 30.minutes()),
    }
}

/// Whether it was admitted.
pub(crate) const fn admitted(spent: &Spent) -> bool {
    matches!(spent, Spent::Done(_))
}
