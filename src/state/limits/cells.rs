//! Storage for the keys of a rate limit: a map of bounded size.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use governor::clock::Clock;
use governor::nanos::Nanos;
use governor::state::StateStore;

/// The number of locks among which the keys are divided.
const SHARDS: usize = 16;
/// The number of cells that keys share when the map is full.
const OVERFLOW: usize = 1024;
/// The shortest time between two sweeps of a full shard, in nanoseconds.
const SWEEP_EVERY: u64 = 100_000_000;

/// Holds for each key the time since `start` at which its debt ends. A key without debt is like a
/// key never seen, and a sweep removes it.
///
/// When a shard is full of keys in debt, a new key shares an overflow cell with other new keys. The
/// hash is seeded with a secret of this process, so that a client cannot choose the keys with which
/// it shares a cell.
#[derive(Debug)]
pub(super) struct Cells<K, C> {
    clock: C,
    start: Nanos,
    hasher: RandomState,
    shards: Box<[Mutex<Shard<K>>]>,
    most_in_shard: usize,
    overflow: Box<[Mutex<Option<Nanos>>]>,
}

#[derive(Debug)]
struct Shard<K> {
    debts: HashMap<K, Nanos>,
    /// The earliest time of the next sweep for room.
    sweep_at: Nanos,
}

impl<K: Eq + Hash, C: Clock<Instant = Nanos>> Cells<K, C> {
    /// Creates cells for at most `most` keys, rounded down to a multiple of 16.
    pub(super) fn new(clock: C, most: usize) -> Self {
        let shard = || Mutex::new(Shard { debts: HashMap::new(), sweep_at: Nanos::default() });
        Self {
            start: clock.now(),
            clock,
            hasher: RandomState::new(),
            shards: std::iter::repeat_with(shard).take(SHARDS).collect(),
            most_in_shard: most / SHARDS,
            overflow: std::iter::repeat_with(Mutex::default).take(OVERFLOW).collect(),
        }
    }

    /// Removes the keys without debt.
    pub(super) fn sweep(&self) {
        let now = self.now();
        for shard in &self.shards {
            locked(shard).sweep(now);
        }
    }

    pub(super) fn has(&self, key: &K) -> bool {
        let hash = self.hasher.hash_one(key);
        locked(&self.shards[index(hash, SHARDS)]).debts.contains_key(key)
    }

    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| locked(shard).debts.len()).sum()
    }

    /// A few nanoseconds later than the limiter's time, since the limiter was created later.
    fn now(&self) -> Nanos {
        self.clock.now().saturating_sub(self.start)
    }

    fn shared<T, E>(
        &self,
        hash: u64,
        judge: impl Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    ) -> Result<T, E> {
        let mut cell = locked(&self.overflow[index(hash / SHARDS as u64, OVERFLOW)]);
        let (outcome, debt) = judge(*cell)?;
        *cell = Some(debt);
        Ok(outcome)
    }
}

impl<K: Eq + Hash> Shard<K> {
    fn sweep(&mut self, now: Nanos) {
        self.debts.retain(|_, debt| *debt > now);
        if self.debts.capacity() / 4 > self.debts.len() {
            self.debts.shrink_to(self.debts.len() * 2);
        }
        self.sweep_at = Nanos::from(now.as_u64().saturating_add(SWEEP_EVERY));
    }
}

/// The storage interface of [`Cells`] for the limiter.
#[derive(Debug)]
pub(super) struct Store<K, C>(pub(super) std::sync::Arc<Cells<K, C>>);

impl<K: Eq + Hash + Clone, C: Clock<Instant = Nanos>> StateStore for Store<K, C> {
    type Key = K;

    fn measure_and_replace<T, F, E>(&self, key: &K, judge: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let cells = &*self.0;
        let hash = cells.hasher.hash_one(key);
        let mut shard = locked(&cells.shards[index(hash, SHARDS)]);
        if let Some(known) = shard.debts.get_mut(key) {
            let (outcome, debt) = judge(Some(*known))?;
            *known = debt;
            return Ok(outcome);
        }
        if shard.debts.len() >= cells.most_in_shard {
            let now = cells.now();
            if now >= shard.sweep_at {
                shard.sweep(now);
            }
        }
        if shard.debts.len() >= cells.most_in_shard {
            drop(shard);
            return cells.shared(hash, judge);
        }
        let (outcome, debt) = judge(None)?;
        shard.debts.insert(key.clone(), debt);
        Ok(outcome)
    }
}

fn index(hash: u64, length: usize) -> usize {
    usize::try_from(hash % length as u64).unwrap_or(0)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
