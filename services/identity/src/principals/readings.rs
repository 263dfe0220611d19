//! Readings that those share who want the same at the same time. One of each thing is under way at once; whoever comes meanwhile
//! shares the next, which began after they came, so that it tells them what was so then. Nobody waits for the readings of
//! another thing.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tenantry_rpc::places::Full;

/// Readings by what is read. What is kept is bounded by those who wait.
#[derive(Debug)]
pub(super) struct Readings<K, V> {
    under_way: Mutex<Crowds<K, V>>,
    most_of_one: usize,
}

/// How many wait for each thing, and in which line.
type Crowds<K, V> = HashMap<K, (usize, Arc<Line<V>>)>;

/// The line of those who wait for one thing.
#[derive(Debug)]
struct Line<V> {
    /// Readings that have begun.
    begun: AtomicU64,
    /// Number and outcome of the last one that was answered. It is locked by whoever reads.
    last: tokio::sync::Mutex<Option<(u64, V)>>,
}

impl<V> Default for Line<V> {
    fn default() -> Self {
        Self {
            begun: AtomicU64::new(0),
            last: tokio::sync::Mutex::new(None),
        }
    }
}

impl<K: Clone + Eq + Hash, V: Clone> Readings<K, V> {
    /// Readings, for so many waiting for one thing.
    pub(super) fn new(most_of_one: usize) -> Self {
        Self {
            under_way: Mutex::default(),
            most_of_one,
        }
    }

    /// What a reading tells that begins from now on: `read`, if no other does. `Err` where as many wait for it as may.
    /// Cancel-safe: the reading of one who gives up is begun again by the next.
    pub(super) async fn share<E>(
        &self,
        key: K,
        read: impl Future<Output = Result<V, E>>,
    ) -> Result<Result<V, E>, Full> {
        let waiting = self.join(key)?;
        let line = &waiting.line;
        let began_before = line.begun.load(Ordering::Acquire);
        let mut last = line.last.lock().await;
        if let Some((number, told)) = &*last
            && *number > began_before
        {
            return Ok(Ok(told.clone()));
        }
        let number = line.begun.fetch_add(1, Ordering::AcqRel) + 1;
        let told = read.await;
        if let Ok(told) = &told {
            *last = Some((number, told.clone()));
        }
        Ok(told)
    }

    fn join(&self, key: K) -> Result<Waiting<'_, K, V>, Full> {
        let mut under_way = self.locked();
        let (waiting, line) = under_way.entry(key.clone()).or_default();
        if *waiting >= self.most_of_one {
            return Err(Full::ForOne(self.most_of_one));
        }
        *waiting += 1;
        let line = Arc::clone(line);
        Ok(Waiting {
            readings: self,
            key,
            line,
        })
    }

    fn locked(&self) -> MutexGuard<'_, Crowds<K, V>> {
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// One who waits.
struct Waiting<'a, K: Clone + Eq + Hash, V: Clone> {
    readings: &'a Readings<K, V>,
    key: K,
    line: Arc<Line<V>>,
}

impl<K: Clone + Eq + Hash, V: Clone> Drop for Waiting<'_, K, V> {
    fn drop(&mut self) {
        if let Entry::Occupied(mut entry) = self.readings.locked().entry(self.key.clone()) {
            entry.get_mut().0 -= 1;
            if entry.get().0 == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::convert::Infallible;
    use std::pin::pin;

    use futures::FutureExt as _;
    use futures::future::join_all;
    use tokio::sync::oneshot;

    use super::*;

    async fn tell(what: u32) -> Result<u32, Infallible> {
        Ok(what)
    }

    #[tokio::test]
    async fn those_who_come_while_one_reads_share_the_next_and_it_began_after_they_came() {
        let readings = Readings::new(8);
        let (answer, answered) = oneshot::channel();
        let mut first = pin!(readings.share("one", answered));
        assert!(first.as_mut().now_or_never().is_none());
        let count = Cell::new(0);
        let read = || async {
            count.set(count.get() + 1);
            Ok::<_, oneshot::error::RecvError>(2)
        };
        let mut others = pin!(join_all((0..5).map(|_| readings.share("one", read()))));
        assert!(others.as_mut().now_or_never().is_none());
        answer.send(1).unwrap();
        assert_eq!(first.await, Ok(Ok(1)));
        let told = others.await;
        assert!(told.iter().all(|told| *told == Ok(Ok(2))), "{told:?}");
        assert_eq!(count.get(), 1);
        assert_eq!(readings.share("one", tell(3)).await, Ok(Ok(3)), "later");
        assert!(readings.locked().is_empty(), "nobody is kept");
    }

    #[tokio::test]
    async fn a_crowd_that_waits_for_one_thing_is_bounded_and_no_other_waits_for_it() {
        let readings = Readings::new(2);
        let hang = || readings.share("one", std::future::pending::<Result<u32, Infallible>>());
        let (mut reads, mut waits) = (Box::pin(hang()), Box::pin(hang()));
        assert!(reads.as_mut().now_or_never().is_none());
        assert!(waits.as_mut().now_or_never().is_none());
        assert_eq!(hang().await, Err(Full::ForOne(2)));
        let other = readings.share("other", tell(1)).now_or_never();
        assert_eq!(other, Some(Ok(Ok(1))));
        drop((reads, waits));
        let next = readings.share("one", tell(2)).now_or_never();
        assert_eq!(next, Some(Ok(Ok(2))), "who gave up is in nobody's way");
    }
}
