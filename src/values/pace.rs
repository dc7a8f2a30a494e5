//! A rate in the form that the rate-limit algorithm calculates with.

use std::num::NonZeroU32;
use std::time::Duration;

use super::Rate;

/// The shortest interval, in nanoseconds: five million events a second, which no client reaches.
/// Intervals are whole nanoseconds, so up to this rate the effective rate is never lower than the
/// configured one, and at most half a percent higher.
const SHORTEST: u64 = 200;
/// The longest time in which a burst is replenished, in nanoseconds: a century. Longer times are
/// capped to it, so that no sum overflows.
const LONGEST: u64 = 100 * 365 * 24 * 3600 * 1_000_000_000;

/// The parameters of the generic cell rate algorithm: one event every `interval`, and `burst` at
/// once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    /// Nanoseconds, at least [`SHORTEST`].
    pub(crate) interval: u64,
    /// Capped so that `burst * interval` is at most [`LONGEST`].
    pub(crate) burst: NonZeroU32,
}

impl From<&Rate> for Pace {
    fn from(rate: &Rate) -> Self {
        let interval = rate.per.as_nanos() / u128::from(rate.count.max(1));
        let interval = u64::try_from(interval).unwrap_or(LONGEST).clamp(SHORTEST, LONGEST);
        let burst = rate.burst.min(LONGEST / interval);
        let burst = u32::try_from(burst).unwrap_or(u32::MAX);
        Self { interval, burst: NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN) }
    }
}

impl Pace {
    pub(crate) fn interval(self) -> Duration {
        Duration::from_nanos(self.interval)
    }

    /// How far ahead of schedule the last event of a burst may be, in nanoseconds.
    pub(crate) fn tolerance(self) -> u64 {
        self.interval * u64::from(self.burst.get() - 1)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{LONGEST, Pace, SHORTEST};
    use crate::values::Rate;

    fn pace(count: u64, seconds: u64, burst: u64) -> Pace {
        Pace::from(&Rate { count, per: Duration::from_secs(seconds), burst })
    }

    #[test]
    fn a_rate_is_what_it_says_and_at_most_half_a_percent_more() {
        for seconds in [1, 60, 3600] {
            for count in [1, 3, 7, 100, 999, 1_000_000, 1_234_567, 4_975_125, 5_000_000] {
                let (interval, whole) = (pace(count, seconds, 1).interval, seconds * 1_000_000_000);
                let time = interval * count;
                assert!(time <= whole, "{count} in {seconds} s take {time} ns");
                assert!((whole - time) * 200 <= whole, "{count} in {seconds} s take {time} ns");
            }
        }
        assert_eq!(pace(1, 3600, 1).interval, 3_600_000_000_000);
        assert_eq!(pace(1_000_000, 1, 1).interval, 1000);
    }

    #[test]
    fn what_is_beyond_reckoning_is_clamped() {
        assert_eq!(pace(10_000_000, 1, 1).interval, SHORTEST);
        assert_eq!(pace(u64::MAX, 1, u64::MAX).interval, SHORTEST);
        assert_eq!(pace(u64::MAX, 1, u64::MAX).burst.get(), u32::MAX);
        let slow = pace(1, 3600, u64::MAX);
        assert!(slow.tolerance() <= LONGEST);
        assert_eq!(u64::from(slow.burst.get()), LONGEST / slow.interval);
        assert_eq!(pace(1, 1, 0).burst.get(), 1);
    }
}
