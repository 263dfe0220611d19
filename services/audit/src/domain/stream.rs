//! What the log takes of a source's stream: each number once, in order, without a gap.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tenantry_core::TenantId;

/// Epoch of a stream that no alarm has stopped.
pub(crate) const FIRST_EPOCH: i32 = 1;

/// How far the log has one source's events of one tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) epoch: i32,
    /// The number that the epoch began with. What came before it, an operator has decided about.
    pub(crate) first_n: i64,
    /// Number of the last event that was taken; the one before the epoch's first where none was.
    pub(crate) last_n: i64,
    /// The place of its last event in the tenant's log; -1 where it has none.
    pub(crate) last_index: i64,
    /// The number at which an alarm has stopped it.
    pub(crate) stopped_n: Option<i64>,
}

/// One source's stream of one tenant, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stream {
    pub(crate) source: String,
    pub(crate) tenant: TenantId,
    pub(crate) epoch: i32,
    pub(crate) expected_n: i64,
    pub(crate) stopped_n: Option<i64>,
    pub(crate) stopped_at: Option<Timestamp>,
}

/// Where a page of stopped streams was cut.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Position {
    pub(crate) stopped_at: Timestamp,
    pub(crate) tenant: TenantId,
    pub(crate) source: String,
}

impl Default for Source {
    fn default() -> Self {
        Self {
            epoch: FIRST_EPOCH,
            first_n: 1,
            last_n: 0,
            last_index: -1,
            stopped_n: None,
        }
    }
}

/// What becomes of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// So many at its beginning were taken before and are to be held against what was; the others are new.
    Take { known: usize },
    /// Others must come first.
    Gap,
    /// Nothing is taken: an alarm has stopped the stream.
    Stopped,
}

impl Source {
    /// The number that is taken next.
    pub(crate) const fn expected(self) -> i64 {
        self.last_n + 1
    }

    /// Decides about so many events, the first of this number.
    pub(crate) fn decide(self, first_n: i64, count: usize) -> Decision {
        if self.stopped_n.is_some() {
            return Decision::Stopped;
        }
        if first_n > self.expected() {
            return Decision::Gap;
        }
        let known = usize::try_from(self.expected() - first_n).unwrap_or(usize::MAX);
        Decision::Take {
            known: known.min(count),
        }
    }

    /// The state in a new epoch that begins with this number, or where the alarm stopped it. `None` for a number behind what would
    /// be skipped by mistake: an operator leaves out one event that can't be read, and no others that are still to come.
    pub(crate) fn resumed(self, first_n: Option<i64>) -> Option<Self> {
        let stopped_n = self.stopped_n?;
        let first_n = first_n.unwrap_or(stopped_n);
        (1..=self.expected() + 1)
            .contains(&first_n)
            .then_some(Self {
                epoch: self.epoch + 1,
                first_n,
                last_n: first_n - 1,
                stopped_n: None,
                ..self
            })
    }

    /// The state once so many more were taken, at the end of the log, which has this size then.
    pub(crate) fn after(self, taken: usize, size: i64) -> Self {
        if taken == 0 {
            return self;
        }
        Self {
            last_n: self.last_n + i64::try_from(taken).unwrap_or(i64::MAX),
            last_index: size - 1,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_taken_once_and_in_order() {
        let source = Source {
            last_n: 5,
            ..Source::default()
        };
        for (first, count, expected) in [
            (6, 3, Decision::Take { known: 0 }),
            (4, 3, Decision::Take { known: 2 }),
            (4, 2, Decision::Take { known: 2 }),
            (1, 2, Decision::Take { known: 2 }),
            (7, 1, Decision::Gap),
            (i64::MAX, 1, Decision::Gap),
        ] {
            assert_eq!(source.decide(first, count), expected, "{first} {count}");
        }
        let stopped = Source {
            stopped_n: Some(3),
            ..source
        };
        assert_eq!(stopped.decide(6, 1), Decision::Stopped);
        let again = stopped.resumed(None).unwrap();
        assert_eq!((again.epoch, again.expected()), (2, 3), "where it differed");
        assert_eq!(
            stopped.resumed(Some(7)).unwrap().expected(),
            7,
            "one left out"
        );
        for wrong in [0, -1, 8, i64::MAX] {
            assert_eq!(stopped.resumed(Some(wrong)), None, "{wrong}");
        }
        assert_eq!(source.resumed(None), None);
        let after = source.after(3, 20);
        assert_eq!((after.expected(), after.last_index), (9, 19));
        assert_eq!(after.after(0, 30), after, "others came");
    }
}
