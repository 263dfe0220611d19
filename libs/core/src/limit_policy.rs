//! How a limit is kept: what becomes of uses beyond it, how fast it may be used up, and what holds where it can't be asked about.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::refusal::Violations;

/// Largest amount beyond a limit, of a rate and of a burst: JSON's numbers, and Redis's, hold it exactly.
const MAX_AMOUNT: i64 = (1 << 53) - 1;

/// How a limit is kept. By default it is hard, may be used up as fast as anyone likes, and says nothing of failures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitPolicy {
    /// What becomes of uses beyond the limit.
    #[serde(default, skip_serializing_if = "is_default")]
    pub enforcement: Enforcement,
    /// How much beyond the limit is admitted where it is soft; any amount where it is none.
    #[serde(default, skip_serializing_if = "is_default")]
    pub overage: Option<i64>,
    /// What becomes of requests while the limit can't be asked about.
    #[serde(default, skip_serializing_if = "is_default")]
    pub on_failure: OnFailure,
    /// How fast it may be used up.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rate: Option<Rate>,
}

/// What becomes of uses beyond a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Enforcement {
    /// They are refused.
    #[default]
    Hard,
    /// They are admitted, as overage.
    Soft,
    /// They are admitted, and counted as what would have been refused: a limit that is tried out.
    Shadow,
}

/// What becomes of requests while nobody can be asked whether the limit has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// They are refused.
    Closed,
    /// What was leased is used up, and then they are refused.
    Lease,
    /// The gateway's own setting holds.
    #[default]
    Gateway,
    /// They pass, and aren't counted.
    Open,
}

/// How fast a limit may be used up: steadily, and so much at once (the generic cell rate algorithm, ITU-T I.371, Annex A).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// So much in each `per`.
    pub amount: i64,
    /// The span.
    pub per: RatePeriod,
    /// So much at once, after a rest.
    pub burst: i64,
}

/// The span of a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RatePeriod {
    /// A second.
    Second,
    /// A minute.
    Minute,
    /// An hour.
    Hour,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl LimitPolicy {
    /// How much beyond the limit is admitted.
    #[must_use]
    pub fn beyond(&self) -> i64 {
        match self.enforcement {
            Enforcement::Hard => 0,
            Enforcement::Soft => self.overage.unwrap_or(MAX_AMOUNT),
            Enforcement::Shadow => MAX_AMOUNT,
        }
    }

    /// The rate that uses are kept to.
    #[must_use]
    pub fn kept_rate(&self) -> Option<Rate> {
        self.rate
            .filter(|_| self.enforcement != Enforcement::Shadow)
    }

    /// Whether it allows nothing that another one doesn't.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        let rate = match (self.kept_rate(), other.kept_rate()) {
            (_, None) => true,
            (Some(rate), Some(other)) => rate.is_within(&other),
            (None, Some(_)) => false,
        };
        rate && self.beyond() <= other.beyond() && self.on_failure <= other.on_failure
    }

    /// Notes everything that is wrong with it; `at` is the field that it stands in. A limit that never resets has no rate: it bounds
    /// what there is.
    pub fn check(&self, at: &str, never_resets: bool, wrong: &mut Violations) {
        let amounts = 0..=MAX_AMOUNT;
        match self.overage {
            Some(_) if self.enforcement != Enforcement::Soft => {
                let why = "is of a soft limit alone: set enforcement to soft, or leave it out";
                wrong.add(format!("{at}.overage"), why);
            }
            Some(overage) if !amounts.contains(&overage) => {
                wrong.add(
                    format!("{at}.overage"),
                    format!("must be 0 to {MAX_AMOUNT}"),
                );
            }
            Some(_) | None => {}
        }
        let Some(rate) = self.rate else { return };
        if never_resets {
            let why = "is of limits that reset: what never does bounds what there is, not how fast it comes";
            wrong.add(format!("{at}.rate"), why);
        }
        for (name, amount) in [("amount", rate.amount), ("burst", rate.burst)] {
            if !(1..=MAX_AMOUNT).contains(&amount) {
                wrong.add(
                    format!("{at}.rate.{name}"),
                    format!("must be 1 to {MAX_AMOUNT}"),
                );
            }
        }
    }
}

impl Rate {
    /// Within how many microseconds `amount` is free again.
    #[must_use]
    pub const fn per_us(&self) -> i64 {
        match self.per {
            RatePeriod::Second => 1_000_000,
            RatePeriod::Minute => 60_000_000,
            RatePeriod::Hour => 3_600_000_000,
        }
    }

    /// Whether nobody who keeps it passes another one.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        let whole =
            |rate: &Self, other: &Self| i128::from(rate.amount) * i128::from(other.per_us());
        self.burst <= other.burst && whole(self, other) <= whole(other, self)
    }
}

