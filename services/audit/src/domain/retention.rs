//! How long events are kept, in classes: each class has partitions of its own, which go as a whole.

use jiff::{SignedDuration, Timestamp};
use tenantry_core::TenantId;

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

    /// The class of this number, if it is one's.
    pub(crate) fn of_number(number: i16) -> Option<Self> {
        let mut all = Self::ALL.iter().copied();
        all.find(|class| class.number() == number)
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

/// How a log is kept, by what it says itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    /// The longest class that a plan of its tenant asked for when events came; none where no plan was ever known.
    pub(crate) class: Option<Class>,
    /// Whether its tenant is purged: it takes no personal values then.
    pub(crate) purged: bool,
}

impl Kept {
    /// The class of this log's events while its tenant's plan keeps them for so many days; once nobody knows the tenant, the
    /// longest that it had.
    pub(crate) fn class(self, retention_days: Option<i32>) -> Class {
        match (retention_days, self.class) {
            (None, Some(class)) => class,
            (days, _) => Class::of(days),
        }
    }

    /// The class that is to be written down for the log, where events of this plan come: one longer than what it says.
    pub(crate) fn longer(self, retention_days: Option<i32>) -> Option<Class> {
        let class = Class::of(Some(retention_days?));
        self.class.is_none_or(|kept| kept < class).then_some(class)
    }
}

/// Where events go whose class has had its time, while their tenant's are of this class and perhaps under a legal hold;
/// nowhere where nothing keeps them.
pub(crate) fn instead(of: Class, present: Class, under_hold: bool) -> Option<Class> {
    if under_hold {
        return Some(Class::Held).filter(|held| *held != of);
    }
    Some(present).filter(|present| *present > of)
}

/// Since when a reader sees events that are kept for so many days, to the day.
pub(crate) fn visible_since(now: Timestamp, retention_days: i32) -> Timestamp {
    let kept = SignedDuration::from_hours(i64::from(retention_days) * HOURS_PER_DAY);
    now.checked_sub(kept).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Where the events of a log begin that a reader still gets, from a place on: behind the last one that is older than the plan
/// shows; else at the first one that is kept, where others may have gone with their partitions. `kept` is none where none is.
pub(crate) fn first_shown(
    from: i64,
    hidden: Option<i64>,
    kept: Option<i64>,
    may_have_gone: bool,
) -> i64 {
    match (hidden, kept) {
        (Some(hidden), _) => from.max(hidden + 1),
        (None, Some(kept)) if may_have_gone => from.max(kept),
        // A log that never lost any begins at its beginning. Where an event is missing nevertheless, whoever looks is to see it.
        (None, _) => from,
    }
}

/// Whether events of a tenant may be old enough by now to have gone with their partition: none is older than its tenant, whose
/// id has the time in it (RFC 9562, UUIDv7).
pub(crate) fn may_have_gone(tenant: TenantId, now: Timestamp) -> bool {
    let shortest = i64::from(Class::Days30.number()) * HOURS_PER_DAY;
    let made = tenant.uuid().get_timestamp();
    let made = made.and_then(|made| Timestamp::from_second(made.to_unix().0.try_into().ok()?).ok());
    made.is_none_or(|made| now.duration_since(made) > SignedDuration::from_hours(shortest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_outlive_their_class_under_a_hold_or_in_a_longer_one() {
        use Class::{Days30, Days365, Held};
        assert_eq!(instead(Days30, Days30, false), None);
        assert_eq!(instead(Days365, Days30, false), None);
        assert_eq!(instead(Days30, Days365, false), Some(Days365));
        for present in [Days30, Days365] {
            assert_eq!(instead(Days30, present, true), Some(Held));
        }
    }

    #[test]
    fn a_log_that_nobody_knows_goes_on_in_the_longest_class_that_it_had() {
        let mut kept = Kept::default();
        assert_eq!(kept.class(None), Class::Days730, "nobody can say yet");
        assert_eq!(kept.longer(None), None);
        for (days, longest) in [
            (90, Class::Days90),
            (30, Class::Days90),
            (365, Class::Days365),
        ] {
            kept.class = kept.longer(Some(days)).or(kept.class);
            assert_eq!(kept.class, Some(longest));
            assert_eq!(kept.class(Some(days)), Class::of(Some(days)));
            assert_eq!(kept.class(None), longest);
        }
    }

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
