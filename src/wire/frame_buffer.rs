//! The frame buffer: holds the bytes of an incomplete frame back from the other peer.

use super::budget::{HoldBudget, HoldPermit};

/// Bytes of a buffer that are not counted against the budget: however much other sessions hold, a control
/// frame, a small message or a token can be held until it is complete.
pub(crate) const UNCOUNTED: usize = 4 * 1024;
/// The smallest buffer: a control frame (131 bytes at most) or a header always fits.
const SMALLEST: usize = 256;

/// Bytes that were consumed and not released. Costs a pointer while it is empty; it grows with the bytes
/// that arrive, never with a length that is only declared.
#[derive(Debug, Default)]
pub(super) struct FrameBuffer(Option<Box<Buffer>>);

#[derive(Debug, Default)]
struct Buffer {
    counted: CountedBytes,
    /// The bytes are released with this call, and cleared by the next.
    spent: bool,
}

/// Bytes with a budget permit for the capacity beyond [`UNCOUNTED`], which is released with them.
#[derive(Debug, Default)]
pub(crate) struct CountedBytes {
    pub(crate) bytes: Vec<u8>,
    /// For the capacity above `UNCOUNTED`.
    permit: Option<HoldPermit>,
}

impl FrameBuffer {
    /// The held bytes.
    pub(super) fn pending(&self) -> &[u8] {
        self.buffer(false)
    }

    /// The bytes that are released with this call.
    pub(super) fn spent(&self) -> &[u8] {
        self.buffer(true)
    }

    fn buffer(&self, spent: bool) -> &[u8] {
        match &self.0 {
            Some(buffer) if buffer.spent == spent => &buffer.counted.bytes,
            _ => &[],
        }
    }

    /// Holds `more`, too. Returns `false`, and changes nothing, if the budget has no room.
    #[must_use]
    pub(super) fn push(&mut self, more: &[u8], budget: &HoldBudget) -> bool {
        let buffer = self.0.get_or_insert_default();
        debug_assert!(!buffer.spent, "released bytes are forgotten before others are held");
        buffer.counted.push(more, budget)
    }

    /// Puts `first` before the held bytes. Returns `false`, and the held bytes are lost, if the budget has
    /// no room.
    #[must_use]
    pub(super) fn put_before(&mut self, first: CountedBytes, budget: &HoldBudget) -> bool {
        let held = self.take();
        self.0.get_or_insert_default().counted = first;
        self.push(&held.bytes, budget)
    }

    /// Takes the held bytes out of the buffer.
    pub(super) fn take(&mut self) -> CountedBytes {
        debug_assert!(self.spent().is_empty(), "released bytes are not held any more");
        self.0.take().map(|buffer| buffer.counted).unwrap_or_default()
    }

    /// Releases the held bytes.
    #[inline]
    pub(super) fn spend(&mut self) {
        if let Some(buffer) = &mut self.0 {
            buffer.spent |= !buffer.counted.bytes.is_empty();
        }
    }

    /// Clears released bytes; the buffer stays for the next frame.
    #[inline]
    pub(super) fn forget_spent(&mut self) {
        match &mut self.0 {
            Some(buffer) if buffer.spent => buffer.clear(),
            _ => {}
        }
    }

    /// Discards the held bytes.
    pub(super) fn discard(&mut self) {
        match &mut self.0 {
            Some(buffer) if !buffer.spent => buffer.clear(),
            _ => {}
        }
    }

    /// Frees the buffer, if it holds no bytes.
    pub(super) fn free(&mut self) {
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
    /// Appends `more`. Returns `false`, and changes nothing, if the budget has no room.
    #[must_use]
    pub(crate) fn push(&mut self, more: &[u8], budget: &HoldBudget) -> bool {
        let granted = self.grow(self.bytes.len() + more.len(), budget);
        if granted {
            self.bytes.extend_from_slice(more);
        }
        granted
    }

    /// The permit alone, for a caller that stores the bytes itself.
    pub(super) fn into_permit(self) -> Option<HoldPermit> {
        self.permit
    }

    /// Makes the capacity at least `size`, doubling it, so that the bytes of a frame that trickles in are
    /// copied a bounded number of times.
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
