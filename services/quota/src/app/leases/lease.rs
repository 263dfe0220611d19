//! One lease, as its holder has it.

use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tenantry_counter::{Counter, LeaseId};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::span::Span;
use super::{LIVES_FOR, OFTEN};
use crate::app::ledger::Open;
use crate::domain::decision::{Standing, binding};

/// When this part of a lease is left, of its amount or of its time, the next one is taken.
const LOW: u32 = 4;
/// What `left` is of a lease that is closed.
const CLOSED: i64 = -1;

/// For how long a lease is prolonged: longer than an answer of Redis is waited for, of which it depends whether it goes on.
const LIVES_ON: Duration = Duration::from_secs(2);

/// Longest wait for the next lease, which is a call or two away: behind it a request is counted by itself.
const NEXT_WITHIN: Duration = Duration::from_millis(50);

/// Nobody has seen that the lease is low; one request that has is on its way; the next lease is asked for; there is none.
const ENOUGH: u8 = 0;
const SEEN_LOW: u8 = 1;
const ASKED: u8 = 2;
const LAST: u8 = 3;

/// What was leased.
#[derive(Debug)]
pub(super) struct Held {
    id: LeaseId,
    amount: i64,
    span: Span,
    /// How the limit that binds stood, without the lease.
    standing: Standing,
}

impl Held {
    /// So much of these accounts, whose counters are as they were behind it; none where one of them has more than its limit. It is
    /// of the span that is given.
    pub(super) fn new<'a>(
        id: &LeaseId,
        amount: i64,
        counted: impl Iterator<Item = (&'a Arc<Open>, &'a Counter)>,
        span: Span,
    ) -> Option<Self> {
        let mut standings = Vec::new();
        for (open, counter) in counted {
            if open.is_overgranted(counter) {
                return None;
            }
            standings.push(open.standing(counter).without(amount));
        }
        Some(Self {
            id: id.clone(),
            amount,
            span,
            standing: binding(standings)?,
        })
    }

    /// The same, in the place of another one, which ends: of what this one counted as used, the other's rest isn't.
    pub(super) fn in_place_of(mut self, former: &Lease) -> Self {
        let rest = former.close();
        former.end_early();
        if former.since <= self.span.began {
            self.standing = self.standing.without(rest);
        }
        self
    }
}

/// A lease that is admitted from.
#[derive(Debug)]
pub(super) struct Lease {
    resource_type: Box<str>,
    held: Held,
    /// Since when it is in place: whatever is asked of Redis from then on counts all of it as used.
    since: Instant,
    left: AtomicI64,
    low: AtomicU8,
    /// How long it lives, in milliseconds from its beginning, where it was prolonged.
    prolonged_ms: AtomicU64,
    /// Tells that nothing is left, or that another one is in its place.
    early: Notify,
    /// Tells that the next lease came, or won't.
    next: Notify,
    /// What was left when it was closed.
    rest: OnceLock<i64>,
}

/// What a lease says to a request.
#[derive(Debug)]
pub(super) enum Admission {
    /// It is admitted; so the limit that binds stands behind it.
    Done(Standing),
    /// There is too little left, and the next lease is on its way.
    Later,
    /// It is to be counted in Redis.
    No,
}

impl Lease {
    pub(super) fn new(resource_type: Box<str>, held: Held) -> Self {
        Self {
            resource_type,
            left: AtomicI64::new(held.amount),
            held,
            since: Instant::now(),
            low: AtomicU8::new(ENOUGH),
            prolonged_ms: AtomicU64::new(0),
            early: Notify::new(),
            next: Notify::new(),
            rest: OnceLock::new(),
        }
    }

    pub(super) fn id(&self) -> &LeaseId {
        &self.held.id
    }

    pub(super) fn is_of(&self, resource_type: &str) -> bool {
        &*self.resource_type == resource_type
    }

