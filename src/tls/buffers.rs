//! Buffers that belong to the worker thread, so that no connection holds one while it waits.

use std::cell::Cell;

use super::records::{MAX_RECORD, Outgoing};

/// Bytes of one read from a socket, or of one write, at most: two messages of 64 KiB with what
/// frames and records add. It bounds what a connection holds while its other end is slow; with half
/// of it large messages cost a tenth more for system calls, with twice as much nothing less.
pub(crate) const AT_ONCE: usize = 144 * 1024;
const _: () = assert!(AT_ONCE > MAX_RECORD, "a record can be completed");

/// What a read needs.
pub(super) struct Reading {
    /// Records: [`AT_ONCE`] bytes.
    pub(super) raw: Vec<u8>,
    /// Plaintext of several records. Less than of `raw`.
    pub(super) plain: Vec<u8>,
}

impl Default for Reading {
    fn default() -> Self {
        Self { raw: vec![0; AT_ONCE], plain: Vec::new() }
    }
}

thread_local! {
    static READING: Cell<Option<Box<Reading>>> = const { Cell::new(None) };
    static WRITING: Cell<Option<Box<Outgoing>>> = const { Cell::new(None) };
}

/// Lends the buffers for a read. Whoever asks while they are lent gets others.
pub(super) fn reading<T>(work: impl FnOnce(&mut Reading) -> T) -> T {
    let mut reading = READING.take().unwrap_or_default();
    let result = work(&mut reading);
    READING.set(Some(reading));
    result
}

/// Lends the buffer for a write, empty. Whoever asks while it is lent gets another.
pub(super) fn writing<T>(work: impl FnOnce(&mut Outgoing) -> T) -> T {
    let mut out = WRITING.take().unwrap_or_default();
    out.clear();
    let result = work(&mut out);
    WRITING.set(Some(out));
    result
}
