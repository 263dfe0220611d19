//! Places that many share: so many in all, and so many for each holder, so that no holder takes those of the others. Beyond
//! either bound there is an answer, not a queue.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tenantry_core::Refusal;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Places, and who holds how many of them. What is kept is bounded by the places themselves.
#[derive(Debug)]
pub struct Places<K> {
    free: Arc<Semaphore>,
    taken: Arc<Mutex<HashMap<K, usize>>>,
    most_of_one: usize,
}

/// Which bound was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// All places are taken.
    ForAll,
    /// The holder has as many as one may, which is so many.
    ForOne(usize),
}

impl Full {
    /// The refusal: of what there are too many under way, in words like `streams`, and whose they are, as `of this tenant`.
    #[must_use]
    pub fn refusal(self, what: &str, whose: &str) -> Refusal {
        Refusal::overloaded(match self {
            Self::ForAll => format!(
                "As many {what} as this replica takes at once are under way. Try again in a second; another replica may have room."
            ),
            Self::ForOne(most) => format!(
                "{most} {what} {whose} are under way here, as many as may be at once. Wait for one to end before you begin another."
            ),
        })
    }
}

impl<K: Clone + Eq + Hash> Places<K> {
    /// So many places, so many of them for one holder.
    pub fn new(most: usize, most_of_one: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(most)),
            taken: Arc::default(),
            most_of_one,
        }
    }

    /// One more place for this holder, free again once it is dropped.
    pub fn take(&self, holder: K) -> Result<Place<K>, Full> {
        let permit = Arc::clone(&self.free).try_acquire_owned();
        let permit = permit.map_err(|_| Full::ForAll)?;
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(holder.clone()).or_default();
        if *count >= self.most_of_one {
            return Err(Full::ForOne(self.most_of_one));
        }
        *count += 1;
        Ok(Place {
            taken: Arc::clone(&self.taken),
            holder,
            _permit: permit,
        })
    }
}

impl<K> Clone for Places<K> {
    fn clone(&self) -> Self {
        Self {
            free: Arc::clone(&self.free),
            taken: Arc::clone(&self.taken),
            most_of_one: self.most_of_one,
        }
    }
}

/// One taken place.
#[derive(Debug)]
pub struct Place<K: Eq + Hash> {
    taken: Arc<Mutex<HashMap<K, usize>>>,
    holder: K,
    _permit: OwnedSemaphorePermit,
}

impl<K: Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.holder) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.holder);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_takes_its_share_and_all_together_take_all() {
        let places = Places::new(3, 2);
        let mut of_a = vec![places.take("a").unwrap(), places.take("a").unwrap()];
        assert_eq!(places.take("a").unwrap_err(), Full::ForOne(2));
        let of_b = places.take("b").unwrap();
        assert_eq!(places.take("c").unwrap_err(), Full::ForAll);
        of_a.pop();
        assert!(places.take("a").is_ok());
        drop((of_a, of_b));
        assert!(places.taken.lock().unwrap().is_empty(), "nobody is kept");
        assert_eq!(places.free.available_permits(), 3);
    }
}
