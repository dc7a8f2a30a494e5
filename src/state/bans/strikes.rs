//! Recent strikes, by address.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::values::AddressKey;

/// The largest number of addresses with remembered strikes.
pub const MOST_STRUCK: usize = 65_536;
/// The largest number of remembered strikes.
const MOST_STRIKES: usize = 524_288;

/// The strikes of each address within a sliding window.
///
/// Addresses are kept in two generations: those that struck since the last turn, and the others. A
/// turn drops the older generation. It happens when the window has passed, so that the dropped
/// strikes no longer count; and when half of the capacity is used, so that a full table drops the
/// addresses that have been quiet for longest. Takes at most 16 MB.
#[derive(Debug)]
pub(super) struct Strikes {
    young: Generation,
    old: Generation,
    turned: Instant,
    /// Half of [`MOST_STRUCK`] and of [`MOST_STRIKES`]; smaller in tests.
    bound: (usize, usize),
}

/// The strikes of an address on their way to another process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StruckAddress {
    address: IpAddr,
    /// In milliseconds, the oldest first: an instant means nothing in another process.
    ages: Vec<u64>,
}

#[derive(Debug, Default)]
struct Generation {
    by: HashMap<AddressKey, VecDeque<Instant>>,
    strikes: usize,
}

impl Generation {
    fn put(&mut self, address: AddressKey, strikes: VecDeque<Instant>) {
        self.strikes += strikes.len();
        self.by.insert(address, strikes);
    }

    fn take(&mut self, address: &AddressKey) -> Option<VecDeque<Instant>> {
        let strikes = self.by.remove(address)?;
        self.strikes -= strikes.len();
        Some(strikes)
    }
}

impl Strikes {
    pub(super) fn new(now: Instant) -> Self {
        let bound = (MOST_STRUCK / 2, MOST_STRIKES / 2);
        Self { young: Generation::default(), old: Generation::default(), turned: now, bound }
    }

    /// Counts a strike at `now`. Returns whether it is number `most` within `within`; the strikes
    /// of the address are then forgotten.
    pub(super) fn strike(
        &mut self,
        address: AddressKey,
        now: Instant,
        most: NonZeroU32,
        within: Duration,
    ) -> bool {
        self.turn_if_due(now, within);
        let known = self.young.take(&address).or_else(|| self.old.take(&address));
        let mut strikes = known.unwrap_or_default();
        let is_over = |strike: &Instant| now.saturating_duration_since(*strike) >= within;
        while strikes.front().is_some_and(is_over) {
            strikes.pop_front();
        }
        strikes.push_back(now);
        if u32::try_from(strikes.len()).is_ok_and(|count| count < most.get()) {
            self.young.put(address, strikes);
            return false;
        }
        true
    }

    /// The number of addresses with strikes.
    pub(super) fn count(&self) -> usize {
        self.young.by.len() + self.old.by.len()
    }

    /// Forgets the strikes of the addresses for which `is_meant` returns true.
    pub(super) fn forget(&mut self, is_meant: impl Fn(AddressKey) -> bool) {
        for generation in [&mut self.young, &mut self.old] {
            let meant: Vec<_> =
                generation.by.keys().copied().filter(|key| is_meant(*key)).collect();
            for address in meant {
                generation.take(&address);
            }
        }
    }

    /// The strikes of every address.
    pub(super) fn hand_over(&self, now: Instant) -> Vec<StruckAddress> {
        let age = |strike: &Instant| {
            let age = now.saturating_duration_since(*strike).as_millis();
            u64::try_from(age).unwrap_or(u64::MAX)
        };
        let all = self.old.by.iter().chain(&self.young.by);
        all.map(|(key, strikes)| StruckAddress {
            address: key.first(),
            ages: strikes.iter().map(age).collect(),
        })
        .collect()
    }

    /// Takes over the strikes of another process. This one must have none.
    pub(super) fn adopt(&mut self, struck: Vec<StruckAddress>, now: Instant) {
        for StruckAddress { address, ages } in struck {
            let at = |age: u64| now.checked_sub(Duration::from_millis(age));
            let strikes = ages.into_iter().filter_map(at).collect();
            self.young.put(AddressKey::from(address), strikes);
        }
    }