macro_rules! words {
    ($type:ty, $($word:literal => $value:expr),+) => {
        impl $type {
            /// The words of all of them.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// The word, as the API and files have it.
            #[must_use]
            pub fn word(self) -> &'static str {
                let all = [$(($word, $value)),+];
                let mut all = all.into_iter();
                all.find(|(_, value)| *value == self).map_or("", |(word, _)| word)
            }
        }

        impl FromStr for $type {
            type Err = String;

            fn from_str(word: &str) -> Result<Self, String> {
                match word {
                    $($word => Ok($value),)+
                    _ => Err(format!("must be one of {}", Self::WORDS.join(", "))),
                }
            }
        }
    };
}

words!(Enforcement, "hard" => Self::Hard, "soft" => Self::Soft, "shadow" => Self::Shadow);
words!(
    OnFailure,
    "closed" => Self::Closed,
    "lease" => Self::Lease,
    "gateway" => Self::Gateway,
    "open" => Self::Open
);
words!(
    RatePeriod,
    "second" => Self::Second,
    "minute" => Self::Minute,
    "hour" => Self::Hour
);

#[cfg(test)]
mod tests {
    use super::*;

    fn soft(overage: Option<i64>) -> LimitPolicy {
        LimitPolicy {
            enforcement: Enforcement::Soft,
            overage,
            ..LimitPolicy::default()
        }
    }

    fn rated(amount: i64, per: RatePeriod, burst: i64) -> LimitPolicy {
        LimitPolicy {
            rate: Some(Rate { amount, per, burst }),
            ..LimitPolicy::default()
        }
    }

    #[test]
    fn what_allows_less_is_within_what_allows_more() {
        use RatePeriod::{Minute, Second};
        let hard = LimitPolicy::default();
        let shadow = LimitPolicy {
            enforcement: Enforcement::Shadow,
            ..hard
        };
        let failing = |on_failure| LimitPolicy { on_failure, ..hard };
        let cases = [
            (hard, hard, true),
            (hard, soft(Some(0)), true),
            (soft(Some(5)), soft(Some(5)), true),
            (soft(Some(6)), soft(Some(5)), false),
            (soft(None), soft(Some(5)), false),
            (soft(None), hard, false),
            (shadow, hard, false),
            (shadow, soft(None), true),
            (failing(OnFailure::Open), hard, false),
            (failing(OnFailure::Lease), hard, true),
            (failing(OnFailure::Lease), failing(OnFailure::Closed), false),
            (rated(60, Minute, 5), rated(1, Second, 5), true),
            (rated(61, Minute, 5), rated(1, Second, 5), false),
            (rated(1, Second, 6), rated(1, Second, 5), false),
            (hard, rated(1, Second, 5), false),
            (rated(1, Second, 5), hard, true),
        ];
        for (one, other, expected) in cases {
            assert_eq!(one.is_within(&other), expected, "{one:?} {other:?}");
        }
    }

    #[test]
    fn what_is_wrong_names_its_field() {
        let wrong = |policy: LimitPolicy, never_resets| {
            let mut wrong = Violations::new();
            policy.check("policy", never_resets, &mut wrong);
            let refused = wrong.check().err();
            let violations = refused.map_or_else(Vec::new, |refused| refused.violations);
            let fields = violations.into_iter().map(|violation| violation.field);
            fields.collect::<Vec<_>>()
        };
        let none: [&str; 0] = [];
        assert_eq!(wrong(LimitPolicy::default(), true), none);
        assert_eq!(wrong(soft(Some(7)), true), none);
        assert_eq!(wrong(soft(Some(-1)), false), ["policy.overage"]);
        let hard = LimitPolicy {
            enforcement: Enforcement::Hard,
            ..soft(Some(7))
        };
        assert_eq!(wrong(hard, false), ["policy.overage"]);
        assert_eq!(wrong(rated(1, RatePeriod::Hour, 1), false), none);
        assert_eq!(wrong(rated(1, RatePeriod::Hour, 1), true), ["policy.rate"]);
        assert_eq!(
            wrong(rated(0, RatePeriod::Hour, -1), false),
            ["policy.rate.amount", "policy.rate.burst"]
        );
    }

    #[test]
    fn a_plain_policy_is_written_as_nothing() {
        let json = serde_json::to_value(LimitPolicy::default()).unwrap();
        assert_eq!(json, serde_json::json!({}));
        let json = serde_json::to_value(soft(Some(7))).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"enforcement": "soft", "overage": 7})
        );
        let read: LimitPolicy = serde_json::from_value(json).unwrap();
        assert_eq!(read, soft(Some(7)));
        for word in OnFailure::WORDS {
            assert_eq!(word.parse::<OnFailure>().unwrap().word(), *word);
        }
    }
}
