//! When leases are admitted from.

use std::time::Duration;

use jiff::Timestamp;
use tenantry_core::Window;
use tokio::time::Instant;

/// Redis tells its time in whole milliseconds: it may be so much later.
const TOLD_WITHIN: Duration = Duration::from_millis(1);
/// Longest that a lease is admitted from while Redis doesn't answer.
const LASTS: Duration = Duration::from_secs(86_400);

/// When a lease is admitted from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) began: Instant,
    pub(super) ends: Instant,
    /// Till when it may be prolonged: the end of the shortest of its windows.
    pub(super) most: Instant,
}

/// When a lease is admitted from that was asked for at `sent`, lives so long, and was taken when it was `now` by Redis's clock: no
/// longer than the shortest of its windows. It counts from before the call was sent, so it is over before Redis's clock says so.
pub(super) fn span(
    (sent, lives): (Instant, Duration),
    now: Timestamp,
    windows: impl Iterator<Item = Window>,
) -> Span {
    let left = windows.filter_map(|window| {
        let left = window.end?.duration_since(now);
        let left = Duration::try_from(left).unwrap_or_default();
        Some(left.saturating_sub(TOLD_WITHIN))
    });
    let most = left.min().unwrap_or(LASTS).min(LASTS);
    Span {
        began: sent,
        ends: sent + lives.min(most),
        most: sent + most,
    }
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan as _;

    use super::super::LIVES_FOR;
    use super::*;

    #[test]
    fn it_is_over_before_redis_says_that_its_window_is() {
        let sent = Instant::now();
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let till = |ms: i64| Window {
            start: now - 1.hour(),
            end: Some(now + ms.milliseconds()),
        };
        let lives_ms = |windows: &[Window]| {
            let span = span((sent, LIVES_FOR), now, windows.iter().copied());
            span.ends.duration_since(sent).as_millis()
        };
        assert_eq!(lives_ms(&[till(3_600_000)]), LIVES_FOR.as_millis());
        assert_eq!(lives_ms(&[till(501)]), 500);
        assert_eq!(lives_ms(&[till(500)]), 499);
        assert_eq!(lives_ms(&[till(3_600_000), till(40)]), 39);
        assert_eq!(lives_ms(&[till(1)]), 0);
        assert_eq!(lives_ms(&[till(-5)]), 0);
    }
}
