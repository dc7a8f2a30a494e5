//! The seam in front of rustls: one side of a TLS connection over bytes that the caller owns. Streams
//! and handshakes know nothing else of a connection, so that another version of rustls changes one
//! file, the implementation.

use rustls::Error;

/// One side of a TLS connection, without a socket and without a buffer of its own.
pub trait Engine {
    /// Processes all records that are whole in `raw`, and then makes records of `send`. Plaintext
    /// goes to `give`, while it still stands in `raw`, with a flag that says whether it is the last
    /// of `raw`. Records for the peer are added to `out`: answers, what was to be sent, and the alert
    /// of an error.
    fn process(
        &mut self,
        raw: &mut [u8],
        send: Option<Send<'_>>,
        out: &mut OutgoingRecords,
        give: impl FnMut(&[u8], bool),
    ) -> Progress;

    /// Whether the handshake goes on.
    fn is_handshaking(&self) -> bool;

    /// Whether the last records of the handshake are tickets, which no peer waits for: those of a
    /// server in TLS 1.3 (RFC 8446 section 4.6.1).
    fn ends_with_tickets(&self) -> bool;
}

/// A message for the peer.
#[derive(Clone, Copy)]
pub enum Send<'a> {
    /// Application data.
    Data(&'a [u8]),
    /// `close_notify`. No other record may follow it.
    CloseNotify,
}

/// The result of [`Engine::process`].
pub struct Progress {
    /// Bytes at the front of the input that are done with. The others must be there again, unchanged,
    /// at the next call: they are part of a record, or of a handshake message.
    pub used: usize,
    /// The peer sent `close_notify`. Only one result says so.
    pub peer_closed: bool,
    /// An error is the end of the connection: the engine is not called again.
    pub outcome: Result<(), Error>,
}

/// Records for the peer. The buffer grows with its contents, and keeps its size when it is cleared.
#[derive(Default)]
pub struct OutgoingRecords {
    buffer: Vec<u8>,
    filled: usize,
}

/// Why an encoder did not write its records.
pub(super) enum EncodeFailure {
    /// It needs so many bytes.
    NeedsRoom(usize),
    /// The record must not be made, with these keys or at all.
    Refused,
}

impl OutgoingRecords {
    /// All records, in their order.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer[..self.filled]
    }

    /// Adds records that were made before.
    pub(super) fn push(&mut self, records: &[u8]) {
        let filled = self.filled + records.len();
        if filled > self.buffer.len() {
            self.buffer.resize(filled, 0);
        }
        self.buffer[self.filled..filled].copy_from_slice(records);
        self.filled = filled;
    }

    /// Forgets the records, which were sent or are kept elsewhere.
    pub(super) fn clear(&mut self) {
        self.filled = 0;
    }

    /// Adds the records that `encode` writes, with as much room as it asks for.
    pub(super) fn encode(
        &mut self,
        mut encode: impl FnMut(&mut [u8]) -> Result<usize, EncodeFailure>,
    ) -> Result<(), Error> {
        loop {
            match encode(&mut self.buffer[self.filled..]) {
                Ok(length) => {
                    self.filled += length;
                    return Ok(());
                }
                Err(EncodeFailure::NeedsRoom(size)) if self.filled + size > self.buffer.len() => {
                    self.buffer.resize(self.filled + size, 0);
                }
                Err(EncodeFailure::NeedsRoom(_) | EncodeFailure::Refused) => {
                    return Err(Error::EncryptError);
                }
            }
        }
    }
}
