//! How long events are kept, in classes: each class has partitions of its own, which go as a whole.

use jiff::{SignedDuration, Timestamp};

/// A retention class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Class {
    Days30,
    Days60,
    Days90,
    Days365,
    Days730,
    /// Kept until the last legal hold of the tenant is released.
    Held,
}

const HOURS_PER_DAY: i64 = 24;

impl Class {
    /// All classes, from the shortest.
    pub(crate) const ALL: &[Self] = &[
        Self::Days30,
        Self::Days60,
        Self::Days90,
        Self::Days365,
        Self::Days730,
        Self::Held,
    ];

    /// The class as its column has it: days, 0 for held.
    pub(crate) const fn number(self) -> i16 {
        match self {
            Self::Days30 => 30,
            Self::Days60 => 60,
            Self::Days90 => 90,
            Self::Days365 => 365,
            Self::Days730 => 730,
            Self::Held => 0,
        }
    }

    /// The class of a plan that keeps events for so many days. Where nobody can say, the longest: what is kept too long can
    /// go later.
    pub(crate) fn of(retention_days: Option<i32>) -> Self {
        let Some(days) = retention_days else {
            return Self::Days730;
        };
        let fits = |class: &&Self| i32::from(class.number()) >= days;
        *Self::ALL.iter().find(fits).unwrap_or(&Self::Days730)
    }
}

/// Since when a reader sees events that are kept for so many days, to the day.
pub(crate) fn visible_since(now: Timestamp, retention_days: i32) -> Timestamp {
    let kept = SignedDuration::from_hours(i64::from(retention_days) * HOURS_PER_DAY);
    now.checked_sub(kept).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_keeps_at_least_what_the_plan_says() {
        for (days, class) in [
            (Some(1), Class::Days30),
            (Some(30), Class::Days30),
            (Some(31), Class::Days60),
            (Some(90), Class::Days90),
            (Some(91), Class::Days365),
            (Some(730), Class::Days730),
            (None, Class::Days730),
        ] {
            assert_eq!(Class::of(days), class, "{days:?}");
        }
    }
}
