//! The generic cell rate algorithm (ITU-T I.371, annex A), for one sender and without a lock. The
//! instant is passed in.

use std::time::Duration;

use tokio::time::Instant;

use crate::values::{Pace, Rate};

/// The use of a rate by one sender.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gcra {
    pace: Pace,
    /// The theoretical arrival time: when the use so far will be replenished.
    arrival: Option<Instant>,
}

impl Gcra {
    /// An unused rate: a whole burst may come.
    pub(super) fn new(rate: Rate) -> Self {
        Self { pace: Pace::from(&rate), arrival: None }
    }

    /// The use of `old`, if its rate is the same; `None` if it is another.
    pub(super) fn inheriting(self, old: Self) -> Option<Self> {
        (self.pace == old.pace).then_some(old)
    }

    /// When one more unit would be within the rate: `now`, or later.
    pub(super) fn ready(&self, now: Instant) -> Instant {
        let next = self.due(now) + self.pace.one();
        now.max(back(next, self.pace.burst()).unwrap_or(now))
    }

    /// The arrival time after one more unit, for [`Gcra::settle`]; the error is the instant at which one
    /// more unit would be within the rate.
    pub(super) fn after_one(&self, now: Instant) -> Result<Instant, Instant> {
        let arrival = self.due(now) + self.pace.one();
        if arrival <= now + self.pace.burst() { Ok(arrival) } else { Err(self.ready(now)) }
    }

    /// Takes the unit for which [`Gcra::after_one`] returned `arrival`.
    pub(super) fn settle(&mut self, arrival: Instant) {
        self.arrival = Some(arrival);
    }

    /// Takes `count` units, even above the rate. Returns when the sender will be within the rate again;
    /// `None` if it is.
    pub(super) fn take(&mut self, count: u64, now: Instant) -> Option<Instant> {
        let arrival = self.due(now) + self.pace.time(count);
        self.arrival = Some(arrival);
        back(arrival, self.pace.burst()).filter(|within| *within > now)
    }

    /// Takes `count` units; beyond the rate, no more than empties the burst. Returns whether all were
    /// within the rate.
    pub(super) fn take_within(&mut self, count: u64, now: Instant) -> bool {
        let arrival = self.due(now) + self.pace.time(count);
        let empty = now + self.pace.burst();
        self.arrival = Some(arrival.min(empty));
        arrival <= empty
    }

    fn due(&self, now: Instant) -> Instant {
        self.arrival.map_or(now, |arrival| arrival.max(now))
    }
}

/// An earlier instant, if it can be represented.
fn back(instant: Instant, by: Duration) -> Option<Instant> {
    instant.checked_sub(by)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::Gcra;
    use crate::values::Rate;

    fn rate(count: u64, seconds: u64, burst: u64) -> Rate {
        Rate { count, per: Duration::from_secs(seconds), burst }
    }

    #[test]
    fn a_burst_comes_at_once_and_then_one_at_a_time() {
        let now = Instant::now() + Duration::from_secs(86_400);
        let mut gcra = Gcra::new(rate(10, 1, 3));
        for _ in 0..3 {
            assert_eq!(gcra.ready(now), now);
            assert_eq!(gcra.take(1, now), None);
        }
        assert_eq!(gcra.ready(now), now + Duration::from_millis(100));
        let later = now + Duration::from_millis(100);
        assert_eq!(gcra.ready(later), later);
        assert_eq!(gcra.take(1, later), None);
        assert_eq!(gcra.ready(later), later + Duration::from_millis(100));
        let rested = later + Duration::from_secs(60);
        for _ in 0..3 {
            assert_eq!(gcra.take(1, rested), None, "never more than a burst is saved");
        }
        assert!(gcra.take(1, rested).is_some());
    }

    #[test]
    fn bytes_above_the_burst_are_a_debt() {
        let now = Instant::now() + Duration::from_secs(86_400);
        let mut gcra = Gcra::new(rate(1000, 1, 4000));
        assert_eq!(gcra.take(4000, now), None);
        assert_eq!(gcra.take(2000, now), Some(now + Duration::from_secs(2)));
        assert_eq!(gcra.take(0, now + Duration::from_secs(2)), None, "paid");
        let large = gcra.take(10_000, now + Duration::from_secs(2));
        assert_eq!(
            large,
            Some(now + Duration::from_secs(12)),
            "larger than the burst is no dead end"
        );
    }

    #[test]
    fn bytes_passed_in_report_mode_are_no_debt() {
        let now = Instant::now() + Duration::from_secs(86_400);
        let mut gcra = Gcra::new(rate(1000, 1, 4000));
        assert!(gcra.take_within(4000, now), "the whole burst");
        assert!(!gcra.take_within(1, now));
        assert!(!gcra.take_within(1_000_000, now));
        assert!(gcra.take_within(1000, now + Duration::from_secs(1)));
        assert!(!gcra.take_within(1, now + Duration::from_secs(1)));
    }

    #[test]
    fn rates_of_an_hour_and_of_gibibytes_are_exact() {
        let now = Instant::now() + Duration::from_secs(86_400);
        let mut hourly = Gcra::new(rate(5, 3600, 1));
        assert_eq!(hourly.take(1, now), None);
        assert_eq!(hourly.ready(now), now + Duration::from_secs(720));
        let mut fast = Gcra::new(rate(3 << 30, 1, 1));
        let paid = fast.take(3 << 30, now).unwrap() - now;
        assert!(paid.abs_diff(Duration::from_secs(1)) < Duration::from_micros(1), "{paid:?}");
    }
}
