//! Reset periods, and the windows of time that they make of a tenant's time zone.

use std::iter::successors;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use serde::{Deserialize, Serialize};
use tenantry_core::Window;

const NANOS_PER_MINUTE: i128 = 60_000_000_000;
const NANOS_PER_HOUR: i128 = 60 * NANOS_PER_MINUTE;

/// Over which span usage is counted before it begins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ResetPeriod {
    /// A month of the calendar, where the tenant is.
    Month,
    /// A day of the calendar, where the tenant is: as long as the clocks there make it.
    Day,
    /// An hour since the epoch of Unix.
    Hour,
    /// A minute since the epoch of Unix.
    Minute,
    /// It doesn't begin anew.
    Never,
}

impl ResetPeriod {
    /// All of them.
    pub(crate) const ALL: &[Self] = &[
        Self::Month,
        Self::Day,
        Self::Hour,
        Self::Minute,
        Self::Never,
    ];

    /// The word, as the API and rows have it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Month => "month",
            Self::Day => "day",
            Self::Hour => "hour",
            Self::Minute => "minute",
            Self::Never => "never",
        }
    }

    /// Whether it is that of a gauge.
    pub(crate) const fn is_never(self) -> bool {
        matches!(self, Self::Never)
    }

    /// The window that `now` lies in, for a tenant in this time zone. `last_end` is the end, not after `now`, of the window that
    /// was opened last for the same limit: that one lasted until then although the zone may have changed meanwhile, so the new
    /// one doesn't begin before; where less than half of it is left, it lasts until the one behind ends. What never resets begins at the epoch of Unix all the same.
    ///
    /// Where a window reaches beyond what a `Timestamp` can be, it begins or ends at the least or greatest.
    pub(crate) fn window(
        self,
        zone: &TimeZone,
        now: Timestamp,
        last_end: Option<Timestamp>,
    ) -> Window {
        let today = zone.to_datetime(now).date();
        let Window { start, end } = match self {
            Self::Month => {
                let next = |first: &Date| first.last_of_month().tomorrow().ok();
                calendar(zone, now, successors(Some(today.first_of_month()), next))
            }
            Self::Day => {
                let next = |date: &Date| date.tomorrow().ok();
                calendar(zone, now, successors(Some(today), next))
            }
            Self::Hour => since_epoch(now, NANOS_PER_HOUR),
            Self::Minute => since_epoch(now, NANOS_PER_MINUTE),
            Self::Never => {
                return Window {
                    start: Timestamp::UNIX_EPOCH,
                    end: None,
                };
            }
        };
        let Some(last_end) = last_end.filter(|last_end| *last_end <= now && *last_end > start)
        else {
            return Window { start, end };
        };
        // Of a short rest nobody has a whole limit: else whoever moves their zone on and on would have many.
        let end = end.and_then(|end| {
            let (rest, whole) = (end.duration_since(last_end), end.duration_since(start));
            let short = rest < whole - rest;
            if short {
                self.window(zone, end, None).end
            } else {
                Some(end)
            }
        });
        Window {
            start: last_end,
            end,
        }
    }
}

/// A word that names no reset period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnknownPeriod;

impl FromStr for ResetPeriod {
    type Err = UnknownPeriod;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .copied()
            .find(|period| period.word() == text)
            .ok_or(UnknownPeriod)
    }
}

/// The window around `now` that reaches from the beginning of one of these dates to that of the next. They begin with the one
/// that the calendar shows now; where clocks were set back over midnight, the next may have begun already all the same.
fn calendar(zone: &TimeZone, now: Timestamp, dates: impl Iterator<Item = Date>) -> Window {
    let mut start = Timestamp::MIN;
    for instant in dates.filter_map(|date| beginning(zone, date)) {
        if instant > now {
            return Window {
                start,
                end: Some(instant),
            };
        }
        start = instant;
    }
    Window {
        start,
        end: Some(Timestamp::MAX),
    }
}

/// The first instant at which the calendar shows this date or, where it is skipped, a later one. `None` if that is beyond what a
/// `Timestamp` can be.
fn beginning(zone: &TimeZone, date: Date) -> Option<Timestamp> {
    let midnight = date.to_datetime(Time::midnight());
    match zone.to_ambiguous_timestamp(midnight).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(midnight).ok(),
        // Midnight comes twice.
        AmbiguousOffset::Fold { before, .. } => before.to_timestamp(midnight).ok(),
        // Clocks are set forward over midnight; counted back from where they are then, it lies just before that.
        AmbiguousOffset::Gap { after, .. } => {
            let before_gap = after.to_timestamp(midnight).ok()?;
            let gap = zone.following(before_gap).next()?;
            Some(gap.timestamp())
        }
    }
}

/// The window around `now` between multiples of a length since the epoch of Unix.
fn since_epoch(now: Timestamp, nanos: i128) -> Window {
    let start = now.as_nanosecond().div_euclid(nanos) * nanos;
    Window {
        start: Timestamp::from_nanosecond(start).unwrap_or(Timestamp::MIN),
        end: Some(Timestamp::from_nanosecond(start + nanos).unwrap_or(Timestamp::MAX)),
    }
}

#[cfg(test)]
mod tests;
