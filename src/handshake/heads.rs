//! Memory for request heads that are read before anything is known of their client: a part that every
//! connection has of its own, and a budget that all share for what is beyond.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::values::AddressKey;
use crate::values::{Reason, Refusal};

/// Bytes of a head that every connection may hold without asking.
pub const OWN_HEAD: usize = 16 * 1024;
/// What is taken of the budget at once.
const STEP: usize = 4 * 1024;

/// `[server] max_head` and `max_fields`.
#[derive(Debug, Clone, Copy)]
pub struct HeadLimits {
    /// Bytes, with the empty line that ends the head.
    pub bytes: usize,
    /// Header fields.
    pub fields: usize,
}

/// Why a head is not read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadFault {
    /// It has more bytes than `max_head`.
    Bytes(usize),
    /// It has more fields than `max_fields`.
    Fields(usize),
    /// It is longer than [`OWN_HEAD`], and the budget is used up, or the address's part of it.
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

/// Bytes that heads beyond [`OWN_HEAD`] may hold together; a clone is the same budget.
#[derive(Debug, Clone)]
pub struct HeadBudget(Arc<Mutex<Held>>);

#[derive(Debug)]
struct Held {
    /// Of all connections.
    total: usize,
    /// Of those of one address.
    each: usize,
    used: usize,
    /// By address. Never more entries than connections that hold something.
    by_address: HashMap<AddressKey, usize>,
}

impl HeadBudget {
    /// A budget of `total` bytes, of which one address may have `each`: it cannot keep others out.
    #[must_use]
    pub fn new(total: usize, each: usize) -> Self {
        Self(Arc::new(Mutex::new(Held { total, each, used: 0, by_address: HashMap::new() })))
    }

    /// The share of one connection, empty at first. `None` is a trusted proxy, which speaks for many.
    #[must_use]
    pub fn share(&self, address: Option<AddressKey>) -> HeadShare {
        HeadShare { budget: self.clone(), address, bytes: 0 }
    }

    fn locked(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one connection holds of the budget, until it is dropped.
#[derive(Debug)]
pub struct HeadShare {
    budget: HeadBudget,
    address: Option<AddressKey>,
    bytes: usize,
}

impl HeadShare {
    /// Holds enough for a head of `length` bytes, or says that there is no room.
    pub(super) fn cover(&mut self, length: usize) -> Result<(), HeadFault> {
        let wanted = length.saturating_sub(OWN_HEAD).next_multiple_of(STEP);
        let Some(more) = wanted.checked_sub(self.bytes).filter(|more| *more > 0) else {
            return Ok(());
        };
        let mut held = self.budget.locked();
        let Held { total, each, used, by_address } = &mut *held;
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
