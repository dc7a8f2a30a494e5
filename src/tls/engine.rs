//! The interface to rustls: one side of a TLS connection over bytes that the caller owns. Streams and
//! handshakes use only this trait, so that another version of rustls changes one file, the
//! implementation.

use rustls::Error;

/// One side of a TLS connection, without a socket and without an I/O buffer of its own.
pub trait Engine {
    /// Processes all complete records in `raw`, then encodes `send` into records. Plaintext is passed
    /// to `give` as a slice of `raw`, with a flag for the last plaintext of `raw`. Records for the peer
    /// are appended to `out`: responses, the encoded `send`, and the alert of an error.
    fn process(
        &mut self,
        raw: &mut [u8],
        send: Option<Send<'_>>,
        out: &mut OutgoingRecords,
        give: impl FnMut(&[u8], bool),
    ) -> Progress;

    /// Whether the handshake is in progress.
    fn is_handshaking(&self) -> bool;

    /// Whether the last records of the handshake are session tickets, which no peer waits for: those of
    /// a server in TLS 1.3 (RFC 8446 section 4.6.1).
    fn ends_with_tickets(&self) -> bool;
}

/// A message for the peer.
#[derive(Clone, Copy)]
pub enum Send<'a> {
    /// Application data.
    Data(&'a [u8]),
    /// A `close_notify` alert. No other record may follow it.
    CloseNotify,
}

/// The result of [`Engine::process`].
pub struct Progress {
    /// The number of processed bytes at the front of the input. The caller must pass the other bytes
    /// again, unchanged, in the next call: they belong to an incomplete record or handshake message.
    pub used: usize,
    /// Whether the peer sent `close_notify`. Only one result reports it.
    pub peer_closed: bool,
    /// After an error the connection is over: the engine must not be called again.
    pub outcome: Result<(), Error>,
}

/// Records for the peer. The buffer grows on demand, and keeps its size when it is cleared.
#[derive(Default)]
pub struct OutgoingRecords {
    buffer: Vec<u8>,
    filled: usize,
}

/// The reason why an encoder wrote no records.
pub(super) enum EncodeFailure {
    /// The encoder needs this many bytes of room.
    NeedsRoom(usize),
    /// The keys do not permit the record.
    Refused,
}

impl OutgoingRecords {
    /// All records, in order.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer[..self.filled]
    }

    /// Appends encoded records.
    pub(super) fn push(&mut self, records: &[u8]) {
        let filled = self.filled + records.len();
        if filled > self.buffer.len() {
            self.buffer.resize(filled, 0);
        }
        self.buffer[self.filled..filled].copy_from_slice(records);
        self.filled = filled;
    }

    /// Discards the records, which were sent or are kept elsewhere.
    pub(super) fn clear(&mut self) {
        self.filled = 0;
    }

    /// Appends the records that `encode` writes, and enlarges the buffer on its request.
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
