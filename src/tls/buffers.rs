//! Buffers that belong to the worker thread, so that no connection holds one while it waits.

use std::cell::Cell;

use super::records::{MAX_RECORD, Outgoing};

/// One read from a socket, at most. What all connections together hold grows with it while their
/// other ends are slow, the number of reads shrinks.
pub(super) const READ: usize = 32 * 1024;
const _: () = assert!(READ > MAX_RECORD, "a record can be completed");

/// What a read needs.
pub(super) struct Reading {
    /// Records: [`READ`] bytes.
    pub(super) raw: Vec<u8>,
    /// Plaintext of several records. Less than of `raw`.
    pub(super) plain: Vec<u8>,
}

impl Default for Reading {
    fn default() -> Self {
        Self { raw: vec![0; READ], plain: Vec::new() }
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
