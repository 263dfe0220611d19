//! Alerts: that so much of a limit is used, or that it refused something, told once for each window.

use serde_json::{Value, json};

use super::account::Account;
use super::limit::Cap;

/// Of how much of a limit is told, in percent; of all of it where more than that is admitted.
const PERCENTS: [i16; 2] = [80, 95];
const WHOLE: i16 = 100;

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Threshold {
    /// So many percent of the limit are used.
    Percent(i16),
    /// The limit refused something.
    Refused,
}

/// That an account has reached a threshold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Alert {
    pub(crate) threshold: Threshold,
    /// The account as it was then.
    account: Account,
    usage: i64,
}

impl Alert {
    /// The tenant whose limit it is.
    pub(crate) const fn tenant(&self) -> tenantry_core::TenantId {
        self.account.id.tenant
    }

    /// What the log says of it.
    pub(crate) fn facts(&self) -> Value {
        let account = &self.account;
        json!({
            "threshold": match self.threshold {
                Threshold::Percent(percent) => format!("{percent}_percent"),
                Threshold::Refused => "refused".to_owned(),
            },
            "resource_type": account.id.resource_type,
            "limit": account.cap.map(|cap| cap.limit),
            "usage": self.usage,
            "reset_period": account.id.reset_period,
            "window_start": account.window.start,
            "reset_at": account.window.end,
        })
    }
}

/// From how much on so many percent of a limit are used.
fn reached_at(limit: i64, percent: i16) -> i64 {
    let exact = i128::from(limit) * i128::from(percent);
    // At most the limit, so it fits.
    i64::try_from((exact + 99) / 100).unwrap_or(i64::MAX)
}

/// Of how much of a limit is told, in percent.
fn percents(cap: Cap) -> impl DoubleEndedIterator<Item = i16> {
    let whole = (cap.beyond > 0).then_some(WHOLE);
    PERCENTS.into_iter().chain(whole)
}

impl Account {
    /// What is to be told now that so much is used: it is noted as told.
    pub(crate) fn reach(&mut self, usage: i64) -> Vec<Alert> {
        let Some(cap) = self.cap.filter(|cap| cap.limit > 0) else {
            return Vec::new();
        };
        let told = self.told_percent;
        let reached = percents(cap).filter(|percent| *percent > told);
        let reached: Vec<_> = reached
            .filter(|percent| usage >= reached_at(cap.limit, *percent))
            .collect();
        let Some(last) = reached.last() else {
            return Vec::new();
        };
        self.told_percent = *last;
        let alerts = reached.into_iter().map(|percent| Alert {
            threshold: Threshold::Percent(percent),
            account: self.clone(),
            usage,
        });
        alerts.collect()
    }

    /// The same now that something was refused.
    pub(crate) fn refuse(&mut self, usage: i64) -> Option<Alert> {
        if self.told_refusal {
            return None;
        }
        self.told_refusal = true;
        Some(Alert {
            threshold: Threshold::Refused,
            account: self.clone(),
            usage,
        })
    }

    /// Has this limit hold. What was told of a lower one is told anew.
    pub(crate) fn set_cap(&mut self, cap: Option<Cap>) {
        let before = std::mem::replace(&mut self.cap, cap);
        let raised = |of: fn(Cap) -> i64| match (before, cap) {
            (Some(before), Some(after)) => of(after) > of(before),
            (Some(_), None) => true,
            (None, _) => false,
        };
        if raised(Cap::most) {
            self.told_refusal = false;
        }
        if !raised(|cap| cap.limit) {
            return;
        }
        let used = self.used();
        let holds = cap.filter(|cap| cap.limit > 0).and_then(|cap| {
            let mut percents = percents(cap).rev();
            percents.find(|percent| used >= reached_at(cap.limit, *percent))
        });
        self.told_percent = self.told_percent.min(holds.unwrap_or(0));
    }

