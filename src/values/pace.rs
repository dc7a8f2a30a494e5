//! The arithmetic of all rates: the generic cell rate algorithm (ITU-T I.371, annex A).

use super::Rate;

/// The fraction bits of the interval in [`Pace`]. With 22 bits the interval of one an hour fits 64
/// bits, and a second of the fastest rate of bytes is exact to three microseconds.
const FRACTION: u32 = 22;

/// A rate in the parameters of the algorithm, computed once instead of for each message. Every
/// limiter keeps a debt: the time that the rate takes for all that it counted, less the time since.
/// A sender is within the rate while its debt is at most the time of a burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    /// The time that the rate takes for one event or byte, in nanoseconds with [`FRACTION`]
    /// fraction bits.
    interval: u64,
    /// The time that the rate takes for a burst, in nanoseconds.
    burst: u64,
}

impl From<&Rate> for Pace {
    fn from(rate: &Rate) -> Self {
        let (per, count) = (rate.per.as_nanos(), u128::from(rate.count.max(1)));
        Self {
            interval: u64::try_from((per << FRACTION) / count).unwrap_or(u64::MAX),
            burst: u64::try_from(per * u128::from(rate.burst) / count).unwrap_or(u64::MAX),
        }
    }
}

impl Pace {
    /// The time that the rate takes for `count`, in nanoseconds.
    #[inline]
    pub(crate) fn time(self, count: u64) -> u64 {
        let nanos = (u128::from(self.interval) * u128::from(count)) >> FRACTION;
        u64::try_from(nanos).unwrap_or(u64::MAX)
    }

    /// The longest debt that is within the rate, in nanoseconds.
    #[inline]
    pub(crate) fn burst(self) -> u64 {
        self.burst
    }

    /// Returns the debt after one more event, or the time after which one more is within the rate; all in
    /// nanoseconds.
    #[inline]
    pub(crate) fn charge_one(self, debt: u64) -> Result<u64, u64> {
        let debt = debt.saturating_add(self.interval >> FRACTION);
        if debt > self.burst { Err(debt - self.burst) } else { Ok(debt) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Pace;
    use crate::values::Rate;

    #[test]
    fn a_rate_is_exact_or_at_most_half_a_percent_higher() {
        for seconds in [1, 60, 3600] {
            for count in [1, 3, 7, 100, 999, 1_000_000, 1_234_567, 4_975_125, 5_000_000] {
                let pace = Pace::from(&Rate { count, per: Duration::from_secs(seconds), burst: 1 });
                let whole = Duration::from_secs(seconds);
                // Limiters add whole intervals, in whole nanoseconds.
                let one = Duration::from_nanos(pace.charge_one(0).unwrap());
                let time = one * u32::try_from(count).unwrap();
                assert!(time <= whole, "{count} in {seconds} s take {time:?}");
                assert!(
                    whole.abs_diff(time) * 200 <= whole,
                    "{count} in {seconds} s take {time:?}"
                );
            }
        }
    }

    #[test]
    fn charges_within_the_burst_are_accepted() {
        let pace = Pace::from(&Rate { count: 10, per: Duration::from_secs(1), burst: 2 });
        let tenth = 100_000_000;
        assert_eq!(pace.charge_one(0), Ok(tenth));
        assert_eq!(pace.charge_one(tenth), Ok(2 * tenth));
        assert_eq!(pace.charge_one(2 * tenth), Err(tenth));
        assert_eq!(pace.charge_one(tenth + 1), Err(1));
    }
}