    fn turn_if_due(&mut self, now: Instant, within: Duration) {
        let (addresses, strikes) = self.bound;
        let full = self.young.by.len() >= addresses || self.young.strikes >= strikes;
        if full || now.saturating_duration_since(self.turned) >= within {
            self.old = std::mem::take(&mut self.young);
            self.turned = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::num::NonZeroU32;
    use std::time::{Duration, Instant};

    use super::Strikes;
    use crate::values::AddressKey;

    const MINUTE: Duration = Duration::from_secs(60);

    fn address(number: u32) -> AddressKey {
        AddressKey::from(IpAddr::from(Ipv4Addr::from_bits(number)))
    }

    fn strikes(now: Instant, offsets: &[u64]) -> Vec<bool> {
        let mut strikes = Strikes::new(now);
        let most = NonZeroU32::new(3).unwrap();
        let at = |millis: &u64| now + Duration::from_millis(*millis);
        offsets.iter().map(|time| strikes.strike(address(1), at(time), most, MINUTE)).collect()
    }

    #[test]
    fn the_window_slides() {
        let now = Instant::now();
        assert_eq!(strikes(now, &[0, 0, 0]), [false, false, true]);
        assert_eq!(strikes(now, &[0, 30_000, 59_999]), [false, false, true]);
        assert_eq!(strikes(now, &[0, 30_000, 60_000]), [false, false, false]);
        assert!(strikes(now, &[0, 30_000, 60_000, 89_999])[3]);
        assert!(!strikes(now, &[0, 30_000, 60_000, 90_000])[3]);
        assert!(strikes(now, &[0, 59_000, 119_000, 178_999, 178_999])[4]);
        // After two turns no strikes are left.
        assert!(!strikes(now, &[0, 0, 300_000, 300_000])[3]);
    }

    #[test]
    fn another_process_counts_on() {
        let now = Instant::now() + MINUTE;
        let most = NonZeroU32::new(3).unwrap();
        let mut older = Strikes::new(now);
        for (number, seconds) in [(1, 0), (1, 50), (2, 50)] {
            older.strike(address(number), now + Duration::from_secs(seconds), most, MINUTE);
        }
        let handed = older.hand_over(now + Duration::from_secs(55));
        let later = |seconds: u64| now + Duration::from_secs(1000 + seconds);
        let mut newer = Strikes::new(later(55));
        newer.adopt(handed, later(55));
        assert_eq!(newer.count(), 2);
        assert!(newer.strike(address(1), later(59), most, MINUTE), "the third within a minute");
        assert!(!newer.strike(address(2), later(59), most, MINUTE));
        assert!(!newer.strike(address(2), later(110), most, MINUTE), "the first is over");
    }

    #[test]
    fn the_last_strike_begins_anew() {
        assert_eq!(
            strikes(Instant::now(), &[0, 1, 2, 3, 4, 5]),
            [false, false, true, false, false, true]
        );
    }

    #[test]
    fn a_single_strike_can_ban() {
        let mut strikes = Strikes::new(Instant::now());
        assert!(strikes.strike(address(1), Instant::now(), NonZeroU32::MIN, MINUTE));
    }

    #[test]
    fn old_strikes_are_removed() {
        let now = Instant::now();
        let most = NonZeroU32::new(3).unwrap();
        let mut strikes = Strikes::new(now);
        (0..100).for_each(|number| assert!(!strikes.strike(address(number), now, most, MINUTE)));
        for (minutes, known) in [(1, 101), (2, 1)] {
            strikes.strike(address(1000), now + minutes * MINUTE, most, MINUTE);
            assert_eq!(strikes.young.by.len() + strikes.old.by.len(), known);
        }
    }

    #[test]
    fn a_full_table_evicts_the_oldest_strikes() {
        let now = Instant::now();
        let most = NonZeroU32::new(3).unwrap();
        let mut strikes = Strikes { bound: (100, 1000), ..Strikes::new(now) };
        for number in 0..10_000 {
            // One address strikes repeatedly among ten thousand that strike once.
            if number % 50 == 0 {
                assert_eq!(
                    strikes.strike(address(u32::MAX), now, most, MINUTE),
                    number % 150 == 100
                );
            }
            assert!(!strikes.strike(address(number), now, most, MINUTE));
            let known = strikes.young.by.len() + strikes.old.by.len();
            assert!(known <= 200, "{known}");
        }
        let most = NonZeroU32::new(500).unwrap();
        let mut strikes = Strikes { bound: (100, 1000), ..Strikes::new(now) };
        for number in 0..50_000 {
            strikes.strike(address(number % 20), now, most, MINUTE);
            let counted = |generation: &super::Generation| {
                generation.by.values().map(std::collections::VecDeque::len).sum::<usize>()
            };
            assert_eq!(counted(&strikes.young), strikes.young.strikes);
            assert_eq!(counted(&strikes.old), strikes.old.strikes);
            assert!(strikes.young.strikes + strikes.old.strikes <= 2 * 1000 + 500);
        }
    }
}