    /// Admits a request, where as much is left in its time. The first one that finds it low isn't: it has the next lease taken,
    /// while others are still admitted from this one.
    pub(super) fn admit(&self, now: Instant, hits: i64) -> Admission {
        let over = now >= self.ends();
        if !over && self.is_low(now) && self.turn(ENOUGH, SEEN_LOW) {
            return Admission::No;
        }
        let less = |left: i64| (!over && left >= hits).then(|| left - hits);
        let before = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        match before {
            Ok(before) => {
                let spent = self.held.amount - before + hits;
                if spent == self.held.amount {
                    self.early.notify_one();
                }
                let standing = self.held.standing;
                let usage = standing.usage.saturating_add(spent);
                Admission::Done(Standing { usage, ..standing })
            }
            Err(_) if hits <= self.held.amount && self.is_next_coming() => Admission::Later,
            Err(_) => Admission::No,
        }
    }

    /// How much the next lease is to be, where this one was found to be low and nobody has asked for that yet; none where this one
    /// wasn't worth it.
    pub(super) fn next(&self, now: Instant) -> Option<i64> {
        if !self.turn(SEEN_LOW, ASKED) {
            return None;
        }
        let spent = self.held.amount - self.left();
        if self.is_spent() {
            return Some(self.held.amount.saturating_mul(2));
        }
        let lived_ms = now.duration_since(self.held.span.began).as_millis().max(1);
        let pace = i128::from(spent) * LIVES_FOR.as_millis() as i128 / lived_ms as i128;
        // A little more, so that a steady pace finds enough.
        let next = i64::try_from(pace + pace / 4).unwrap_or(i64::MAX);
        (next >= OFTEN).then_some(next)
    }

    /// When its time is over.
    fn ends(&self) -> Instant {
        let Span { began, ends, most } = self.held.span;
        match self.prolonged_ms.load(Ordering::Relaxed) {
            0 => ends,
            lives_ms => (began + Duration::from_millis(lives_ms)).min(most),
        }
    }

    /// Has it live on for a while, unless it is over for good: nothing is left of it, it is closed, its window ends, or another one is
    /// in its place.
    pub(super) fn prolong(&self) -> bool {
        self.prolong_at(Instant::now())
    }

    fn prolong_at(&self, now: Instant) -> bool {
        let Span { began, most, .. } = self.held.span;
        let goes_on = self.left() > 0 && !self.is_last() && now < most;
        if goes_on {
            let lives = (now + LIVES_ON).duration_since(began).as_millis();
            let lives_ms = u64::try_from(lives).unwrap_or(u64::MAX);
            self.prolonged_ms.store(lives_ms, Ordering::Relaxed);
        }
        goes_on
    }

    /// Ends it before its time: another one is in its place.
    pub(super) fn end_early(&self) {
        self.early.notify_one();
        self.make_last();
    }

    /// Notes that no lease comes behind it for now.
    pub(super) fn make_last(&self) {
        self.low.store(LAST, Ordering::Relaxed);
        self.next.notify_waiters();
    }

    /// Whether none does.
    pub(super) fn is_last(&self) -> bool {
        self.low.load(Ordering::Relaxed) == LAST
    }

    /// Waits until the next lease came, or won't.
    pub(super) async fn next_came(&self) {
        let came = self.next.notified();
        if self.is_next_coming() {
            let _ = tokio::time::timeout(NEXT_WITHIN, came).await;
        }
    }

    fn is_next_coming(&self) -> bool {
        matches!(self.low.load(Ordering::Relaxed), SEEN_LOW | ASKED)
    }

    /// Waits for its end, or until nothing is left of it.
    pub(super) async fn ended(&self) {
        tokio::select! {
            () = tokio::time::sleep_until(self.ends()) => {}
            () = self.early.notified() => {}
        }
    }

    /// Whether nothing is left of it, while its time isn't over and nothing is in its place.
    pub(super) fn is_spent_early(&self) -> bool {
        let left = self.left.load(Ordering::Relaxed);
        left == 0 && self.rest.get().is_none() && Instant::now() < self.ends()
    }

