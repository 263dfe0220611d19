//! A ledger of the test's own, holders of leases some of which die, and a Redis that forgets: whatever happens, no more is admitted
//! than the limit, and no less than what was lost with them.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tenantry_core::TenantId;
use tenantry_counter::{Closed, CounterKey, Granted, How, LeaseId, Leased, Spent, Wanted};
use tenantry_testkit::redis::Redis;
use tenantry_testkit::wait::until;

use crate::losses::ask;
use crate::support::{Open, WITHIN, World, this_hour};

const STEPS: usize = 1_500;
const LIMIT: i64 = 2_000;

/// What a ledger has to know of one counter.
struct Ledger {
    world: World,
    dice: StdRng,
    open: Open,
    /// Openings that have ended, whose calls may still come.
    ended: Vec<Open>,
    /// Granted to the present opening, and spent of it.
    granted: i64,
    spent: i64,
    /// What all openings before used, and what of their grants was lost.
    used: i64,
    lost: i64,
    /// What is out, and what of it came back to nobody: its holder died, or its opening had ended.
    leases: Vec<Lease>,
    lost_of_leases: i64,
    admitted: i64,
}

/// A lease that is out.
struct Lease {
    id: LeaseId,
    of: Open,
    left: i64,
}

impl Ledger {
    async fn start(seed: u64) -> Self {
        let world = World::start().await;
        let tenant = TenantId::new();
        let window = this_hour();
        let key = CounterKey::new(tenant, tenant, "api_calls", ("hour", window.start));
        let open = world.opened(key, window).await;
        Self {
            world,
            dice: StdRng::seed_from_u64(seed),
            open,
            ended: Vec::new(),
            granted: 0,
            spent: 0,
            used: 0,
            lost: 0,
            leases: Vec::new(),
            lost_of_leases: 0,
            admitted: 0,
        }
    }

    /// What may still be granted.
    fn left(&self) -> i64 {
        LIMIT - self.used - self.lost - self.granted
    }

    async fn grant(&mut self, most: i64) {
        // Noted before anyone can spend it.
        self.granted += most.min(self.left());
        if self.world.grant(&self.open, self.granted).await == Granted::Lost {
            self.reopen().await;
        }
    }

    async fn spend(&mut self, amount: i64) -> bool {
        match self.world.spend(How::Fast, &self.open, amount).await {
            Spent::Done(_) => {
                self.spent += amount;
                self.admitted += amount;
                return true;
            }
            Spent::Lost(_) => self.reopen().await,
            Spent::Short(_) => {}
            Spent::Outside(now) => panic!("{now} is in this hour"),
            Spent::Early { .. } => panic!("it has no rate"),
        }
        false
    }

    async fn lease(&mut self, amount: i64) {
        let id = LeaseId::new();
        let wanted = Wanted {
            amount,
            least: 1,
            noted_for: Duration::from_secs(3_600),
        };
        let of = self.open.lease_of(LIMIT - self.used - self.lost);
        match self.world.0.lease(&id, wanted, &[of]).await.unwrap() {
            Leased::Done { amount, .. } => {
                self.spent += amount;
                let of = self.open.clone();
                let left = amount;
                self.leases.push(Lease { id, of, left });
            }
            Leased::Lost(_) => self.reopen().await,
            Leased::Scarce => {}
            Leased::Outside(now) => panic!("{now} is in this hour"),
        }
    }

    /// Admits from a lease, whatever became of the counter.
    fn admit(&mut self) {
        if let Some(lease) = self.leases.iter_mut().find(|lease| lease.left > 0) {
            lease.left -= 1;
            self.admitted += 1;
        }
    }

    /// Ends the oldest lease; or its holder dies.
    async fn end_lease(&mut self, dies: bool) {
        if self.leases.is_empty() {
            return;
        }
        let Lease { id, of, left } = self.leases.remove(0);
        let before = self.fast().await;
        if !dies {
            let counters = [(&of.key, &of.opening)];
            self.world.0.end_lease(&id, left, &counters).await.unwrap();
        }
        let back = before - self.fast().await;
        assert!(back == 0 || back == left);
        self.spent -= back;
        self.lost_of_leases += left - back;
    }

