//! How often they come.

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

/// The shortest time from one to the next, in nanoseconds: five million a second, which no client
/// reaches. Up to there a rate is never less than it says, and at most half a percent more.
const SHORTEST: u64 = 200;
/// A century, in nanoseconds: a burst that takes longer to come back is one that takes this long,
/// so that no sum overflows.
const LONGEST: u64 = 100 * 365 * 24 * 3600 * 1_000_000_000;

/// Keys that a limiter keeps apart. With addresses it has 3.3 MB at most, 50 bytes a key with the
/// slack of its maps.
pub const MOST_KEYS: usize = 65_536;

/// A rate that holds for each key by itself, or none. Shared by all connections.
///
/// At most [`MOST_KEYS`] keys that are in debt are kept apart; those whose debt is over are
/// forgotten, which makes no difference to them. Beyond that, newcomers share 1024 cells, each with
/// the rate of one key: they compete with each other, and those that are known notice nothing.
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

/// The time since it was made, which no change of the wall clock moves.
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
    /// Without a rate, until [`Rates::set`] gives one.
    #[must_use]
    pub fn new(clock: C) -> Self {
        Self { clock, most: MOST_KEYS, active: RwLock::new(None) }
    }

    /// `rate` holds from now on. Another one than before begins with everybody's burst whole; the
    /// same one changes nothing, and nobody's debt is forgiven.
    pub fn set(&self, rate: Option<&Rate>) {
        let mut active = self.active.write().unwrap_or_else(PoisonError::into_inner);
        if active.as_ref().map(|active| &active.rate) != rate {
            *active = rate.map(|rate| Active::new(*rate, &self.clock, self.most));
        }
    }

    /// Counts one of `key`, if it may come now; one that may not is not counted.
    pub fn check(&self, key: &K) -> Result<(), Wait> {
        match &*self.active() {
            None => Ok(()),
            Some(active) => active
                .limiter
                .check_key(key)
                .map_err(|not_until| Wait(not_until.wait_time_from(self.clock.now()))),
        }
    }

    /// Whether `key` is counted apart. One that is refused and is not came when there was no room.
    #[must_use]
    pub fn knows(&self, key: &K) -> bool {
        self.active().as_ref().is_some_and(|active| active.cells.has(key))
    }

    /// Forgets the keys whose debt is over. To be called every few seconds; takes a tenth of a
    /// millisecond when [`MOST_KEYS`] are there, and holds each of its locks for a part of that.
    pub fn sweep(&self) {
        if let Some(active) = &*self.active() {
            active.cells.sweep();
        }
    }

    /// How many keys are known.
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

/// The rate as governor counts it, in whole nanoseconds.
fn quota(rate: &Rate) -> Quota {
    let interval = rate.per.as_nanos() / u128::from(rate.count.max(1));
    let interval = u64::try_from(interval).unwrap_or(LONGEST).clamp(SHORTEST, LONGEST);
    let burst = u32::try_from(rate.burst.min(LONGEST / interval)).unwrap_or(u32::MAX);
    let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
    // The interval is never zero, which alone has no quota.
    let quota = Quota::with_period(Duration::from_nanos(interval));
    quota.unwrap_or(Quota::per_second(burst)).allow_burst(burst)
}

#[cfg(test)]
mod tests;
