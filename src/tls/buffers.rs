//! Per-thread I/O buffers, so that no connection holds one while it waits.

use std::cell::Cell;

use super::engine::OutgoingRecords;
use super::records::MAX_RECORD;

/// The largest read from a socket or write to it: two messages of 64 KiB with the overhead of frames
/// and records. It bounds the memory of a connection with a slow peer. With half of this size large
/// messages cost a tenth more for system calls; twice the size saves nothing.
pub(crate) const AT_ONCE: usize = 144 * 1024;
const _: () = assert!(AT_ONCE > MAX_RECORD, "a record can be completed");

/// The buffers for a read.
pub(super) struct ReadBuffers {
    /// Encrypted records: [`AT_ONCE`] bytes.
    pub(super) raw: Vec<u8>,
    /// The plaintext of several records, shorter than `raw`.
    pub(super) plain: Vec<u8>,
}

impl Default for ReadBuffers {
    fn default() -> Self {
        Self { raw: vec![0; AT_ONCE], plain: Vec::new() }
    }
}

thread_local! {
    static READING: Cell<Option<Box<ReadBuffers>>> = const { Cell::new(None) };
    static WRITING: Cell<Option<Box<OutgoingRecords>>> = const { Cell::new(None) };
}

/// Calls `work` with the read buffers of the thread. A nested call gets buffers of its own.
pub(super) fn with_read_buffers<T>(work: impl FnOnce(&mut ReadBuffers) -> T) -> T {
    let mut buffers = READING.take().unwrap_or_default();
    let result = work(&mut buffers);
    READING.set(Some(buffers));
    result
}

/// Calls `work` with the empty write buffer of the thread. A nested call gets a buffer of its own.
pub(super) fn with_write_buffer<T>(work: impl FnOnce(&mut OutgoingRecords) -> T) -> T {
    let mut out = WRITING.take().unwrap_or_default();
    out.clear();
    let result = work(&mut out);
    WRITING.set(Some(out));
    result
}
