//! The memory that all sessions together may use to hold incomplete frames, and the share of it that one
//! session, one address and all unidentified clients may have.

use std::collections::HashMap;
use std::iter;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::values::{AddressKey, Counter};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// The bounds of a [`HoldPool`], in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Shares {
    /// All sessions together.
    pub total: usize,
    /// All sessions without a verified token together; the rest of `total` is reserved for identified
    /// sessions.
    pub unidentified: usize,
    /// All sessions of one address.
    pub address: usize,
    /// The sessions of one address that have no verified token; the rest of `address` is reserved for
    /// identified sessions, so that unidentified clients cannot use up the share of users at the same
    /// address.
    pub unidentified_of_address: usize,
    /// One session, both directions together.
    pub session: usize,
}

/// The shares of the gateway's own pool. A session needs less than 64 KiB for a frame in each direction and
/// the rest of a read from a paused client; the longest first message needs 124 KiB.
impl Default for Shares {
    fn default() -> Self {
        Self {
            total: 64 * MIB,
            unidentified: 32 * MIB,
            address: 8 * MIB,
            unidentified_of_address: 4 * MIB,
            session: 128 * KIB,
        }
    }
}

/// The budget of the whole gateway; a clone is the same pool. Sessions get their part of it from
/// [`HoldPool::session`].
///
/// The pool is locked when a session begins and when one ends. Bytes that a session holds are accounted in
/// atomic counters, at most five, and only for an incomplete frame.
#[derive(Debug, Clone)]
pub struct HoldPool(Arc<PoolBytes>);

#[derive(Debug)]
struct PoolBytes {
    shares: Shares,
    all: Counter,
    unidentified: Counter,
    /// The addresses that have a session; never more than there are sessions.
    addresses: Mutex<HashMap<AddressKey, Arc<AddressBytes>>>,
}

/// The bytes that the sessions of one address hold.
#[derive(Debug, Default)]
struct AddressBytes {
    all: Counter,
    unidentified: Counter,
}

impl HoldPool {
    /// A pool with no bytes taken.
    #[must_use]
    pub fn new(shares: Shares) -> Self {
        Self(Arc::new(PoolBytes {
            shares,
            all: Counter::default(),
            unidentified: Counter::default(),
            addresses: Mutex::default(),
        }))
    }

    /// The budget of one session. `address` is `None` for a trusted proxy that names no client: it serves
    /// many clients. `identified`: a token was verified.
    #[must_use]
    pub fn session(&self, address: Option<AddressKey>, identified: bool) -> HoldBudget {
        let address = address.map(|key| {
            let mut addresses = self.0.addresses();
            (key, Arc::clone(addresses.entry(key).or_default()))
        });
        let own = Counter::default();
        let more = AtomicUsize::new(0);
        HoldBudget(Arc::new(SessionBytes { own, more, identified, address, pool: self.clone() }))
    }

    /// The bytes that are not taken.
    #[must_use]
    pub fn left(&self) -> usize {
        left(&self.0.all, self.0.shares.total)
    }
}

impl PoolBytes {
    fn addresses(&self) -> MutexGuard<'_, HashMap<AddressKey, Arc<AddressBytes>>> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The budget of one session; a clone is the same budget. Bytes are given back when the buffer that they
/// were taken for is dropped.
#[derive(Debug, Clone)]
pub struct HoldBudget(Arc<SessionBytes>);

#[derive(Debug)]
struct SessionBytes {
    own: Counter,
    /// The bytes of its share beyond [`Shares::session`].
    more: AtomicUsize,
    identified: bool,
    address: Option<(AddressKey, Arc<AddressBytes>)>,
    pool: HoldPool,
}

impl HoldBudget {
    /// A budget of `total` bytes, the only one of its pool.
    #[must_use]
    pub fn new(total: usize) -> Self {
        let shares = Shares { total, session: total, ..Shares::default() };
        HoldPool::new(shares).session(None, true)
    }

    /// Enlarges the share of this session by `more` bytes, in place of an earlier enlargement. The shares of its
    /// address and of the pool stay.
    pub fn enlarge(&self, more: usize) {
        self.0.more.store(more, Ordering::Relaxed);
    }

