//! The rate limit that all sessions of one user share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{Pace, Rate, Wait};

/// A session's handle to the rate limit of its user. Cheap to clone; all clones share one count.
#[derive(Debug, Clone)]
pub struct UserShare(Arc<Cell>);

#[derive(Debug)]
struct Cell {
    pace: Pace,
    origin: Instant,
    /// When the limit is fully replenished, in nanoseconds after `origin`.
    debt_until: AtomicU64,
}

impl UserShare {
    /// Creates a fully replenished limit.
    #[must_use]
    pub fn new(rate: &Rate, now: Instant) -> Self {
        Self(Arc::new(Cell { pace: Pace::from(rate), origin: now, debt_until: AtomicU64::new(0) }))
    }

    /// Counts one message if the limit allows it; a refused message is not counted.
    pub fn take(&self, now: Instant) -> Result<(), Wait> {
        let now = self.at(now);
        let mut until = self.0.debt_until.load(Ordering::Relaxed);
        loop {
            let debt = until.saturating_sub(now);
            let charged = self.0.pace.charge_one(debt);
            let debt = charged.map_err(|above| Wait(Duration::from_nanos(above)))?;
            let next = now.saturating_add(debt);
            let order = Ordering::Relaxed;
            match self.0.debt_until.compare_exchange_weak(until, next, order, order) {
                Ok(_) => return Ok(()),
                Err(other) => until = other,
            }
        }
    }

    /// Nanoseconds until the limit is fully replenished.
    pub(crate) fn owes(&self, now: Instant) -> u64 {
        self.0.debt_until.load(Ordering::Relaxed).saturating_sub(self.at(now))
    }

    /// Whether no other clone exists.
    pub(crate) fn is_only_one(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    fn at(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.0.origin);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }
}
