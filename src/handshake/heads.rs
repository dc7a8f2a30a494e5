//! Bounds the memory for request heads, which are read before their client is known: each
//! connection has an allowance of its own, and longer heads take from a budget that all connections
//! share.

use std::sync::Arc;

use crate::values::{AddressKey, Counter, KeyedCounter, KeyedPermit, Permit, Reason, Refusal};

/// Bytes of a head that each connection may hold outside the budget.
pub const OWN_HEAD: usize = 16 * 1024;
/// Bytes that are taken from the budget at once.
const STEP: usize = 4 * 1024;

/// `[server] max_head` and `max_fields`.
#[derive(Debug, Clone, Copy)]
pub struct HeadLimits {
    /// Bytes, including the empty line that ends the head.
    pub bytes: usize,
    /// Header fields.
    pub fields: usize,
}

/// The reason why the gateway stops reading a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadFault {
    /// The head has more bytes than `max_head`.
    Bytes(usize),
    /// The head has more fields than `max_fields`.
    Fields(usize),
    /// The head is longer than [`OWN_HEAD`], and the budget, or the address's part of it, is
    /// exhausted.
    NoRoom,
}

impl From<HeadFault> for Refusal {
    fn from(fault: HeadFault) -> Self {
        match fault {
            HeadFault::Bytes(most) => {
                let detail = format!("the head has more than {most} bytes (server.max_head)");
                Self::new(Reason::HeadTooLarge, detail).by("max_head")
            }
            HeadFault::Fields(most) => {
                let detail = format!("the head has more than {most} fields (server.max_fields)");
                Self::new(Reason::HeadTooLarge, detail).by("max_fields")
            }
            HeadFault::NoRoom => {
                let detail = "the heads of other connections, or of its address, fill the memory for \
                    those beyond 16 KiB";
                Self::new(Reason::Capacity, detail)
            }
        }
    }
}

/// The memory that all heads beyond [`OWN_HEAD`] may take together, counted in steps of 4 KiB.
#[derive(Debug, Clone)]
pub struct HeadBudget {
    used: Arc<Counter>,
    most: usize,
    by_address: KeyedCounter<AddressKey>,
    most_each: u32,
}

impl HeadBudget {
    /// A budget of `total` bytes. One address may hold at most `each`, so that it cannot exhaust
    /// the budget for others.
    #[must_use]
    pub fn new(total: usize, each: usize) -> Self {
        let most_each = u32::try_from(each / STEP).unwrap_or(u32::MAX);
        Self {
            used: Arc::default(),
            most: total / STEP,
            by_address: KeyedCounter::default(),
            most_each,
        }
    }

    /// The share of one connection, empty at first. `None` stands for a trusted proxy, which serves
    /// many clients.
    #[must_use]
    pub fn share(&self, address: Option<AddressKey>) -> HeadShare {
        HeadShare { budget: self.clone(), address, held: Vec::new() }
    }

    fn step(&self, address: Option<AddressKey>) -> Option<HeldStep> {
        let of_all = self.used.take(self.most)?;
        let of_address = address.map(|key| self.by_address.take(key, self.most_each));
        Some(HeldStep { _of_all: of_all, _of_address: of_address.transpose().ok()? })
    }
}

/// The part of the budget that one connection holds, until it is dropped.
#[derive(Debug)]
pub struct HeadShare {
    budget: HeadBudget,
    address: Option<AddressKey>,
    held: Vec<HeldStep>,
}

/// The permits of 4 KiB.
#[derive(Debug)]
struct HeldStep {
    _of_all: Permit,
    _of_address: Option<KeyedPermit<AddressKey>>,
}

impl HeadShare {
    /// Takes enough from the budget for a head of `length` bytes.
    pub(super) fn cover(&mut self, length: usize) -> Result<(), HeadFault> {
        let steps = length.saturating_sub(OWN_HEAD).div_ceil(STEP);
        while self.held.len() < steps {
            self.held.push(self.budget.step(self.address).ok_or(HeadFault::NoRoom)?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::{HeadBudget, HeadFault, OWN_HEAD, STEP};
    use crate::values::AddressKey;

    fn address(last: u8) -> AddressKey {
        IpAddr::from(Ipv4Addr::new(192, 0, 2, last)).into()
    }

    #[test]
    fn addresses_are_limited_to_their_share_and_all_to_the_budget() {
        let budget = HeadBudget::new(64 << 10, 32 << 10);
        let long = OWN_HEAD + (16 << 10);
        let share = |address| {
            let mut share = budget.share(address);
            share.cover(long).map(|()| share)
        };
        let first: Vec<_> = (0..2).map(|_| share(Some(address(1))).unwrap()).collect();
        assert_eq!(share(Some(address(1))).unwrap_err(), HeadFault::NoRoom);
        budget.share(Some(address(1))).cover(OWN_HEAD).unwrap();
        let proxied = [share(None).unwrap(), share(None).unwrap()];
        assert_eq!(share(Some(address(2))).unwrap_err(), HeadFault::NoRoom);
        drop(proxied);
        share(Some(address(2))).unwrap();
        drop(first);
        assert_eq!((budget.used.used(), budget.by_address.keys()), (0, 0));
    }

    #[test]
    fn a_share_grows_with_its_head() {
        let budget = HeadBudget::new(16 << 10, 16 << 10);
        let mut share = budget.share(Some(address(1)));
        for length in 0..=OWN_HEAD + (16 << 10) {
            share.cover(length).unwrap();
        }
        assert_eq!(share.cover(OWN_HEAD + (16 << 10) + 1), Err(HeadFault::NoRoom));
        assert_eq!(budget.used.used() * STEP, 16 << 10);
    }
}
