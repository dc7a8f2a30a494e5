//! Limits the rate of log records that clients can cause: for each address, and for all together.
//! Records above the rate are counted, and an event of its own reports the counts.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use super::Rates;
use crate::journal::{ClientCaused, RecordLimit, Suppressed};
use crate::values::AddressKey;
use crate::values::Rate;

/// Log records of all clients together in a second.
const ALL: NonZeroU32 = NonZeroU32::new(100).expect("100 is not 0");
/// Log records about one address: a burst of a hundred, then ten a second.
const OF_ONE: Rate = Rate { count: 10, per: Duration::from_secs(1), burst: 100 };

/// Decides whether a record that a client caused is logged. Shared by all connections.
#[derive(Debug)]
pub struct RecordRate {
    of_one: Rates<AddressKey>,
    all: DefaultDirectRateLimiter,
    counts: [AtomicU64; ClientCaused::COUNT],
    majority: Mutex<MajorityVote>,
}

/// A majority vote: if more than half of the records are about one address, that address remains.
#[derive(Debug, Default)]
struct MajorityVote {
    address: Option<IpAddr>,
    lead: u64,
}

impl Default for RecordRate {
    fn default() -> Self {
        let of_one = Rates::default();
        of_one.set(Some(&OF_ONE));
        Self {
            of_one,
            all: RateLimiter::direct(Quota::per_second(ALL)),
            counts: Default::default(),
            majority: Mutex::default(),
        }
    }
}

impl RecordRate {
    /// Takes the counts of the records that were omitted since the last call.
    #[must_use]
    pub fn take(&self) -> Option<Suppressed> {
        let counts: [u64; ClientCaused::COUNT] =
            std::array::from_fn(|index| self.counts[index].swap(0, Ordering::Relaxed));
        let majority =
            std::mem::take(&mut *self.majority.lock().unwrap_or_else(PoisonError::into_inner));
        let total: u64 = counts.iter().sum();
        let mostly = majority.address.filter(|_| majority.lead > total / 2);
        (total > 0).then_some(Suppressed { counts, mostly })
    }

    /// Removes fully replenished addresses. Must be called every few seconds.
    pub fn sweep(&self) {
        self.of_one.sweep();
    }
}

impl RecordLimit for RecordRate {
    /// An address above its own rate does not use up the common rate.
    fn allows(&self, kind: ClientCaused, address: IpAddr) -> bool {
        if self.of_one.check(&AddressKey::from(address)).is_ok() && self.all.check().is_ok() {
            return true;
        }
        self.counts[kind as usize].fetch_add(1, Ordering::Relaxed);
        self.majority.lock().unwrap_or_else(PoisonError::into_inner).vote(address);
        false
    }
}

impl MajorityVote {
    fn vote(&mut self, address: IpAddr) {
        if self.lead == 0 {
            *self = Self { address: Some(address), lead: 1 };
        } else if self.address == Some(address) {
            self.lead += 1;
        } else {
            self.lead -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::RecordRate;
    use crate::journal::{ClientCaused, RecordLimit};

    fn address(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(number).into()
    }

    /// The clock runs during the test, so a few more than the burst may pass.
    #[test]
    fn an_address_above_its_rate_uses_nothing_of_the_common_rate() {
        let rate = RecordRate::default();
        let written =
            (0..50_000).filter(|_| rate.allows(ClientCaused::Refused, address(1))).count();
        assert!((100..1000).contains(&written), "{written}");
        let suppressed = rate.take().unwrap();
        assert_eq!(suppressed.counts[ClientCaused::Refused as usize], 50_000 - written as u64);
        assert_eq!(suppressed.mostly, Some(address(1)));
        assert_eq!(rate.take(), None, "reported once");
    }

    #[test]
    fn the_common_rate_bounds_all_addresses() {
        let rate = RecordRate::default();
        let count = |number| u64::from(rate.allows(ClientCaused::ConnectionError, address(number)));
        let written: u64 = (0..20_000).map(count).sum();
        assert!((100..2000).contains(&written), "{written}");
        let suppressed = rate.take().unwrap();
        assert_eq!(suppressed.counts[ClientCaused::ConnectionError as usize], 20_000 - written);
        assert_eq!(suppressed.mostly, None);
    }

    #[test]
    fn suppressed_records_are_counted_by_kind() {
        let rate = RecordRate::default();
        for kind in [ClientCaused::Dropped, ClientCaused::TokenRenewal, ClientCaused::WouldRefuse] {
            while rate.allows(kind, address(1)) {}
        }
        assert!(rate.take().is_some_and(|suppressed| {
            suppressed.counts.iter().filter(|count| **count > 0).count() == 3
        }));
    }
}
