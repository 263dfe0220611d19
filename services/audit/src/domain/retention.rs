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
    /// Not after the first event that no checkpoint has came; none where each has one. Without its events a log can't be signed.
    pub(crate) unsigned_since: Option<Timestamp>,
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

/// Where an export begins of what a log of this size shows, from a place on: behind the last event that is older than the plan
/// shows, and behind all that have gone, because between those of one class others may be left. Where an event is missing behind
/// that, whoever looks is to see it.
pub(crate) fn first_shown(from: i64, hidden: Option<i64>, gone_to: i64, size: i64) -> i64 {
    let shown = hidden.map_or(gone_to, |hidden| gone_to.max(hidden + 1));
    from.max(shown.min(size))
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
    fn an_export_begins_behind_what_is_hidden_and_what_has_gone_and_not_behind_the_log() {
        for (from, hidden, gone_to, first) in [
            (0, None, 0, 0),
            (3, None, 0, 3),
            (0, Some(4), 0, 5),
            (0, None, 7, 7),
            (0, Some(4), 7, 7),
            (0, Some(8), 7, 9),
            (8, Some(4), 7, 8),
            (0, None, 10, 10),
            (0, None, 12, 10),
            (50, None, 12, 50),
        ] {
            assert_eq!(
                first_shown(from, hidden, gone_to, 10),
                first,
                "{from} {hidden:?} {gone_to}"
            );
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