    /// How much may be granted before something is to be told: whoever then asks for more tells it.
    pub(crate) fn until_told(&self) -> i64 {
        let Some(cap) = self.cap else {
            return i64::MAX;
        };
        let granted = self.settled.saturating_add(self.granted);
        let next = percents(cap).map(|percent| reached_at(cap.limit, percent));
        next.filter(|at| *at > granted)
            .map(|at| at - granted)
            .min()
            .unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use tenantry_core::{TenantId, Window};

    use super::super::account::AccountId;
    use super::super::period::ResetPeriod;
    use super::*;

    fn account(limit: Option<i64>) -> Account {
        let cap = limit.map(Cap::hard);
        let start = Timestamp::UNIX_EPOCH;
        let id = AccountId {
            tenant: TenantId::new(),
            resource_type: "api_calls".to_owned(),
            reset_period: ResetPeriod::Month,
            start,
        };
        let window = Window { start, end: None };
        Account {
            cap,
            ..Account::new(id, window, TenantId::new())
        }
    }

    fn told(alerts: &[Alert]) -> Vec<Threshold> {
        alerts.iter().map(|alert| alert.threshold).collect()
    }

    #[test]
    fn each_threshold_is_told_once() {
        use Threshold::Percent;
        let (neither, both) = (&[][..], &[Percent(80), Percent(95)][..]);
        let (first, second) = (&both[..1], &both[1..]);
        let cases = [
            (
                100,
                vec![
                    (79, neither),
                    (80, first),
                    (94, neither),
                    (95, second),
                    (100, neither),
                ],
            ),
            (100, vec![(100, both), (10, neither), (100, neither)]),
            // 0.8 and 0.95 of it are one.
            (1, vec![(0, neither), (1, both)]),
            (3, vec![(2, neither), (3, both)]),
            (
                i64::MAX,
                vec![(i64::MAX / 100 * 79, neither), (i64::MAX, both)],
            ),
            (0, vec![(0, neither), (5, neither)]),
        ];
        for (limit, steps) in cases {
            let mut account = account(Some(limit));
            for (usage, expected) in steps {
                assert_eq!(told(&account.reach(usage)), expected, "{limit} {usage}");
            }
        }
        assert_eq!(account(None).reach(i64::MAX), []);
        let mut refusing = account(Some(0));
        assert_eq!(refusing.refuse(0).unwrap().threshold, Threshold::Refused);
        assert_eq!(refusing.refuse(0), None);
    }

    #[test]
    fn a_raised_limit_tells_anew_what_it_no_longer_has_reached() {
        let mut account = account(Some(100));
        account.settled = 96;
        account.reach(96);
        account.refuse(96);
        account.set_cap(Some(Cap::hard(90)));
        assert_eq!((account.told_percent, account.told_refusal), (95, true));
        account.set_cap(Some(Cap::hard(118)));
        assert_eq!((account.told_percent, account.told_refusal), (80, false));
        assert_eq!(told(&account.reach(113)), [Threshold::Percent(95)]);
        account.set_cap(Some(Cap::hard(1_000)));
        assert_eq!(told(&account.reach(800)), [Threshold::Percent(80)]);
        account.set_cap(None);
        assert_eq!(account.told_percent, 0);
    }

    #[test]
    fn of_a_soft_limit_it_is_told_too_that_all_of_it_is_used() {
        let mut account = account(Some(100));
        account.cap = Some(Cap {
            limit: 100,
            beyond: 10,
        });
        account.granted = 95;
        assert_eq!(account.until_told(), 5);
        account.reach(99);
        assert_eq!(told(&account.reach(100)), [Threshold::Percent(100)]);
        assert_eq!(account.reach(110), []);
        account.refuse(110);
        account.set_cap(Some(Cap {
            limit: 100,
            beyond: 20,
        }));
        assert_eq!((account.told_percent, account.told_refusal), (100, false));
    }

    #[test]
    fn grants_end_where_something_is_to_be_told() {
        let mut account = account(Some(1_000));
        assert_eq!(account.until_told(), 800);
        account.granted = 790;
        assert_eq!(account.until_told(), 10);
        account.granted = 800;
        assert_eq!(account.until_told(), 150);
        account.granted = 950;
        assert_eq!(account.until_told(), i64::MAX);
    }
}
