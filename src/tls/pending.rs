//! Bytes of a connection that wait for a reader or for the socket.

/// A queue of bytes. An empty queue takes the space of a pointer.
#[derive(Default)]
pub(super) struct PendingBytes(Option<Box<Bytes>>);

#[derive(Default)]
struct Bytes {
    all: Vec<u8>,
    /// The offset of the first byte that was not taken yet.
    start: usize,
}

impl PendingBytes {
    pub(super) fn is_empty(&self) -> bool {
        self.rest().is_empty()
    }

    pub(super) fn rest(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |bytes| &bytes.all[bytes.start..])
    }

    pub(super) fn push(&mut self, more: &[u8]) {
        if !more.is_empty() {
            self.0.get_or_insert_default().all.extend_from_slice(more);
        }
    }

    pub(super) fn advance(&mut self, taken: usize) {
        if let Some(bytes) = &mut self.0 {
            bytes.start += taken;
        }
        if self.is_empty() {
            *self = Self::default();
        }
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.0.as_ref().map_or(0, |bytes| bytes.all.capacity())
    }
}

impl From<Vec<u8>> for PendingBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self((!bytes.is_empty()).then(|| Box::new(Bytes { all: bytes, start: 0 })))
    }
}
