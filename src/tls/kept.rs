//! Bytes that wait to be taken.

/// Bytes that wait. Costs no allocation while there are none.
#[derive(Default)]
pub(super) struct Kept {
    bytes: Vec<u8>,
    /// So many are gone already.
    start: usize,
}

impl Kept {
    pub(super) fn is_empty(&self) -> bool {
        self.rest().is_empty()
    }

    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    pub(super) fn push(&mut self, more: &[u8]) {
        self.bytes.extend_from_slice(more);
    }

    pub(super) fn advance(&mut self, taken: usize) {
        self.start += taken;
        if self.is_empty() {
            *self = Self::default();
        }
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

impl From<Vec<u8>> for Kept {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, start: 0 }
    }
}
