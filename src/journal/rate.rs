//! How many records clients can cause: so many of one address, and so many in all. Beyond that they are
//! counted, and the counts are a record.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use super::emit;
use crate::state::limits::Rates;
use crate::values::AddressKey;
use crate::values::Rate;

/// Records of all clients together, a second.
const ALL: NonZeroU32 = NonZeroU32::new(100).expect("100 is not 0");
/// Records about one address: a hundred at once, then ten a second.
const OF_ONE: Rate = Rate { count: 10, per: Duration::from_secs(1), burst: 100 };

/// A record that a client can cause as often as it likes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caused {
    /// `dropped`
    Dropped,
    /// `refused`, and `answered`
    Refused,
    /// `connection.error`
    ConnectionError,
    /// `protocol.error` and `limited`
    ProtocolError,
    /// `token.renewal`
    TokenRenewal,
    /// `would_refuse`
    WouldRefuse,
}

/// So many records were not written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Suppressed {
    /// By [`Caused`], in its order.
    pub counts: [u64; 6],
    /// The address that more than half of them are about, if there is one.
    pub mostly: Option<IpAddr>,
}

/// Decides whether a record is written. Shared by all connections.
#[derive(Debug)]
pub struct RecordRate {
    of_one: Rates<AddressKey>,
    all: DefaultDirectRateLimiter,
    counts: [AtomicU64; 6],
    loudest: Mutex<Loudest>,
}

/// A majority vote: an address that more than half of the records are about is the one that stays.
#[derive(Debug, Default)]
struct Loudest {
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
            loudest: Mutex::default(),
        }
    }
}

impl RecordRate {
    /// Whether a record about `address` may be written; if not, it is counted. An address above its
    /// own rate takes nothing of what the others have.
    #[must_use]
    pub fn allows(&self, caused: Caused, address: IpAddr) -> bool {
        if self.of_one.check(&AddressKey::from(address)).is_ok() && self.all.check().is_ok() {
            return true;
        }
        self.counts[caused as usize].fetch_add(1, Ordering::Relaxed);
        self.loudest.lock().unwrap_or_else(PoisonError::into_inner).hear(address);
        false
    }

    /// What was not written since this was last asked.
    #[must_use]
    pub fn take(&self) -> Option<Suppressed> {
        let counts: [u64; 6] =
            std::array::from_fn(|index| self.counts[index].swap(0, Ordering::Relaxed));
        let loudest =
            std::mem::take(&mut *self.loudest.lock().unwrap_or_else(PoisonError::into_inner));
        let total: u64 = counts.iter().sum();
        let mostly = loudest.address.filter(|_| loudest.lead > total / 2);
        (total > 0).then_some(Suppressed { counts, mostly })
    }

    /// Writes what [`RecordRate::take`] says, if it says anything.
    pub fn tell(&self) {
        if let Some(suppressed) = self.take() {
            emit::suppressed(&suppressed);
        }
    }

    /// Forgets the addresses that owe nothing. To be called every few seconds.
    pub fn sweep(&self) {
        self.of_one.sweep();
    }
}

impl Loudest {
    fn hear(&mut self, address: IpAddr) {
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

    use super::{Caused, RecordRate};

    fn address(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(number).into()
    }

    /// The clock goes on while this runs, so there may be a few more than the burst.
    #[test]
    fn one_address_is_held_and_leaves_the_others_their_share() {
        let rate = RecordRate::default();
        let written = (0..50_000).filter(|_| rate.allows(Caused::Refused, address(1))).count();
        assert!((100..1000).contains(&written), "{written}");
        let suppressed = rate.take().unwrap();
        assert_eq!(suppressed.counts[Caused::Refused as usize], 50_000 - written as u64);
        assert_eq!(suppressed.mostly, Some(address(1)));
        assert_eq!(rate.take(), None, "told once");
    }

    #[test]
    fn all_together_are_held_too() {
        let rate = RecordRate::default();
        let count = |number| u64::from(rate.allows(Caused::ConnectionError, address(number)));
        let written: u64 = (0..20_000).map(count).sum();
        assert!((100..2000).contains(&written), "{written}");
        let suppressed = rate.take().unwrap();
        assert_eq!(suppressed.counts[Caused::ConnectionError as usize], 20_000 - written);
        assert_eq!(suppressed.mostly, None);
    }

    #[test]
    fn what_is_suppressed_is_told_apart_by_its_event() {
        let rate = RecordRate::default();
        for caused in [Caused::Dropped, Caused::TokenRenewal, Caused::WouldRefuse] {
            while rate.allows(caused, address(1)) {}
        }
        assert!(rate.take().is_some_and(|suppressed| {
            suppressed.counts.iter().filter(|count| **count > 0).count() == 3
        }));
    }
}
