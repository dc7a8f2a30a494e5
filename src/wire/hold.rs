//! The bytes of a frame that is not whole yet, kept back from the other side.

use super::budget::{HoldBudget, HoldPermit};

/// Up to here a buffer is not counted against the budget: what others hold never keeps a control
/// frame, a small message or a token from being held until it is whole.
pub(crate) const UNCOUNTED: usize = 4 * 1024;
/// The smallest buffer: a control frame (131 bytes at most) or a header always fits.
const SMALLEST: usize = 256;

/// What was taken from the sender and not released. Costs a pointer while nothing is held; its
/// buffer grows with the bytes that arrive, never with a length that is only declared.
#[derive(Debug, Default)]
pub(crate) struct Hold(Option<Box<Buffer>>);

#[derive(Debug, Default)]
struct Buffer {
    counted: CountedBytes,
    /// The bytes are being handed out, and are gone with the next call.
    spent: bool,
}

/// Bytes whose room beyond [`UNCOUNTED`] is taken from a budget, and given back with them.
#[derive(Debug, Default)]
pub(crate) struct CountedBytes {
    pub(crate) bytes: Vec<u8>,
    /// For the capacity above `UNCOUNTED`.
    permit: Option<HoldPermit>,
}

impl Hold {
    /// The bytes that are held back.
    pub(crate) fn pending(&self) -> &[u8] {
        self.buffer(false)
    }

    /// The bytes that are released with this call.
    pub(crate) fn spent(&self) -> &[u8] {
        self.buffer(true)
    }

    fn buffer(&self, spent: bool) -> &[u8] {
        match &self.0 {
            Some(buffer) if buffer.spent == spent => &buffer.counted.bytes,
            _ => &[],
        }
    }

    /// Holds `more` back too, up to the frame size that is held at all. `false`, and nothing
    /// done, when the budget has not enough.
    #[must_use]
    pub(crate) fn push(&mut self, more: &[u8], budget: &HoldBudget) -> bool {
        let buffer = self.0.get_or_insert_default();
        debug_assert!(!buffer.spent, "released bytes are forgotten before others are held");
        buffer.counted.push(more, budget)
    }

    /// As [`Hold::push`], for what needs no budget.
    #[must_use]
    pub(crate) fn push_small(&mut self, more: &[u8]) -> bool {
        let CountedBytes { bytes, .. } = &mut self.0.get_or_insert_default().counted;
        let fits = bytes.len() + more.len() <= SMALLEST;
        if fits {
            bytes.extend_from_slice(more);
        }
        fits
    }

    /// What is held is released.
    #[inline]
    pub(crate) fn spend(&mut self) {
        if let Some(buffer) = &mut self.0 {
            buffer.spent |= !buffer.counted.bytes.is_empty();
        }
    }

    /// Released bytes are gone; the buffer stays for the next frame.
    #[inline]
    pub(crate) fn forget_spent(&mut self) {
        match &mut self.0 {
            Some(buffer) if buffer.spent => buffer.clear(),
            _ => {}
        }
    }

    /// What is held back is thrown away.
    pub(crate) fn discard(&mut self) {
        match &mut self.0 {
            Some(buffer) if !buffer.spent => buffer.clear(),
            _ => {}
        }
    }

    /// Frees the buffer, if nothing is held back.
    pub(crate) fn free(&mut self) {
        if self.pending().is_empty() {
            self.0 = None;
        }
    }
}

impl Buffer {
    fn clear(&mut self) {
        self.counted.bytes.clear();
        self.spent = false;
    }
}

impl CountedBytes {
    /// Appends `more`. `false`, and nothing done, when the budget has not enough.
    #[must_use]
    pub(crate) fn push(&mut self, more: &[u8], budget: &HoldBudget) -> bool {
        let granted = self.grow(self.bytes.len() + more.len(), budget);
        if granted {
            self.bytes.extend_from_slice(more);
        }
        granted
    }

    /// The permit alone: the bytes are held in another way.
    pub(crate) fn into_permit(self) -> Option<HoldPermit> {
        self.permit
    }

    /// Makes the capacity at least `size`, doubling, so that a frame that trickles in is copied
    /// a bounded number of times.
    fn grow(&mut self, size: usize, budget: &HoldBudget) -> bool {
        if size <= self.bytes.capacity() {
            return true;
        }
        let capacity = size.next_power_of_two().max(SMALLEST);
        let counted = capacity.saturating_sub(UNCOUNTED);
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
