//! What the log is searched by: inverted runs. A run is some thousand consecutive events of one log, or of all logs together,
//! and has for each term the places of the events that have it. So what one filter finds, however rare, is one small row of
//! each run and term, whatever else the log holds.
//!
//! Two sizes: a short run is made as soon as its last event is there, so that little of a log's end is left to read in order,
//! and so many short ones become a long one, so that a large log has few. It is the rule of log-structured merges (O'Neil et
//! al., "The log-structured merge-tree", Acta Informatica 33, 1996), with two levels because each more writes all of it anew.
//!
//! Bit-sliced signatures (Faloutsos and Christodoulakis, 1984; BitFunnel, SIGIR 2017) were measured beside it, over events
//! with 46 terms: 256 bytes an event, four rows for a term of each run, and of 10 million events 800 that seem to have a term
//! which none has; inverted runs take 72 to 89 bytes, one row, and are exact. That inverted files win so was found before
//! (Zobel, Moffat and Ramamohanarao, "Inverted files versus signature files for text indexing", ACM TODS 23, 1998).

pub(crate) mod places;
pub(crate) mod postings;
pub(crate) mod times;
pub(crate) mod way;

use uuid::Uuid;

use super::query::Scope;

/// How long a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Short,
    Long,
}

impl Level {
    /// The places of a run. A short one costs as much to read in order as is borne at the end of each log; the migration
    /// counts the same.
    pub(crate) const fn span(self) -> i64 {
        match self {
            Self::Short => 4_096,
            Self::Long => 262_144,
        }
    }

    /// The number of a level as its column has it.
    pub(crate) const fn number(self) -> i16 {
        match self {
            Self::Short => 0,
            Self::Long => 1,
        }
    }

    /// The level of this number.
    pub(crate) const fn of(number: i16) -> Self {
        match number {
            0 => Self::Short,
            _ => Self::Long,
        }
    }
}

/// How many short runs become a long one.
pub(crate) const SHORT_IN_LONG: i64 = Level::Long.span() / Level::Short.span();

/// A run of one scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) level: Level,
    /// The place behind its last one.
    pub(crate) until: i64,
}

impl Run {
    /// The run of this level that a place is in.
    pub(crate) const fn of(level: Level, place: i64) -> Self {
        let until = (place / level.span() + 1) * level.span();
        Self { level, until }
    }

    /// Its first place.
    pub(crate) const fn first(self) -> i64 {
        self.until - self.level.span()
    }

    /// The long run that this one is, or is a part of.
    pub(crate) const fn long(self) -> Self {
        Self::of(Level::Long, self.first())
    }

    /// The short runs that a long one is made of.
    pub(crate) fn parts(self) -> impl Iterator<Item = Self> {
        let span = Level::Short.span();
        (0..SHORT_IN_LONG).map(move |n| Self::of(Level::Short, self.first() + n * span))
    }

    /// The short run that this place is the last of: it can be made.
    pub(crate) const fn filled_by(place: i64) -> Option<Self> {
        let run = Self::of(Level::Short, place);
        if place == run.until - 1 {
            Some(run)
        } else {
            None
        }
    }
}

/// What names a scope in the rows of runs: the tenant, or for all logs together the greatest UUID, which no tenant has.
pub(crate) const fn key(scope: Scope) -> Uuid {
    match scope {
        Scope::Log(tenant) => tenant.uuid(),
        Scope::All => Uuid::max(),
    }
}

/// What a run's rows say isn't what was ever written there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a run of the search is damaged")]
pub(crate) struct Damaged;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_is_in_one_run_of_each_level_and_the_last_one_fills_it() {
        let span = Level::Short.span();
        for (place, until) in [(0, span), (span - 1, span), (span, 2 * span)] {
            let run = Run::of(Level::Short, place);
            assert_eq!(run.until, until);
            assert!((run.first()..run.until).contains(&place));
            assert_eq!(run.long(), Run::of(Level::Long, place));
            assert_eq!(Run::filled_by(place).is_some(), place == span - 1);
        }
        assert_eq!(SHORT_IN_LONG * span, Level::Long.span());
    }
}
