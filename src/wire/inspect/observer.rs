//! Shows whole messages to an observer, which changes nothing: neither the bytes that are released nor when.

use std::fmt;

use tokio::time::Instant;

use super::super::{HeaderBytes, Opcode, mask};

/// The most bytes of a message that an observer gets.
pub const MOST_OBSERVED: usize = 64 * 1024;

/// Sees the messages of one direction of a session.
pub trait MessageObserver: fmt::Debug + Send + Sync {
    /// A message begins; returns whether its payload is wanted.
    fn begin(&mut self, now: Instant) -> bool;

    /// Takes a permit for further bytes of the payload. `false`: there is no room, and none of it is kept.
    fn reserve(&mut self, bytes: usize) -> bool;

    /// The message that began has ended, and its permits with it; also called for a message that a rule discards.
    fn end(&mut self, message: &ObservedMessage<'_>);

    /// The message that began does not count, and its permits end: it hands in a token.
    fn forget(&mut self);
}

/// A message that has ended.
#[derive(Debug, Clone, Copy)]
pub struct ObservedMessage<'a> {
    /// Whether it is a binary message.
    pub binary: bool,
    /// The bytes of its payload; inflated, if it was compressed.
    pub size: u64,
    /// The payload; `None`: it was not wanted, is larger than [`MOST_OBSERVED`], or there was no room for it.
    pub payload: Option<&'a [u8]>,
    /// The instant of the read that ended it.
    pub now: Instant,
}

/// Collects the messages of one direction for an observer.
#[derive(Debug)]
pub(in crate::wire) struct MessageCollector {
    observer: Box<dyn MessageObserver>,
    /// The instant of the read in progress.
    now: Instant,
    /// Whether the beginning of the message in progress was seen.
    begun: bool,
    binary: bool,
    size: u64,
    /// The payload of the message in progress so far; `None`: it is not kept.
    payload: Option<Vec<u8>>,
}

impl MessageCollector {
    pub(in crate::wire) fn new(observer: Box<dyn MessageObserver>, now: Instant) -> Self {
        Self { observer, now, begun: false, binary: false, size: 0, payload: None }
    }

    /// Sets the instant of the read that follows.
    pub(super) fn at(&mut self, now: Instant) {
        self.now = now;
    }

    /// Notes the beginning of a data frame.
    pub(super) fn begin_frame(&mut self, head: &HeaderBytes) {
        if head.opcode() == Opcode::Continuation {
            return;
        }
        self.binary = head.opcode() == Opcode::Binary;
        (self.begun, self.size) = (true, 0);
        self.payload = self.observer.begin(self.now).then(Vec::new);
    }

    /// Reads a piece of the payload of an uncompressed frame, `done` bytes into it.
    pub(super) fn read(&mut self, head: &HeaderBytes, done: u64, piece: &[u8]) {
        if let Some(payload) = self.room(piece.len()) {
            let start = payload.len();
            payload.resize(start + piece.len(), 0);
            mask::unmask(piece, mask::key_at(head.key(), done), &mut payload[start..]);
        }
    }

    /// Reads the next inflated text of a compressed message.
    pub(super) fn read_inflated(&mut self, text: &[u8]) {
        if let Some(payload) = self.room(text.len()) {
            payload.extend_from_slice(text);
        }
    }

    /// Counts further bytes of the message; returns the payload if they are kept.
    fn room(&mut self, bytes: usize) -> Option<&mut Vec<u8>> {
        self.size = self.size.saturating_add(bytes as u64);
        let fits = self.size <= MOST_OBSERVED as u64;
        if self.payload.is_some() && !(fits && self.observer.reserve(bytes)) {
            self.payload = None;
        }
        self.payload.as_mut()
    }

    /// Shows the message that has ended, unless its beginning was not seen.
    pub(super) fn end(&mut self) {
        let payload = self.payload.take();
        if std::mem::take(&mut self.begun) {
            let Self { binary, size, now, .. } = *self;
            let payload = payload.as_deref();
            self.observer.end(&ObservedMessage { binary, size, payload, now });
        }
    }

    /// Forgets the message in progress.
    pub(super) fn forget(&mut self) {
        self.payload = None;
        if std::mem::take(&mut self.begun) {
            self.observer.forget();
        }
    }
}
