//! Series: what was used in spans of time, as a tenant's clocks and calendar have them.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::period::ResetPeriod;

/// Most spans of a series.
pub(crate) const MAX_SPANS: usize = 1_500;

/// How long a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interval {
    Minute,
    Hour,
    Day,
    Month,
}

impl Interval {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::Minute, Self::Hour, Self::Day, Self::Month];

    /// The reset period whose windows the spans are.
    pub(crate) const fn period(self) -> ResetPeriod {
        match self {
            Self::Minute => ResetPeriod::Minute,
            Self::Hour => ResetPeriod::Hour,
            Self::Day => ResetPeriod::Day,
            Self::Month => ResetPeriod::Month,
        }
    }

    /// The word, as the API has it.
    pub(crate) const fn word(self) -> &'static str {
        self.period().word()
    }

    /// Of which sums it is made: those of so many minutes.
    pub(crate) const fn width_minutes(self) -> i16 {
        match self {
            Self::Minute => 1,
            Self::Hour | Self::Day | Self::Month => 15,
        }
    }

    /// For how many days those are kept.
    pub(crate) const fn kept_days(self) -> i64 {
        match self {
            Self::Minute => 35,
            Self::Hour | Self::Day | Self::Month => 400,
        }
    }

    /// How far back a series begins where nobody says.
    pub(crate) const fn usual(self) -> SignedDuration {
        match self {
            Self::Minute => SignedDuration::from_hours(1),
            Self::Hour => SignedDuration::from_hours(48),
            Self::Day => SignedDuration::from_hours(30 * 24),
            Self::Month => SignedDuration::from_hours(365 * 24),
        }
    }

    /// Since when sums are kept.
    pub(crate) fn kept_since(self, now: Timestamp) -> Timestamp {
        now - SignedDuration::from_hours(24 * self.kept_days())
    }
}

/// Where spans begin, and where the last one ends: from the one that has `from` to the one that has the instant before `to`. `None`
/// where there are more than [`MAX_SPANS`].
pub(crate) fn bounds(
    period: ResetPeriod,
    zone: &TimeZone,
    (from, to): (Timestamp, Timestamp),
) -> Option<Vec<Timestamp>> {
    let mut bounds = vec![period.window(zone, from, None).start];
    while let Some(last) = bounds.last().copied().filter(|last| *last < to) {
        if bounds.len() > MAX_SPANS {
            return None;
        }
        // What never ends has no spans.
        let end = period.window(zone, last, None).end?;
        bounds.push(end);
    }
    Some(bounds)
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZoneDatabase;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn hours(zone: &str, from: &str, to: &str) -> Vec<i64> {
        let zone = TimeZoneDatabase::bundled().get(zone).unwrap();
        let bounds = bounds(ResetPeriod::Day, &zone, (at(from), at(to))).unwrap();
        let both = bounds.windows(2);
        both.map(|span| span[1].duration_since(span[0]).as_hours())
            .collect()
    }

    #[test]
    fn days_are_as_long_as_the_clocks_make_them_and_the_first_and_last_are_whole() {
        let spring = hours(
            "Europe/Berlin",
            "2026-03-28T12:00:00Z",
            "2026-03-30T12:00:00Z",
        );
        assert_eq!(spring, [24, 23, 24]);
        let autumn = hours(
            "America/New_York",
            "2026-11-01T04:00:00Z",
            "2026-11-02T05:00:00Z",
        );
        assert_eq!(autumn, [25]);
    }

    #[test]
    fn no_more_spans_than_the_bound_are_made() {
        let from = at("2026-01-01T00:00:00Z");
        let spans = |minutes: i64| {
            let to = from + SignedDuration::from_mins(minutes);
            bounds(ResetPeriod::Minute, &TimeZone::UTC, (from, to))
        };
        let most = i64::try_from(MAX_SPANS).unwrap();
        assert_eq!(spans(most).map(|bounds| bounds.len()), Some(MAX_SPANS + 1));
        assert_eq!(spans(most + 1), None);
        assert_eq!(spans(0), Some(vec![from]));
    }
}
