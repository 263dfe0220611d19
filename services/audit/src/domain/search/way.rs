//! How a run is searched for what a filter asks.

use jiff::{SignedDuration, Timestamp};

use crate::domain::query::Filter;

/// How far the database's clock may be set back: events that come later have at most so much earlier a time.
pub(crate) const CLOCK_SLACK: SignedDuration = SignedDuration::from_hours(24);

/// From when to when, both included.
pub(crate) type Between = (Timestamp, Timestamp);

/// What a run says of its events besides their terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) events: i32,
    /// When they came.
    pub(crate) came: Between,
    /// When they happened.
    pub(crate) happened: Between,
}

/// How it is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Nothing in it can be what is sought.
    Skip,
    /// Everything in it may be: its events are read in their order.
    Order,
    /// By its postings, and where `times` is set by the times of its events.
    Look { times: bool },
}

impl Contents {
    /// How to search a run for what a filter asks of the events that came since an instant; `None` for one without any.
    pub(crate) fn way(of: Option<&Self>, filter: &Filter, since: Timestamp) -> Way {
        let Some(contents) = of else {
            return Way::Skip;
        };
        let (first, last) = contents.happened;
        let too_early = filter.start.is_some_and(|start| last < start);
        let too_late = filter.end.is_some_and(|end| first >= end);
        if contents.came.1 < since || too_early || too_late {
            return Way::Skip;
        }
        let begins_before = filter.start.is_some_and(|start| first < start);
        let ends_after = filter.end.is_some_and(|end| last >= end);
        let times = begins_before || ends_after;
        if filter.terms.is_empty() && !times {
            Way::Order
        } else {
            Way::Look { times }
        }
    }
}

/// The same, with the instants that a clock that was set back may have given to what came behind or before.
pub(crate) fn earliest(at: Timestamp) -> Timestamp {
    at.checked_sub(CLOCK_SLACK).unwrap_or(Timestamp::MIN)
}

/// The latest instant that what came before this one may have.
pub(crate) fn latest(at: Timestamp) -> Timestamp {
    at.checked_add(CLOCK_SLACK).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_searched_only_as_far_as_it_can_have_what_is_sought() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let contents = Contents {
            events: 4_096,
            came: (at(1_000), at(2_000)),
            happened: (at(900), at(1_900)),
        };
        let look = |times| Way::Look { times };
        let within = |start, end| Filter {
            start: Option::map(start, at),
            end: Option::map(end, at),
            ..Filter::default()
        };
        for (start, end, without_terms, with_terms) in [
            (None, None, Way::Order, look(false)),
            (Some(900), Some(1_901), Way::Order, look(false)),
            (Some(901), None, look(true), look(true)),
            (None, Some(1_900), look(true), look(true)),
            (Some(1_901), None, Way::Skip, Way::Skip),
            (None, Some(900), Way::Skip, Way::Skip),
        ] {
            let mut filter = within(start, end);
            let way = |filter: &Filter, since| Contents::way(Some(&contents), filter, at(since));
            assert_eq!(way(&filter, 2_000), without_terms, "{start:?} {end:?}");
            filter.terms.push(7);
            assert_eq!(way(&filter, 2_000), with_terms, "{start:?} {end:?}");
            assert_eq!(way(&filter, 2_001), Way::Skip, "it came before");
        }
        assert_eq!(Contents::way(None, &Filter::default(), at(0)), Way::Skip);
    }
}
