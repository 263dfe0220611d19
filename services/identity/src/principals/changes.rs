//! What changed of principals lately, as identity's own feed tells it: every replica follows the changes of all.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tenantry_core::event::{Event, Outcome};
use tenantry_store::feed::{Head, Read, Tail};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How long a change is remembered: longer than any entry that it could make void.
const REMEMBERED: Duration = Duration::from_secs(90);
/// Most changes remembered; beyond it, all entries older than the newest change are void at once.
const MOST: usize = 500_000;
/// What it tells of is new with it: nothing that is remembered of that is older.
const OF_NEW: &str = "session.started";
/// Age of a feed that was never read.
const NEVER: Duration = Duration::from_secs(365 * 86_400);

/// The latest changes by subject.
#[derive(Debug, Default)]
pub(super) struct Changes {
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Last place in the feed that was applied; none before the first reading.
    position: Option<i64>,
    /// When everything up to the position was all there was.
    fresh: Option<Instant>,
    /// Entries filled before this place are void.
    floor: i64,
    /// Place of the last change of each subject.
    last: HashMap<Uuid, i64>,
    order: VecDeque<(Instant, Uuid, i64)>,
}

impl Changes {
    /// Place in the feed up to which changes are applied.
    pub(super) fn position(&self) -> Option<i64> {
        self.read().position
    }

    /// Whether none of the subjects changed behind this place.
    pub(super) fn hold(&self, filled_at: i64, subjects: &[Uuid]) -> bool {
        let state = self.read();
        filled_at >= state.floor
            && subjects
                .iter()
                .all(|subject| state.last.get(subject).is_none_or(|at| *at <= filled_at))
    }

    /// How old what is known of changes is.
    pub(super) fn age(&self) -> Duration {
        self.read().fresh.map_or(NEVER, |at| at.elapsed())
    }

    /// Follows the feed until cancelled. While the database doesn't answer, what is known grows old, which readers see.
    pub(super) async fn follow(self: Arc<Self>, tail: Tail, cancel: CancellationToken) {
        let mut ticks = tail.ticks();
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                ticked = ticks.changed() => if ticked.is_err() { return },
            }
            let head = *ticks.borrow_and_update();
            if let Err(error) = self.apply_up_to(&tail, head).await {
                tracing::warn!(error = %error, "changes of principals can't be read");
            }
        }
    }

    async fn apply_up_to(&self, tail: &Tail, head: Head) -> Result<(), tenantry_store::Error> {
        let mut position = match self.position() {
            Some(position) => position,
            None => {
                self.restart(head.head);
                head.head
            }
        };
        while position < head.head {
            match tail.after(position, None).await? {
                Read::Items(items, next) => {
                    let changed = items
                        .iter()
                        .filter(|item| changes_something(&item.event))
                        .map(|item| (item.event.resource.id, item.feed_n));
                    self.apply(changed, next);
                    if next == position {
                        break;
                    }
                    position = next;
                }
                Read::TooOld => {
                    self.restart(head.head);
                    position = head.head;
                }
            }
        }
        if position >= head.head {
            self.write().fresh = Instant::now().checked_sub(head.age());
        }
        Ok(())
    }

    /// Forgets all, because changes may have been missed.
    fn restart(&self, position: i64) {
        let mut state = self.write();
        state.position = Some(position);
        state.floor = position;
        state.last.clear();
        state.order.clear();
    }

    fn apply(&self, changed: impl Iterator<Item = (Uuid, i64)>, position: i64) {
        let now = Instant::now();
        let mut state = self.write();
        for (subject, at) in changed {
            state.last.insert(subject, at);
            state.order.push_back((now, subject, at));
        }
        state.position = Some(position);
        while let Some(&(when, subject, at)) = state.order.front()
            && now.duration_since(when) > REMEMBERED
        {
            state.order.pop_front();
            if state.last.get(&subject) == Some(&at) {
                state.last.remove(&subject);
            }
        }
        if state.order.len() > MOST {
            state.floor = position;
            state.last.clear();
            state.order.clear();
        }
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether what is remembered of the event's resource may be otherwise since. An attempt that didn't succeed changed nothing.
fn changes_something(event: &Event) -> bool {
    event.outcome == Outcome::Success && event.action != OF_NEW
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_void_once_a_subject_of_it_changes_behind_its_filling() {
        let changes = Changes::default();
        let (user, session) = (Uuid::from_u128(1), Uuid::from_u128(2));
        changes.restart(10);
        assert!(changes.hold(10, &[session, user]));
        assert!(
            !changes.hold(9, &[session]),
            "filled before the feed was followed"
        );
        changes.apply([(user, 11)].into_iter(), 11);
        assert!(
            !changes.hold(10, &[session, user]),
            "the read may have come before the change"
        );
        assert!(changes.hold(11, &[session, user]), "filled anew");
        assert!(changes.hold(10, &[session]), "of someone else");
        changes.restart(20);
        assert!(!changes.hold(11, &[session]));
    }
}
