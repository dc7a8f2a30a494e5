//! Rate limits by key.

use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::{Quota, RateLimiter};

use super::cells::{Cells, Store};
use crate::values::{Rate, Wait};

/// The shortest interval, in nanoseconds: five million events a second, which no client reaches. Up
/// to this rate the effective rate is never lower than the configured one, and at most half a
/// percent higher.
const SHORTEST: u64 = 200;
/// The longest time in which a burst is replenished, in nanoseconds: a century. Longer times are
/// capped to it, so that no sum overflows.
const LONGEST: u64 = 100 * 365 * 24 * 3600 * 1_000_000_000;

/// The number of keys with a cell of their own. Addresses take at most 3.3 MB: 50 bytes a key, with
/// the spare capacity of the maps.
pub const MOST_KEYS: usize = 65_536;

/// An optional rate limit that applies to each key separately. Shared by all connections.
///
/// At most [`MOST_KEYS`] keys in debt have their own cell. Keys without debt are removed, which
/// does not change their rate. Beyond that number, new keys share 1024 cells, each with the rate of
/// one key: they compete with each other, and known keys are not affected.
#[derive(Debug)]
pub struct Rates<K: Eq + Hash + Clone, C: Clock<Instant = Nanos> = Monotonic> {
    clock: C,
    most: usize,
    active: RwLock<Option<Active<K, C>>>,
}

#[derive(Debug)]
struct Active<K: Eq + Hash + Clone, C: Clock<Instant = Nanos>> {
    rate: Rate,
    cells: Arc<Cells<K, C>>,
    limiter: RateLimiter<K, Store<K, C>, C, NoOpMiddleware<Nanos>>,
}

/// The time since creation, which changes of the wall clock do not affect.
#[derive(Debug, Clone)]
pub struct Monotonic(Instant);

impl Default for Monotonic {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock for Monotonic {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.elapsed().into()
    }
}

impl<K: Eq + Hash + Clone, C: Clock<Instant = Nanos> + Clone> Rates<K, C> {
    /// Creates a limiter without a rate; [`Rates::set`] sets one.
    #[must_use]
    pub fn new(clock: C) -> Self {
        Self { clock, most: MOST_KEYS, active: RwLock::new(None) }
    }

    /// Sets the rate. A different rate starts with a full burst for every key; setting the same
    /// rate keeps all debts.
    pub fn set(&self, rate: Option<&Rate>) {
        let mut active = self.active.write().unwrap_or_else(PoisonError::into_inner);
        if active.as_ref().map(|active| &active.rate) != rate {
            *active = rate.map(|rate| Active::new(*rate, &self.clock, self.most));
        }
    }

    /// Counts one event of `key` if the rate allows it; a refused event is not counted.
    pub fn check(&self, key: &K) -> Result<(), Wait> {
        match &*self.active() {
            None => Ok(()),
            Some(active) => active
                .limiter
                .check_key(key)
                .map_err(|not_until| Wait(not_until.wait_time_from(self.clock.now()))),
        }
    }

    /// Whether `key` has its own cell. A refused key without one was counted in a shared overflow
    /// cell.
    #[must_use]
    pub fn knows(&self, key: &K) -> bool {
        self.active().as_ref().is_some_and(|active| active.cells.has(key))
    }

    /// Removes the keys without debt. Must be called every few seconds; takes a tenth of a
    /// millisecond for [`MOST_KEYS`] keys, and holds each lock for a part of that.
    pub fn sweep(&self) {
        if let Some(active) = &*self.active() {
            active.cells.sweep();
        }
    }

    /// The number of keys with a cell of their own.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.active().as_ref().map_or(0, |active| active.cells.len())
    }

    fn active(&self) -> RwLockReadGuard<'_, Option<Active<K, C>>> {
        self.active.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash + Clone> Default for Rates<K> {
    fn default() -> Self {
        Self::new(Monotonic::default())
    }
}

impl<K: Eq + Hash + Clone, C: Clock<Instant = Nanos> + Clone> Active<K, C> {
    fn new(rate: Rate, clock: &C, most: usize) -> Self {
        let cells = Arc::new(Cells::new(clock.clone(), most));
        let store = Store(Arc::clone(&cells));
        Self { rate, cells, limiter: RateLimiter::new(quota(&rate), store, clock.clone()) }
    }
}

/// The rate in governor's form, in whole nanoseconds.
fn quota(rate: &Rate) -> Quota {
    let interval = rate.per.as_nanos() / u128::from(rate.count.max(1));
    let interval = u64::try_from(interval).unwrap_or(LONGEST).clamp(SHORTEST, LONGEST);
    let burst = u32::try_from(rate.burst.min(LONGEST / interval)).unwrap_or(u32::MAX);
    let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
    // The interval is never zero, the only value for which no quota exists.
    let quota = Quota::with_period(Duration::from_nanos(interval));
    quota.unwrap_or(Quota::per_second(burst)).allow_burst(burst)
}

#[cfg(test)]
mod tests;
