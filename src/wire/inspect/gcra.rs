//! The generic cell rate algorithm (ITU-T I.371, annex A), for one sender and without a lock or a clock.

use std::time::Duration;

use crate::values::{Pace, Rate};

/// The use of a rate by one sender.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gcra {
    pace: Pace,
    /// The time that the rate takes for the use so far, less the time since, in nanoseconds. A debt and not
    /// an instant: a message is then charged with an addition and a comparison.
    debt: u64,
}

impl Gcra {
    /// An unused rate: a whole burst may come.
    pub(super) fn new(rate: Rate) -> Self {
        Self { pace: Pace::from(&rate), debt: 0 }
    }

    /// The use of `old`, if its rate is the same; `None` if it is another.
    pub(super) fn inheriting(self, old: Self) -> Option<Self> {
        (self.pace == old.pace).then_some(old)
    }

    /// Replenishes the rate for `nanos` nanoseconds that have passed.
    #[inline]
    pub(super) fn elapse(&mut self, nanos: u64) {
        self.debt = self.debt.saturating_sub(nanos);
    }

    /// The debt after one more unit, for [`Gcra::settle`]; the error is the time after which one more unit
    /// would be within the rate.
    #[inline]
    pub(super) fn after_one(&self) -> Result<u64, Duration> {
        self.pace.charge_one(self.debt).map_err(Duration::from_nanos)
    }

    /// Takes the unit for which [`Gcra::after_one`] returned `debt`.
    #[inline]
    pub(super) fn settle(&mut self, debt: u64) {
        self.debt = debt;
    }

    /// Takes `count` units, even above the rate. Returns the time after which the sender will be within
    /// the rate again; `None` if it is.
    pub(super) fn take(&mut self, count: u64) -> Option<Duration> {
        self.debt = self.debt.saturating_add(self.pace.time(count));
        let above = self.debt.saturating_sub(self.pace.burst());
        (above > 0).then(|| Duration::from_nanos(above))
    }

    /// Takes `count` units; beyond the rate, no more than empties the burst. Returns whether all were
    /// within the rate.
    pub(super) fn take_within(&mut self, count: u64) -> bool {
        let debt = self.debt.saturating_add(self.pace.time(count));
        self.debt = debt.min(self.pace.burst());
        debt == self.debt
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Gcra;
    use crate::values::Rate;

    fn rate(count: u64, seconds: u64, burst: u64) -> Rate {
        Rate { count, per: Duration::from_secs(seconds), burst }
    }

    fn pass(gcra: &mut Gcra, time: Duration) {
        gcra.elapse(u64::try_from(time.as_nanos()).unwrap());
    }

    /// How long the sender must wait before one more unit.
    fn wait(gcra: &Gcra) -> Duration {
        gcra.after_one().err().unwrap_or_default()
    }

    #[test]
    fn a_burst_comes_at_once_and_then_one_at_a_time() {
        let mut gcra = Gcra::new(rate(10, 1, 3));
        for _ in 0..3 {
            assert_eq!(wait(&gcra), Duration::ZERO);
            assert_eq!(gcra.take(1), None);
        }
        assert_eq!(wait(&gcra), Duration::from_millis(100));
        pass(&mut gcra, Duration::from_millis(100));
        assert_eq!(wait(&gcra), Duration::ZERO);
        assert_eq!(gcra.take(1), None);
        assert_eq!(wait(&gcra), Duration::from_millis(100));
        pass(&mut gcra, Duration::from_secs(60));
        for _ in 0..3 {
            assert_eq!(gcra.take(1), None, "never more than a burst is saved");
        }
        assert!(gcra.take(1).is_some());
    }

    #[test]
    fn bytes_above_the_burst_are_a_debt() {
        let mut gcra = Gcra::new(rate(1000, 1, 4000));
        assert_eq!(gcra.take(4000), None);
        assert_eq!(gcra.take(2000), Some(Duration::from_secs(2)));
        pass(&mut gcra, Duration::from_secs(2));
        assert_eq!(gcra.take(0), None, "paid");
        let large = gcra.take(10_000);
        assert_eq!(large, Some(Duration::from_secs(10)), "larger than the burst is no dead end");
    }

    #[test]
    fn bytes_passed_in_report_mode_are_no_debt() {
        let mut gcra = Gcra::new(rate(1000, 1, 4000));
        assert!(gcra.take_within(4000), "the whole burst");
        assert!(!gcra.take_within(1));
        assert!(!gcra.take_within(1_000_000));
        pass(&mut gcra, Duration::from_secs(1));
        assert!(gcra.take_within(1000));
        assert!(!gcra.take_within(1));
    }

    #[test]
    fn rates_of_an_hour_and_of_gibibytes_are_exact() {
        let mut hourly = Gcra::new(rate(5, 3600, 1));
        assert_eq!(hourly.take(1), None);
        assert_eq!(wait(&hourly), Duration::from_secs(720));
        let mut fast = Gcra::new(rate(3 << 30, 1, 1));
        let paid = fast.take(3 << 30).unwrap();
        assert!(paid.abs_diff(Duration::from_secs(1)) < Duration::from_micros(1), "{paid:?}");
    }
}
