//! Counts in use, with a bound, by one atomic number.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// An amount in use: connections, requests or bytes. Each taker states the bound, because a reload may
/// change it; lowering it takes nothing back.
#[derive(Debug, Default)]
pub struct Counter(AtomicUsize);

/// Counts as one until it is dropped.
#[derive(Debug)]
pub struct Permit(Arc<Counter>);

impl Counter {
    /// Takes one if fewer than `most` are in use.
    #[must_use]
    pub fn take(self: &Arc<Self>, most: usize) -> Option<Permit> {
        self.add(1, most).then(|| Permit(Arc::clone(self)))
    }

    /// Takes one, however many are in use.
    #[must_use]
    pub fn hold(self: &Arc<Self>) -> Permit {
        self.0.fetch_add(1, Ordering::Relaxed);
        Permit(Arc::clone(self))
    }

    /// The amount in use; above the bound if the bound was lowered meanwhile.
    #[must_use]
    pub fn used(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Takes `amount`, all or none, if at most `most` are in use then. For a permit that counts in
    /// several counters; its drop calls [`Counter::give_back`].
    pub(crate) fn add(&self, amount: usize, most: usize) -> bool {
        let more = |used: usize| used.checked_add(amount).filter(|sum| *sum <= most);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// Gives back an amount that [`Counter::add`] took.
    pub(crate) fn give_back(&self, amount: usize) {
        self.0.fetch_sub(amount, Ordering::Relaxed);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.give_back(1);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::Counter;

    #[test]
    fn a_permit_counts_until_it_is_dropped() {
        let counter = Arc::<Counter>::default();
        let held: Vec<_> = (0..3).map(|_| counter.take(3).expect("3 of 3")).collect();
        assert!(counter.take(3).is_none());
        assert!(counter.take(2).is_none(), "the bound was lowered");
        drop(held);
        assert_eq!(counter.used(), 0);
        assert!(counter.take(1).is_some());
        let held = [counter.hold(), counter.hold()];
        assert_eq!(counter.used(), 2);
        assert!(counter.take(2).is_none(), "a hold counts like a take");
        drop(held);
        assert_eq!(counter.used(), 0);
    }

    #[test]
    fn an_amount_is_taken_whole_or_not_at_all() {
        let counter = Counter::default();
        assert!(counter.add(60, 100));
        assert!(!counter.add(41, 100));
        assert!(!counter.add(usize::MAX, usize::MAX));
        assert_eq!(counter.used(), 60);
        counter.give_back(60);
        assert!(counter.add(100, 100));
    }

    #[test]
    fn threads_never_take_more_than_the_bound() {
        let counter = Arc::<Counter>::default();
        let taken = thread::scope(|scope| {
            let take = || (0..100).filter_map(|_| counter.take(50)).collect();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
            threads.into_iter().map(|one| one.join().unwrap()).collect::<Vec<Vec<_>>>()
        });
        assert_eq!(taken.iter().map(Vec::len).sum::<usize>(), 50);
    }
}
