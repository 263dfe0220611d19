//! The one seam for the time of day.

use jiff::Timestamp;

/// The present instant, by this machine's clock.
///
/// Order between changes never rests on it: events are timed and numbered by the database.
#[must_use]
#[allow(clippy::disallowed_methods)]
pub fn now() -> Timestamp {
    Timestamp::now()
}
