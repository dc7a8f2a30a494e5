//! Bounds the memory for request heads, which are read before their client is known: each
//! connection has an allowance of its own, and longer heads take from a budget that all connections
//! share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::values::AddressKey;
use crate::values::{Reason, Refusal};

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

/// The bytes that all heads beyond [`OWN_HEAD`] may hold together. Clones share the budget.
#[derive(Debug, Clone)]
pub struct HeadBudget(Arc<Mutex<HeldHeads>>);

#[derive(Debug)]
struct HeldHeads {
    /// The limit of all connections.
    total: usize,
    /// The limit of the connections of one address.
    each: usize,
    used: usize,
    /// The bytes held by address. Only addresses that hold some have an entry.
    by_address: HashMap<AddressKey, usize>,
}

impl HeadBudget {
    /// A budget of `total` bytes. One address may hold at most `each`, so that it cannot exhaust
    /// the budget for others.
    #[must_use]
    pub fn new(total: usize, each: usize) -> Self {
        Self(Arc::new(Mutex::new(HeldHeads { total, each, used: 0, by_address: HashMap::new() })))
    }

    /// The share of one connection, empty at first. `None` stands for a trusted proxy, which serves
    /// many clients.
    #[must_use]
    pub fn share(&self, address: Option<AddressKey>) -> HeadShare {
        HeadShare { budget: self.clone(), address, bytes: 0 }
    }

    fn locked(&self) -> MutexGuard<'_, HeldHeads> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bytes that one connection holds of the budget, until it is dropped.
#[derive(Debug)]
pub struct HeadShare {
    budget: HeadBudget,
    address: Option<AddressKey>,
    bytes: usize,
}

impl HeadShare {
    /// Takes enough from the budget for a head of `length` bytes.
    pub(super) fn cover(&mut self, length: usize) -> Result<(), HeadFault> {
        let wanted = length.saturating_sub(OWN_HEAD).next_multiple_of(STEP);
        let Some(more) = wanted.checked_sub(self.bytes).filter(|more| *more > 0) else {
            return Ok(());
        };
        let mut held = self.budget.locked();
        let HeldHeads { total, each, used, by_address } = &mut *held;
        if *used + more > *total {
            return Err(HeadFault::NoRoom);
        }
        if let Some(address) = self.address {
            let own = by_address.get(&address).copied().unwrap_or(0) + more;
            if own > *each {
                return Err(HeadFault::NoRoom);
            }
            by_address.insert(address, own);
        }
        *used += more;
        self.bytes = wanted;
        Ok(())
    }
}

impl Drop for HeadShare {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        let mut held = self.budget.locked();
        held.used -= self.bytes;
        if let Some(address) = self.address {
            let left = held.by_address.get(&address).map_or(0, |own| own - self.bytes);
            if left == 0 {
                held.by_address.remove(&address);
            } else {
                held.by_address.insert(address, left);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::{HeadBudget, HeadFault, OWN_HEAD};
    use crate::values::AddressKey;

    fn address(last: u8) -> AddressKey {
        IpAddr::from(Ipv4Addr::new(192, 0, 2, last)).into()
    }

    #[test]
    fn one_address_cannot_have_it_all_and_all_have_no_more_than_there_is() {
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
        let held = budget.locked();
        assert_eq!((held.used, held.by_address.len()), (0, 0));
    }

    #[test]
    fn a_share_grows_with_its_head() {
        let budget = HeadBudget::new(16 << 10, 16 << 10);
        let mut share = budget.share(Some(address(1)));
        for length in 0..=OWN_HEAD + (16 << 10) {
            share.cover(length).unwrap();
        }
        assert_eq!(share.cover(OWN_HEAD + (16 << 10) + 1), Err(HeadFault::NoRoom));
        assert_eq!(budget.locked().used, 16 << 10);
    }
}
