//! How guessing is slowed down. Failures fill leaking buckets: one for each account and network, one for each account, one
//! for each network. From a bucket's bound on, each failure locks it for twice as long as the one before, a quarter of an
//! hour at most; while it is locked nothing is tried, and a lock doesn't grow by what is refused.
//!
//! A stranger must not keep a person out. So it is the network that is locked first, and early; the account as a whole only
//! far later, against guessing from many networks, and then not for networks where the person signed in or used a link from
//! their mail. What remains is a wait of at most a quarter of an hour, and such a link.

use jiff::{SignedDuration, Timestamp};
use tenantry_core::network;

/// Longest lock.
const LONGEST: SignedDuration = SignedDuration::from_mins(15);
/// Failures past its bound that a bucket holds: 2^10 seconds are longer than the longest lock.
const MOST_DOUBLINGS: i64 = 10;

/// What one bucket bears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    /// The attempt that locks first.
    pub(crate) from: i64,
    /// One attempt is forgotten in each such time.
    pub(crate) leak: SignedDuration,
}

/// Failures of one network at one account: whoever mistypes has four tries, who guesses four an hour in the long run.
const AT_ACCOUNT: Rule = Rule {
    from: 5,
    leak: SignedDuration::from_mins(15),
};
/// Failures of all networks at one account.
const ACCOUNT: Rule = Rule {
    from: 50,
    leak: SignedDuration::from_mins(15),
};
/// Failures of one network at all accounts; offices share one.
const NETWORK: Rule = Rule {
    from: 200,
    leak: SignedDuration::from_secs(6),
};
/// Links asked for, for one address: the second is for a mail that got lost.
const LINKS: Rule = Rule {
    from: 3,
    leak: SignedDuration::from_mins(15),
};
/// Links asked for from one network.
const LINKS_OF_NETWORK: Rule = Rule {
    from: 50,
    leak: SignedDuration::from_secs(60),
};

/// A bucket by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// Keyed hash of the address; empty for all.
    pub(crate) account: Vec<u8>,
    /// Empty for all.
    pub(crate) network: String,
}

impl Key {
    /// Whether it counts an account over all networks.
    pub(crate) fn is_whole_account(&self) -> bool {
        self.network.is_empty()
    }
}

/// The buckets that an attempt falls into, always in the same order: of two attempts at once none waits for the other twice.
pub(crate) type Buckets = Vec<(Key, Rule)>;

/// The buckets of a try to sign in.
pub(crate) fn of_sign_in(account: [u8; 32], ip: &str) -> Buckets {
    let account = account.to_vec();
    let network = network(ip);
    in_order(vec![
        (key(&account, &network), AT_ACCOUNT),
        (key(&account, ""), ACCOUNT),
        (key(&[], &network), NETWORK),
    ])
}

/// The buckets of asking for a link. The hashes are others than those of signing in.
pub(crate) fn of_link(account: [u8; 32], all: [u8; 32], ip: &str) -> Buckets {
    in_order(vec![
        (key(&account, ""), LINKS),
        (key(&all, &network(ip)), LINKS_OF_NETWORK),
    ])
}

fn key(account: &[u8], network: &str) -> Key {
    Key {
        account: account.to_vec(),
        network: network.to_owned(),
    }
}

fn in_order(mut buckets: Buckets) -> Buckets {
    buckets.sort_by(|one, other| one.0.cmp(&other.0));
    buckets
}

/// A bucket as it stands in its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bucket {
    pub(crate) empty_at: Timestamp,
    pub(crate) locked_until: Option<Timestamp>,
}

impl Bucket {
    /// Whether nothing is tried now.
    pub(crate) fn is_locked(&self, now: Timestamp) -> bool {
        self.locked_until.is_some_and(|until| until > now)
    }

    /// The bucket after one more attempt, and whether this is the one that locks first.
    pub(crate) fn after(&self, rule: Rule, now: Timestamp) -> (Self, bool) {
        let before = self.level(rule, now);
        let full = now + rule.leak * i32::try_from(rule.from + MOST_DOUBLINGS).unwrap_or(i32::MAX);
        let empty_at = (self.empty_at.max(now) + rule.leak).min(full);
        let after = Self { empty_at, ..*self };
        let past = after.level(rule, now) - rule.from;
        if past < 0 {
            return (after, false);
        }
        let doubled = SignedDuration::from_secs(1 << past.min(MOST_DOUBLINGS));
        let locked = Self {
            locked_until: Some(now + doubled.min(LONGEST)),
            ..after
        };
        (locked, before < rule.from)
    }

    /// Attempts in it; one that is leaking counts whole.
    fn level(&self, rule: Rule, now: Timestamp) -> i64 {
        let rest = self.empty_at.duration_since(now).as_millis().max(0);
        let leak = rule.leak.as_millis().max(1);
        i64::try_from((rest + leak - 1) / leak).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &[Rule] = &[AT_ACCOUNT, ACCOUNT, NETWORK, LINKS, LINKS_OF_NETWORK];

    fn empty(now: Timestamp) -> Bucket {
        Bucket {
            empty_at: now,
            locked_until: None,
        }
    }

    #[test]
    fn from_the_fifth_failure_on_the_wait_doubles_up_to_a_quarter_of_an_hour() {
        let mut now = Timestamp::UNIX_EPOCH;
        let mut bucket = empty(now);
        let mut waits = Vec::new();
        for failure in 1..=17 {
            let (next, first) = bucket.after(AT_ACCOUNT, now);
            assert_eq!(first, failure == 5, "{failure}");
            bucket = next;
            let until = bucket.locked_until.filter(|until| *until > now);
            waits.push(until.map_or(0, |until| until.duration_since(now).as_secs()));
            now = until.unwrap_or(now);
            assert!(!bucket.is_locked(now));
        }
        // By the fifteenth the first has leaked: half the longest wait comes twice.
        let expected = [
            0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 512, 900, 900,
        ];
        assert_eq!(waits, expected);
    }

    #[test]
    fn what_leaked_is_forgotten() {
        let now = Timestamp::UNIX_EPOCH;
        let mut bucket = empty(now);
        for _ in 0..4 {
            bucket = bucket.after(AT_ACCOUNT, now).0;
        }
        let later = now + SignedDuration::from_mins(16);
        let (fifth, _) = bucket.after(AT_ACCOUNT, later);
        assert_eq!(fifth.locked_until, None);
        assert!(fifth.after(AT_ACCOUNT, later).1);
    }

    #[test]
    fn an_empty_bucket_is_never_locked() {
        let now = Timestamp::UNIX_EPOCH;
        for rule in RULES {
            let mut bucket = empty(now);
            for _ in 0..300 {
                bucket = bucket.after(*rule, now).0;
                assert!(
                    bucket
                        .locked_until
                        .is_none_or(|until| until <= bucket.empty_at),
                    "{rule:?}"
                );
            }
        }
    }

    #[test]
    fn an_attempt_falls_into_the_bucket_of_its_network_and_into_the_common_ones() {
        let (one, other) = (
            of_sign_in([1; 32], "192.0.2.7"),
            of_sign_in([1; 32], "192.0.2.8"),
        );
        let common: Vec<_> = one.iter().filter(|bucket| other.contains(bucket)).collect();
        assert_eq!(common.len(), 1);
        assert!(common[0].0.is_whole_account());
        assert!(one.is_sorted_by_key(|(key, _)| key));
    }
}