    /// The bytes that this session could take now.
    #[must_use]
    pub fn left(&self) -> usize {
        self.0.bounds().map(|(counter, most)| left(counter, most)).min().unwrap_or(0)
    }

    /// Takes `bytes`, all or none. `None`: the session, its address, the unidentified clients or the pool
    /// have fewer left.
    pub(crate) fn take(&self, bytes: usize) -> Option<HoldPermit> {
        for (index, (counter, most)) in self.0.bounds().enumerate() {
            if !counter.add(bytes, most) {
                self.0.bounds().take(index).for_each(|(counter, _)| counter.give_back(bytes));
                return None;
            }
        }
        Some(HoldPermit { budget: self.clone(), bytes })
    }
}

impl SessionBytes {
    /// The counters that this session's bytes are in, each with its bound, the narrowest first.
    fn bounds(&self) -> impl Iterator<Item = (&Counter, usize)> {
        let PoolBytes { shares, all, unidentified, .. } = &*self.pool.0;
        let address = self.address.as_ref().map(|(_, address)| &**address);
        let stranger = address.filter(|_| !self.identified);
        let more = self.more.load(Ordering::Relaxed);
        iter::once((&self.own, shares.session.saturating_add(more)))
            .chain(stranger.map(|address| (&address.unidentified, shares.unidentified_of_address)))
            .chain(address.map(|address| (&address.all, shares.address)))
            .chain((!self.identified).then_some((unidentified, shares.unidentified)))
            .chain(iter::once((all, shares.total)))
    }
}

fn left(counter: &Counter, most: usize) -> usize {
    most.saturating_sub(counter.used())
}

/// Removes the entry of the address with its last session.
impl Drop for SessionBytes {
    fn drop(&mut self) {
        if let Some((key, bytes)) = self.address.take() {
            let mut addresses = self.pool.0.addresses();
            // Dropped under the lock, so that of two sessions that end at the same time the second one sees
            // a count of 1, the map's own. Clones are made under the lock, too.
            drop(bytes);
            if addresses.get(&key).is_some_and(|left| Arc::strong_count(left) == 1) {
                addresses.remove(&key);
            }
        }
    }
}

/// Bytes taken from a budget; given back on drop.
#[derive(Debug)]
pub struct HoldPermit {
    budget: HoldBudget,
    bytes: usize,
}

impl HoldPermit {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Merges two permits into one for the bytes of both.
    pub(super) fn merged(first: Option<Self>, mut second: Self) -> Self {
        if let Some(mut first) = first {
            debug_assert!(Arc::ptr_eq(&first.budget.0, &second.budget.0));
            second.bytes += std::mem::take(&mut first.bytes);
        }
        second
    }
}

impl Drop for HoldPermit {
    fn drop(&mut self) {
        self.budget.0.bounds().for_each(|(counter, _)| counter.give_back(self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::{AddressKey, HoldBudget, HoldPool, Shares};

    const SHARES: Shares = Shares {
        total: 1000,
        unidentified: 500,
        address: 200,
        unidentified_of_address: 100,
        session: 60,
    };

    fn address(last: u8) -> AddressKey {
        IpAddr::from([192, 0, 2, last]).into()
    }

    #[test]
    fn budget_is_taken_whole_and_returned_on_drop() {
        let budget = HoldBudget::new(100);
        let first = budget.take(60).expect("60 of 100");
        assert_eq!(first.bytes(), 60);
        assert!(budget.take(41).is_none(), "41 of 40");
        assert_eq!(budget.left(), 40, "a refused take takes nothing");
        let second = budget.clone().take(40).expect("40 of 40");
        assert!(budget.take(1).is_none());
        drop(first);
        assert_eq!(budget.left(), 60);
        drop(second);
        assert_eq!(budget.left(), 100);
    }

    #[test]
    fn a_session_is_limited_to_its_share() {
        let pool = HoldPool::new(SHARES);
        let one = pool.session(Some(address(1)), true);
        let held = one.take(60).expect("all of its share");
        assert!(one.take(1).is_none());
        assert!(
            pool.session(Some(address(1)), true).take(60).is_some(),
            "another session has its own"
        );
        drop(held);
        assert_eq!(pool.left(), 1000);
    }

    #[test]
    fn an_address_is_limited_to_its_share_and_reserves_part_for_verified_sessions() {
        let pool = HoldPool::new(SHARES);
        let take = |address, identified, bytes| pool.session(address, identified).take(bytes);
        let [one, two] = [1, 2].map(|last| Some(address(last)));
        let _strangers = [take(one, false, 50), take(one, false, 50)].map(Option::unwrap);
        assert!(take(one, false, 1).is_none(), "the address's strangers have their share");
        let _users = [take(one, true, 50), take(one, true, 50)].map(Option::unwrap);
        assert!(take(one, true, 1).is_none(), "the address has its share");
        assert!(take(two, false, 60).is_some(), "another address has its own");
        assert!(take(None, false, 60).is_some(), "a proxy that names no client is no address");
    }

    #[test]
    fn an_ipv6_client_has_one_share_for_its_64() {
        let pool = HoldPool::new(SHARES);
        let session =
            |text: &str| pool.session(Some(text.parse::<IpAddr>().unwrap().into()), false);
        let _held =
            [session("2001:db8::1").take(50), session("2001:db8::2").take(50)].map(Option::unwrap);
        assert!(session("2001:db8::3").take(1).is_none());
        assert!(session("2001:db8:0:1::3").take(60).is_some());
    }

    #[test]
    fn the_pool_reserves_part_for_verified_sessions() {
        let pool = HoldPool::new(SHARES);
        let take = |last, identified| pool.session(Some(address(last)), identified).take(50);
        let strangers: Vec<_> = (0..10).map(|last| take(last, false).unwrap()).collect();
        assert!(take(100, false).is_none(), "unidentified clients have their share");
        let users: Vec<_> = (0..10).map(|last| take(last, true).unwrap()).collect();
        assert_eq!(pool.left(), 0);
        assert!(take(100, true).is_none());
        drop((strangers, users));
        assert_eq!((pool.left(), pool.session(Some(address(1)), false).left()), (1000, 60));
    }

    #[test]
    fn a_refused_take_takes_nothing_anywhere() {
        let pool = HoldPool::new(Shares { total: 90, ..SHARES });
        let _held = pool.session(Some(address(1)), false).take(50).unwrap();
        let other = pool.session(Some(address(2)), false);
        assert!(other.take(50).is_none(), "the pool has 40");
        assert_eq!(other.left(), 40, "its own share, and its address's, are whole");
    }

    #[test]
    fn an_address_is_removed_with_its_last_session() {
        let pool = HoldPool::new(SHARES);
        let budgets: Vec<_> =
            (0..200u8).map(|last| pool.session(Some(address(last / 2)), false)).collect();
        assert_eq!(pool.0.addresses().len(), 100);
        let permit = budgets[0].take(10).unwrap();
        drop(budgets);
        assert_eq!(pool.0.addresses().len(), 1, "its buffer is still there");
        drop(permit);
        assert_eq!((pool.0.addresses().len(), pool.left()), (0, 1000));
    }

    #[test]
    fn concurrent_takes_neither_exceed_nor_lose_budget() {
        let pool = HoldPool::new(Shares { session: 1000, address: 1000, ..SHARES });
        // At most the bytes that are taken: counted after each take and before each return.
        let taken = AtomicUsize::new(0);
        thread::scope(|scope| {
            for last in 0..4 {
                let (pool, taken) = (&pool, &taken);
                scope.spawn(move || {
                    for round in 0..500usize {
                        let budget = pool.session(Some(address(last % 2)), round % 2 == 0);
                        let held: Vec<_> = (0..9)
                            .map_while(|_| budget.take(70))
                            .inspect(|_| {
                                assert!(taken.fetch_add(70, Ordering::SeqCst) + 70 <= 1000);
                            })
                            .collect();
                        taken.fetch_sub(70 * held.len(), Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!((pool.left(), pool.0.addresses().len()), (1000, 0));
        assert_eq!(pool.session(Some(address(0)), false).left(), 100);
    }
}