    /// What the counter was spent; nothing where it is lost.
    async fn fast(&self) -> i64 {
        let counter = self.world.counter(&self.open).await;
        counter.map_or(0, |counter| counter.fast)
    }

    /// Ends the opening, as it is known or not, and begins another.
    async fn reopen(&mut self) {
        match self.world.close(&self.open).await {
            Closed::Ended(counter) => {
                assert_eq!(counter.fast, self.spent);
                self.used += counter.fast;
            }
            Closed::Lost => {
                self.used += self.spent;
                self.lost += self.granted - self.spent;
            }
        }
        (self.granted, self.spent) = (0, 0);
        let window = self.open.window;
        let next = self.world.opened(self.open.key.clone(), window).await;
        self.ended.push(std::mem::replace(&mut self.open, next));
    }

    /// What a call does that belongs to an opening of before: nothing.
    async fn late(&mut self) {
        if self.ended.is_empty() {
            return;
        }
        let which = self.dice.random_range(0..self.ended.len());
        let old = &self.ended[which];
        assert_eq!(self.world.grant(old, LIMIT).await, Granted::Lost);
        assert_eq!(self.world.spend(How::Fast, old, 1).await, Spent::Lost(0));
        assert_eq!(self.world.close(old).await, Closed::Lost);
    }

    async fn step(&mut self) {
        match self.dice.random_range(0..200) {
            0..70 => {
                let amount = self.dice.random_range(0..4);
                self.spend(amount).await;
            }
            70..110 => self.admit(),
            110..130 => {
                let amount = self.dice.random_range(1..10);
                self.lease(amount).await;
            }
            130..145 => self.end_lease(false).await,
            145..150 => self.end_lease(true).await,
            150..180 => {
                let most = self.dice.random_range(1..20);
                self.grant(most).await;
            }
            180..190 => self.late().await,
            190..193 => self.reopen().await,
            193..196 => forget(&self.world.redis, &["FLUSHALL"]).await,
            196..198 => forget(&self.world.redis, &["DEBUG", "LOADAOF"]).await,
            198 => forget(&self.world.redis, &["FUNCTION", "FLUSH"]).await,
            _ => {
                self.world.redis.unit().restart().await.unwrap();
                // The connection of before is noticed to be gone by the first call.
                until("answer of Redis", WITHIN, async || {
                    let open = (&self.open.key, &self.open.opening);
                    Ok(self.world.0.look(&[open]).await.ok())
                })
                .await
                .unwrap();
            }
        }
        assert!(self.used + self.lost + self.granted <= LIMIT);
    }
}

async fn forget(redis: &Redis, how: &[&str]) {
    ask(redis, how).await;
}

#[tokio::test]
async fn whatever_redis_forgets_the_limit_is_admitted_less_what_was_lost_and_never_more() {
    for seed in 0..3 {
        let mut ledger = Ledger::start(seed).await;
        for _ in 0..STEPS {
            ledger.step().await;
        }
        while !ledger.leases.is_empty() {
            ledger.end_lease(false).await;
        }
        while ledger.left() > 0 {
            ledger.grant(50).await;
            while ledger.spend(1).await {}
        }
        while ledger.spend(1).await {}
        let (admitted, lost) = (ledger.admitted, ledger.lost);
        let lost_of_leases = ledger.lost_of_leases;
        println!("seed {seed}: {admitted} admitted, {lost} lost, {lost_of_leases} of leases");
        assert_eq!(admitted + lost + lost_of_leases, LIMIT, "seed {seed}");
        assert!(
            !ledger.ended.is_empty() && lost > 0 && lost_of_leases > 0,
            "something was lost"
        );
    }
}
