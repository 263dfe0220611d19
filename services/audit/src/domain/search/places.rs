//! A set of places in one run.

use super::Level;

const WORD: u32 = u64::BITS;

/// Places of a run, counted from its first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Places {
    words: Vec<u64>,
}

impl Places {
    /// None of a run of this level.
    pub(crate) fn none(level: Level) -> Self {
        let words = usize::try_from(level.span() / i64::from(WORD)).unwrap_or(0);
        Self {
            words: vec![0; words],
        }
    }

    /// Puts a place in; `false` where the run hasn't that place.
    pub(crate) fn insert(&mut self, place: u32) -> bool {
        let word = self.words.get_mut((place / WORD) as usize);
        word.map(|word| *word |= 1 << (place % WORD)).is_some()
    }

    /// Puts in the places of the bits that are set, the first bit for the first place.
    pub(crate) fn insert_words(&mut self, words: impl Iterator<Item = u64>) {
        for (into, word) in self.words.iter_mut().zip(words) {
            *into |= word;
        }
    }

    /// Keeps those that the other has too.
    pub(crate) fn keep(&mut self, other: &Self) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word &= other;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// From the last to the first.
    pub(crate) fn backwards(&self) -> impl Iterator<Item = u32> + '_ {
        let words = self.words.iter().enumerate().rev();
        words.flat_map(|(n, word)| {
            // A run has fewer places than a u32 counts.
            let n = n as u32;
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = left.checked_ilog2()?;
                left ^= 1 << bit;
                Some(n * WORD + bit)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_from_the_last_to_the_first_and_none_is_beyond_the_run() {
        let mut places = Places::none(Level::Short);
        for place in [0, 63, 64, 4_095, 7] {
            assert!(places.insert(place));
        }
        assert!(!places.insert(4_096));
        assert!(places.backwards().eq([4_095, 64, 63, 7, 0]));
        let mut other = Places::none(Level::Short);
        assert!(other.is_empty() && other.insert(63) && other.insert(1));
        places.keep(&other);
        assert!(places.backwards().eq([63]));
    }
}
