//! The bytes of a frame that is not whole yet, kept back from the other side.

use super::budget::{HoldBudget, HoldPermit};

/// Up to here a buffer is not counted against the budget: a control frame (131 bytes at most) or
/// a header that is not whole must be held whatever the others hold.
pub(super) const UNCOUNTED: usize = 256;

/// What was taken from the sender and not released. Costs a pointer while nothing is held; its
/// buffer grows with the bytes that arrive, never with a length that is only declared.
#[derive(Debug, Default)]
pub(super) struct Hold(Option<Box<Buffer>>);

#[derive(Debug, Default)]
struct Buffer {
    bytes: Vec<u8>,
    /// For the capacity above `UNCOUNTED`.
    permit: Option<HoldPermit>,
    /// The bytes are being handed out, and are gone with the next call.
    spent: bool,
}

impl Hold {
    /// The bytes that are held back.
    pub(super) fn pending(&self) -> &[u8] {
        self.buffer(false)
    }

    /// The bytes that are released with this call.
    pub(super) fn spent(&self) -> &[u8] {
        self.buffer(true)
    }

    fn buffer(&self, spent: bool) -> &[u8] {
        match &self.0 {
            Some(buffer) if buffer.spent == spent => &buffer.bytes,
            _ => &[],
        }
    }

    /// Holds `more` back too, up to the frame size that is held at all. `false`, and nothing
    /// done, when the budget has not enough.
    #[must_use]
    pub(super) fn push(&mut self, more: &[u8], budget: &HoldBudget) -> bool {
        let buffer = self.0.get_or_insert_default();
        debug_assert!(!buffer.spent, "released bytes are forgotten before others are held");
        let granted = buffer.grow(buffer.bytes.len() + more.len(), budget);
        if granted {
            buffer.bytes.extend_from_slice(more);
        }
        granted
    }

    /// What is held is released.
    #[inline]
    pub(super) fn spend(&mut self) {
        if let Some(buffer) = &mut self.0 {
            buffer.spent |= !buffer.bytes.is_empty();
        }
    }

    /// Released bytes are gone; the buffer stays for the next frame.
    #[inline]
    pub(super) fn forget_spent(&mut self) {
        match &mut self.0 {
            Some(buffer) if buffer.spent => buffer.clear(),
            _ => {}
        }
    }

    /// What is held back is thrown away.
    pub(super) fn discard(&mut self) {
        match &mut self.0 {
            Some(buffer) if !buffer.spent => buffer.clear(),
            _ => {}
        }
    }

    /// Frees the buffer, if nothing is held back.
    pub(super) fn free(&mut self) {
        if self.pending().is_empty() {
            self.0 = None;
        }
    }
}

impl Buffer {
    fn clear(&mut self) {
        self.bytes.clear();
        self.spent = false;
    }

    /// Makes the capacity at least `size`, doubling, so that a frame that trickles in is copied
    /// a bounded number of times.
    fn grow(&mut self, size: usize, budget: &HoldBudget) -> bool {
        if size <= self.bytes.capacity() {
            return true;
        }
        let capacity = size.next_power_of_two().max(UNCOUNTED);
        let counted = capacity - UNCOUNTED;
        let taken = self.permit.as_ref().map_or(0, HoldPermit::bytes);
        if counted > taken {
            let Some(more) = budget.take(counted - taken) else {
                return false;
            };
            self.permit = Some(HoldPermit::merged(self.permit.take(), more));
        }
        self.bytes.reserve_exact(capacity - self.bytes.len());
        true
    }
}
