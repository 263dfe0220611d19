//! The one seam for the time of day.

use jiff::Timestamp;

/// The present instant, by this machine's clock, as a row keeps it: an answer, its event and a later reading then agree.
///
/// Order between changes never rests on it: events are timed and numbered by the database.
#[must_use]
#[allow(clippy::disallowed_methods)]
pub fn now() -> Timestamp {
    as_stored(Timestamp::now())
}

/// An instant as a row keeps it: Postgres counts microseconds.
#[must_use]
pub fn as_stored(at: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_has_no_more_digits_than_its_row() {
        let fine: Timestamp = "2026-01-31T12:00:00.123456789Z".parse().unwrap();
        let kept = as_stored(fine);
        assert_eq!(kept.to_string(), "2026-01-31T12:00:00.123456Z");
        assert_eq!(as_stored(kept), kept);
        let now = now();
        assert_eq!(as_stored(now), now);
    }
}
