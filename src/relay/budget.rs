//! How much memory all sessions together may hold of frames that are not whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that may be held, shared by all sessions; a clone is the same budget. What was taken
/// comes back when the buffer it was taken for is dropped.
#[derive(Debug, Clone)]
pub struct HoldBudget {
    left: Arc<AtomicUsize>,
}

impl HoldBudget {
    /// A budget of `total` bytes.
    #[must_use]
    pub fn new(total: usize) -> Self {
        Self { left: Arc::new(AtomicUsize::new(total)) }
    }

    /// Bytes that are not taken.
    #[must_use]
    pub fn left(&self) -> usize {
        self.left.load(Ordering::Relaxed)
    }

    /// Takes `bytes`, all or none; `None` if fewer are left.
    pub(super) fn take(&self, bytes: usize) -> Option<HoldPermit> {
        let less = |left: usize| left.checked_sub(bytes);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).ok()?;
        Some(HoldPermit { budget: self.clone(), bytes })
    }
}

/// Bytes taken from a budget; given back on drop.
#[derive(Debug)]
pub(super) struct HoldPermit {
    budget: HoldBudget,
    bytes: usize,
}

impl HoldPermit {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// One permit for what both stand for.
    pub(super) fn merged(first: Option<Self>, mut second: Self) -> Self {
        if let Some(mut first) = first {
            debug_assert!(Arc::ptr_eq(&first.budget.left, &second.budget.left));
            second.bytes += std::mem::take(&mut first.bytes);
        }
        second
    }
}

impl Drop for HoldPermit {
    fn drop(&mut self) {
        self.budget.left.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::HoldBudget;

    #[test]
    fn all_or_none_and_back_on_drop() {
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
}