    /// Has nothing more admitted from it from now on; what is left of it.
    pub(super) fn close(&self) -> i64 {
        let close = || self.left.swap(CLOSED, Ordering::Relaxed);
        *self.rest.get_or_init(close)
    }

    /// What was spent of it until it was closed.
    pub(super) fn spent(&self) -> u64 {
        (self.held.amount - self.close()).unsigned_abs()
    }

    /// What is left of it; nothing once it is closed.
    pub(super) fn left(&self) -> i64 {
        self.left.load(Ordering::Relaxed).max(0)
    }

    /// What is left of it and counts as used in what Redis answered to a call that was sent then.
    pub(super) fn left_in(&self, sent: Instant) -> i64 {
        if self.since <= sent { self.left() } else { 0 }
    }

    fn is_spent(&self) -> bool {
        self.left() < self.held.amount / i64::from(LOW)
    }

    fn is_low(&self, now: Instant) -> bool {
        let lives = self.held.span.ends.duration_since(self.held.span.began);
        self.is_spent() || now + lives / LOW >= self.ends()
    }

    /// Whether it was so, and is that from now on.
    fn turn(&self, from: u8, to: u8) -> bool {
        // Read first: writing keeps the others waiting.
        self.low.load(Ordering::Relaxed) == from
            && self
                .low
                .compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use tenantry_core::TenantId;

    use super::*;
    use crate::domain::period::ResetPeriod;

    fn lease(amount: i64) -> Lease {
        let began = Instant::now();
        let standing = Standing {
            tenant: TenantId::new(),
            limit: Some(1_000),
            beyond: 0,
            usage: 400,
            reset_period: ResetPeriod::Hour,
            reset_at: None,
            rate: None,
        };
        let span = Span {
            began,
            ends: began + LIVES_FOR,
            most: began + LIVES_FOR + LIVES_ON * 3 / 2,
        };
        let id = LeaseId::new();
        let held = Held {
            id,
            amount,
            span,
            standing,
        };
        Lease::new("api_calls".into(), held)
    }

    /// What is used behind an admitted request.
    fn usage(admission: Admission) -> Option<i64> {
        match admission {
            Admission::Done(standing) => Some(standing.usage),
            Admission::Later | Admission::No => None,
        }
    }

    #[test]
    fn nothing_is_admitted_behind_its_end_its_amount_or_once_it_is_closed() {
        let lease = lease(10);
        let Span { began, ends, .. } = lease.held.span;
        let just_before = ends - Duration::from_nanos(1);
        let admit = |lease: &Lease, at, hits| usage(lease.admit(at, hits));
        assert_eq!(admit(&lease, began, 4), Some(404));
        assert_eq!(admit(&lease, began, 7), None);
        assert_eq!(admit(&lease, began, 0), Some(404));
        assert_eq!(admit(&lease, ends, 1), None);
        // It is low: this one has the next lease taken.
        assert_eq!(admit(&lease, just_before, 1), None);
        assert_eq!(admit(&lease, just_before, 1), Some(405));
        assert_eq!(admit(&lease, began, 5), Some(410));
        assert_eq!(admit(&lease, began, 1), None);
        let lease = self::lease(10);
        assert_eq!(admit(&lease, began, 3), Some(403));
        assert_eq!((lease.close(), lease.spent()), (7, 3));
        assert_eq!(admit(&lease, began, 0), None);
        assert_eq!((lease.close(), lease.left()), (7, 0));
    }

    #[test]
    fn the_next_one_is_asked_for_once_and_is_as_large_as_this_one_was_worth() {
        let began = |lease: &Lease| lease.held.span.began;
        let admit = |lease: &Lease, at, hits| usage(lease.admit(at, hits));
        // Spent before its time.
        let fast = lease(100);
        assert_eq!(fast.next(began(&fast)), None, "it isn't low");
        assert!(admit(&fast, began(&fast), 76).is_some());
        assert_eq!(admit(&fast, began(&fast), 1), None);
        assert_eq!(fast.next(began(&fast)), Some(200));
        assert_eq!(fast.next(began(&fast)), None);
        assert!(admit(&fast, began(&fast), 24).is_some());
        let waits = fast.admit(began(&fast), 1);
        assert!(matches!(waits, Admission::Later), "{waits:?}");
        fast.make_last();
        assert!(matches!(fast.admit(began(&fast), 1), Admission::No));
        assert!(fast.is_last());
        // Half of it in most of its time.
        let steady = lease(100);
        let later = began(&steady) + LIVES_FOR * 4 / 5;
        assert!(admit(&steady, began(&steady), 48).is_some());
        assert_eq!(admit(&steady, later, 1), None);
        assert_eq!(steady.next(later), Some(75));
        // Hardly any.
        let slow = lease(100);
        assert!(admit(&slow, began(&slow), 4).is_some());
        assert_eq!(admit(&slow, later, 1), None);
        assert_eq!(slow.next(later), None);
    }

    #[test]
    fn what_was_answered_before_it_was_in_place_counts_none_of_it() {
        let former = lease(10);
        assert!(usage(former.admit(former.since, 4)).is_some());
        let before = former.since - Duration::from_nanos(1);
        assert_eq!(
            (former.left_in(before), former.left_in(former.since)),
            (0, 6)
        );
        let in_place_of = |former: &Lease, began| {
            let held = lease(20).held;
            let span = Span { began, ..held.span };
            let held = Held { span, ..held };
            Lease::new("api_calls".into(), held.in_place_of(former))
        };
        // Two were taken at the same time: the later one counts nothing of the one that came first.
        let other = in_place_of(&former, before);
        assert_eq!(other.held.standing.usage, 400);
        assert_eq!(former.left_in(former.since), 0);
        let next = in_place_of(&other, other.since);
        assert_eq!(next.held.standing.usage, 380);
    }

    #[test]
    fn one_that_is_prolonged_is_admitted_from_until_its_window_ends() {
        let lease = lease(10);
        let Span { began, ends, most } = lease.held.span;
        let admits = |at| usage(lease.admit(at, 1)).is_some();
        assert!(admits(began) && !admits(ends));
        assert!(lease.prolong_at(ends) && admits(ends));
        assert!(!admits(ends + LIVES_ON));
        assert!(lease.prolong_at(ends + LIVES_ON) && admits(ends + LIVES_ON));
        assert!(!lease.prolong_at(most) && !admits(most));
        lease.close();
        assert!(!admits(began));
    }

    #[tokio::test]
    async fn one_that_is_spent_before_its_time_ends_at_once() {
        let lease = lease(8);
        let began = lease.held.span.began;
        assert!(usage(lease.admit(began, 7)).is_some());
        assert!(!lease.is_spent_early());
        assert_eq!(
            usage(lease.admit(began, 1)),
            None,
            "it has the next one taken"
        );
        assert!(usage(lease.admit(began, 1)).is_some());
        lease.ended().await;
        assert!(lease.is_spent_early());
        assert!(Instant::now() < lease.ends());
        assert_eq!((lease.close(), lease.spent()), (0, 8));
        assert!(!lease.is_spent_early());
    }

    #[tokio::test]
    async fn whoever_waits_for_the_next_one_hears_that_it_came_or_not() {
        for comes in [true, false] {
            let lease = lease(8);
            lease.low.store(ASKED, Ordering::Relaxed);
            let told = async {
                if comes {
                    lease.end_early();
                } else {
                    lease.make_last();
                }
            };
            let began = Instant::now();
            tokio::join!(lease.next_came(), told);
            // Nobody waits for what was told before.
            lease.next_came().await;
            assert!(began.elapsed() < NEXT_WITHIN);
        }
    }
}
