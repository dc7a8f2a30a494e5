//! Counts in use by key, with a bound for each key.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The number of open items by key; clones are the same count. Items that no limit bounds are counted,
/// too, so that a later limit finds the true number. There are never more keys than permits.
///
/// One mutex is enough: it is held for one look-up when a permit is taken and once when it is
/// dropped. Both happen once a connection, and a connection costs a thousand times as much.
#[derive(Debug)]
pub struct KeyedCounter<K: Eq + Hash>(Arc<Mutex<HashMap<K, u32>>>);

/// Counts one open item of its key until it is dropped. It moves along with the item.
#[derive(Debug)]
#[must_use = "the item is no longer counted when the permit is dropped"]
pub struct KeyedPermit<K: Eq + Hash> {
    counts: KeyedCounter<K>,
    key: K,
}

/// The limit of a key is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{open} are open, and {most} may be")]
pub struct Full {
    /// The number of open items; above `most` if the limit was lowered meanwhile.
    pub open: u32,
    /// The limit.
    pub most: u32,
}

impl<K: Eq + Hash> KeyedPermit<K> {
    /// The key that the permit counts for.
    pub fn key(&self) -> &K {
        &self.key
    }
}

impl<K: Eq + Hash> Default for KeyedCounter<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Eq + Hash> Clone for KeyedCounter<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Eq + Hash + Clone> KeyedCounter<K> {
    /// Takes one more permit of `key` if fewer than `most` are open.
    ///
    /// # Errors
    /// The number of open ones and the bound.
    pub fn take(&self, key: K, most: u32) -> Result<KeyedPermit<K>, Full> {
        let mut counts = self.locked();
        let open = counts.get(&key).copied().unwrap_or(0);
        if open >= most {
            return Err(Full { open, most });
        }
        counts.insert(key.clone(), open + 1);
        drop(counts);
        Ok(KeyedPermit { counts: self.clone(), key })
    }
}

impl<K: Eq + Hash> KeyedCounter<K> {
    /// The number of open permits of `key`.
    #[must_use]
    pub fn open(&self, key: &K) -> u32 {
        self.locked().get(key).copied().unwrap_or(0)
    }

    /// The number of keys with an open permit.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.locked().len()
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<K, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Drop for KeyedPermit<K> {
    fn drop(&mut self) {
        let mut counts = self.counts.locked();
        match counts.get_mut(&self.key) {
            Some(open) if *open > 1 => *open -= 1,
            _ => drop(counts.remove(&self.key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::{Full, KeyedCounter, KeyedPermit};

    #[test]
    fn the_limit_is_the_last_that_fits() {
        let counts = KeyedCounter::default();
        let first = counts.take("a", 2).unwrap();
        let _second = counts.take("a", 2).unwrap();
        let full = counts.take("a", 2).unwrap_err();
        assert_eq!(full, Full { open: 2, most: 2 });
        assert_eq!(counts.open(&"a"), 2, "a refused one is not counted");
        let _other = counts.take("b", 2).unwrap();
        drop(first);
        let _third = counts.take("a", 2).unwrap();
        assert_eq!(counts.open(&"a"), 2);
    }

    #[test]
    fn permits_are_counted_without_a_limit() {
        let counts = KeyedCounter::default();
        let permits: Vec<_> = (0..5).map(|_| counts.take("a", u32::MAX).unwrap()).collect();
        let full = counts.take("a", 3).unwrap_err();
        assert_eq!(full.open, 5);
        drop(permits);
        assert!(counts.take("a", 3).is_ok());
    }

    #[test]
    fn a_key_is_removed_with_its_last_permit() {
        let counts = KeyedCounter::default();
        let permits: Vec<_> =
            (0..1000).map(|key| counts.take(key / 2, u32::MAX).unwrap()).collect();
        assert_eq!(counts.keys(), 500);
        drop(permits);
        assert_eq!((counts.keys(), counts.open(&7)), (0, 0));
    }

    #[test]
    fn a_permit_is_send_and_outlives_its_counter() {
        fn movable<T: Send + 'static>(value: T) -> T {
            value
        }
        let counts = KeyedCounter::default();
        let permit: KeyedPermit<&str> = movable(counts.take("a", u32::MAX).unwrap());
        let other = counts.clone();
        drop(counts);
        thread::spawn(move || drop(permit)).join().unwrap();
        assert_eq!(other.keys(), 0);
    }

    #[test]
    fn concurrent_takes_never_exceed_the_limit() {
        let counts = KeyedCounter::default();
        let taken = thread::scope(|scope| {
            let take = || (0..100).filter_map(|_| counts.take("a", 50).ok()).collect();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
            threads.into_iter().map(|one| one.join().unwrap()).collect::<Vec<Vec<_>>>()
        });
        assert_eq!(taken.iter().map(Vec::len).sum::<usize>(), 50);
    }
}
