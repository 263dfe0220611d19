//! What the log takes of a source's stream: each number once, in order, without a gap.

/// Epoch of a stream that no alarm has stopped.
pub(crate) const FIRST_EPOCH: i32 = 1;

/// How far the log has one source's events of one tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) epoch: i32,
    /// Number of the last event that was taken; 0 before the first.
    pub(crate) last_n: i64,
    /// Whether an alarm has stopped it.
    pub(crate) stopped: bool,
}

impl Default for Source {
    fn default() -> Self {
        Self {
            epoch: FIRST_EPOCH,
            last_n: 0,
            stopped: false,
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
        if self.stopped {
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

    /// The state once so many more were taken.
    pub(crate) fn after(self, taken: usize) -> Self {
        Self {
            last_n: self.last_n + i64::try_from(taken).unwrap_or(i64::MAX),
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
            stopped: true,
            ..source
        };
        assert_eq!(stopped.decide(6, 1), Decision::Stopped);
        assert_eq!(source.after(3).expected(), 9);
    }
}
