//! A TLS stream that holds no buffer while it waits: it reads records into a buffer of the worker
//! thread, decrypts them there and lends the plaintext to the caller; it writes records from another
//! such buffer. The connection keeps only an incomplete record, and records that the socket did not
//! accept.

use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustls::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::buffers::{AT_ONCE, ReadBuffers, with_read_buffers};
use super::engine::{Engine, OutgoingRecords, Progress, Send};
use super::pending::PendingBytes;
use super::records::{MAX_RECORD, incomplete_tail, is_incomplete};
use super::rustls_engine::RustlsEngine;

/// The limit of records that wait for the socket, in bytes, above which reading stops. A peer's records
/// can cause TLS responses, so the stream no longer reads from a peer that does not read them.
pub(super) const MOST_OUTBOUND: usize = AT_ONCE + 64 * 1024;

/// A TLS connection after its handshake. It is large, so it belongs on the heap.
///
/// The stream ends without an error only after the peer's `close_notify`; a connection that closes
/// without one yields an error of the kind `UnexpectedEof`. A TLS violation yields an error of the kind
/// `InvalidData` with the rustls error in it, and the peer is sent an alert. Every poll may be the
/// last: dropping one loses nothing and sends nothing twice.
pub struct Stream<S = TcpStream, E = RustlsEngine> {
    pub(super) socket: S,
    engine: E,
    /// The beginning of a record, or of a handshake message: less than [`MAX_RECORD`] bytes.
    inbound: Vec<u8>,
    /// Whether `inbound` is empty or begins with the header of a record. Handshake messages that rustls
    /// must process again need not begin with one.
    aligned: bool,
    /// Plaintext that no reader took yet, from one read of at most [`MAX_RECORD`] bytes.
    pub(super) plain: PendingBytes,
    /// Records that the socket did not accept: those of one write, and a few messages of TLS itself.
    pub(super) outbound: PendingBytes,
    /// Whether `outbound` has only session tickets, which are sent with the next write and not before.
    pub(super) deferred: bool,
    pub(super) read_end: Option<ReadEnd>,
    /// Whether `close_notify` was sent, or is in `outbound`.
    pub(super) close_sent: bool,
}

/// The reason why reading has ended.
pub(super) enum ReadEnd {
    /// The peer sent `close_notify`.
    Closed,
    Failed(Box<Error>),
}

/// State that the handshake leaves to the stream.
pub(super) struct Leftover {
    /// Input after the handshake that is not a complete record.
    pub(super) inbound: Vec<u8>,
    /// Plaintext that arrived with the end of the handshake.
    pub(super) plain: Vec<u8>,
    /// Session tickets, which no peer waits for; they precede all other records.
    pub(super) tickets: Vec<u8>,
    /// Whether the peer has sent `close_notify`.
    pub(super) peer_closed: bool,
}

/// The numbers of bytes that a stream holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Bytes of an incomplete record.
    pub inbound: usize,
    /// Bytes of plaintext.
    pub plain: usize,
    /// Bytes of records that the socket did not accept.
    pub outbound: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin, E: Engine> Stream<S, E> {
    /// Builds the stream after its handshake.
    pub(super) fn new(socket: S, engine: E, leftover: Leftover) -> Self {
        let Leftover { mut inbound, plain, tickets, peer_closed } = leftover;
        inbound.shrink_to_fit();
        Self {
            socket,
            engine,
            aligned: inbound.is_empty(),
            inbound,
            plain: PendingBytes::from(plain),
            deferred: !tickets.is_empty(),
            outbound: PendingBytes::from(tickets),
            read_end: peer_closed.then_some(ReadEnd::Closed),
            close_sent: false,
        }
    }

    /// Waits for plaintext and lends it to `take`, which must consume all of it: the plaintext of one
    /// record in place, that of several records copied together. Reads at most `most` bytes, but at
    /// least one record and at most 144 KiB. `None` is the end of the stream.
    ///
    /// # Errors
    /// Errors of TLS or of the socket.
    pub fn poll_lend<T>(
        &mut self,
        cx: &mut Context<'_>,
        most: usize,
        take: impl FnOnce(&mut Context<'_>, &[u8]) -> T,
    ) -> Poll<io::Result<Option<T>>> {
        if !self.plain.is_empty() {
            let plain = mem::take(&mut self.plain);
            return Poll::Ready(Ok(Some(take(cx, plain.rest()))));
        }
        let mut take = Some(take);
        with_read_buffers(|ReadBuffers { raw, plain }| {
            plain.clear();
            let raw = &mut raw[..most.clamp(MAX_RECORD, AT_ONCE)];
            loop {
                if let Some(end) = &self.read_end {
                    return Poll::Ready(end.report().map(|()| None));
                }
                let mut taken = None;
                let polled = self.poll_records(cx, raw, |cx, bytes, last| {
                    match take.take_if(|_| last && plain.is_empty()) {
                        Some(take) => taken = Some(take(cx, bytes)),
                        None => plain.extend_from_slice(bytes),
                    }
                });
                ready!(polled)?;
                if let Some(taken) = taken {
                    // `plain` should be empty here; push it, so that no plaintext can be lost.
                    self.plain.push(plain);
                    return Poll::Ready(Ok(Some(taken)));
                }
                if let Some(take) = take.take_if(|_| !plain.is_empty()) {
                    return Poll::Ready(Ok(Some(take(cx, plain))));
                }
            }
        })
    }

    /// Reads once, and gives the plaintext of all whole records to `give`; there may be none.
    pub(super) fn poll_records(
        &mut self,
        cx: &mut Context<'_>,
        raw: &mut [u8],
        mut give: impl FnMut(&mut Context<'_>, &[u8], bool),
    ) -> Poll<io::Result<()>> {
        if self.outbound.rest().len() > MOST_OUTBOUND {
            ready!(self.poll_drain(cx))?;
        }
        let length = ready!(self.poll_raw(cx, raw))?;
        let raw = &mut raw[..length];
        let tail = self.aligned.then(|| incomplete_tail(raw));
        let mut out = OutgoingRecords::default();
        let give = |bytes: &[u8], last: bool| give(cx, bytes, last);
        let Progress { used, peer_closed, outcome } =
            self.engine.process(raw, None, &mut out, give);
        if peer_closed {
            // Data behind close_notify is ignored (RFC 8446 section 6.1).
            self.keep(&[]);
            self.read_end = Some(ReadEnd::Closed);
        } else {
            self.keep(&raw[used..]);
        }
        self.aligned = self.inbound.is_empty() || tail == Some(self.inbound.len());
        let error = match outcome {
            Err(error) => Some(error),
            Ok(()) if self.inbound.len() < MAX_RECORD => None,
            Ok(()) => Some(Error::General("a handshake message is too long".to_owned())),
        };
        if let Some(error) = error {
            self.inbound = Vec::new();
            self.read_end = Some(ReadEnd::Failed(Box::new(error)));
        }
        // No record may follow close_notify (RFC 8446 section 6.1), and the socket may be half-closed.
        if !out.bytes().is_empty() && !self.close_sent {
            self.outbound.push(out.bytes());
            // The next write reports an error of the socket.
            let _ = self.poll_drain(cx);
        }
        Poll::Ready(Ok(()))
    }

    /// Reads after the kept bytes until rustls can process them: a complete record, or a header.
    /// Returns the number of bytes in `raw`.
    fn poll_raw(&mut self, cx: &mut Context<'_>, raw: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            let kept = self.inbound.len();
            let mut buffer = ReadBuf::new(&mut raw[kept..]);
            ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buffer))?;
            let read = buffer.filled();
            let length = kept + read.len();
            if read.is_empty() {
                return Poll::Ready(Err(truncated()));
            }
            if kept == 0 {
                return Poll::Ready(Ok(length));
            }
            if !self.aligned || !is_incomplete(&self.inbound, read) {
                raw[..kept].copy_from_slice(&self.inbound);
                return Poll::Ready(Ok(length));
            }
            // Append to `inbound`, so that a record that arrives byte by byte is not copied at each read.
            self.inbound.extend_from_slice(read);
        }
    }

    fn keep(&mut self, rest: &[u8]) {
        if rest.is_empty() {
            self.inbound = Vec::new();
        } else {
            self.inbound.clear();
            self.inbound.extend_from_slice(rest);
        }
    }

    /// Encodes `send` into records.
    pub(super) fn seal(&mut self, send: Send<'_>, out: &mut OutgoingRecords) -> io::Result<()> {
        let Self { engine, inbound, plain, .. } = self;
        let progress = engine.process(inbound, Some(send), out, |bytes, _| plain.push(bytes));
        inbound.drain(..progress.used);
        if progress.peer_closed {
            self.read_end = Some(ReadEnd::Closed);
        }
        progress.outcome.map_err(|error| {
            self.outbound.push(out.bytes());
            self.read_end = Some(ReadEnd::Failed(Box::new(error.clone())));
            invalid(error)
        })
    }

    /// Writes `records`, and keeps those that the socket does not accept.
    pub(super) fn send(&mut self, cx: &mut Context<'_>, records: &[u8]) -> io::Result<()> {
        let mut written = 0;
        while written < records.len() {
            match Pin::new(&mut self.socket).poll_write(cx, &records[written..])? {
                Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(taken) => written += taken,
                Poll::Pending => {
                    self.outbound.push(&records[written..]);
                    break;
                }
            }
        }
        Ok(())
    }

    /// Waits until the socket has accepted all kept records.
    pub(super) fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.deferred = false;
        while !self.outbound.is_empty() {
            let taken = ready!(Pin::new(&mut self.socket).poll_write(cx, self.outbound.rest()))?;
            if taken == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.outbound.advance(taken);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S, E> Stream<S, E> {
    /// The numbers of bytes that the stream holds.
    #[must_use]
    pub fn held(&self) -> Held {
        Held {
            inbound: self.inbound.len(),
            plain: self.plain.rest().len(),
            outbound: self.outbound.rest().len(),
        }
    }

    /// The underlying socket, for setting its options.
    #[must_use]
    pub fn socket(&self) -> &S {
        &self.socket
    }

    pub(super) fn engine(&self) -> &E {
        &self.engine
    }
}

#[cfg(test)]
impl<S, E> Stream<S, E> {
    /// The memory for all held bytes.
    pub(super) fn memory(&self) -> usize {
        self.inbound.capacity() + self.plain.capacity() + self.outbound.capacity()
    }
}

impl<S: std::fmt::Debug, E> std::fmt::Debug for Stream<S, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("socket", &self.socket).finish_non_exhaustive()
    }
}

impl ReadEnd {
    pub(super) fn report(&self) -> io::Result<()> {
        match self {
            Self::Closed => Ok(()),
            Self::Failed(error) => Err(invalid(Error::clone(error))),
        }
    }
}

/// Wraps a rustls error as an I/O error.
pub(super) fn invalid(error: Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn truncated() -> io::Error {
    let text = "the connection ended without close_notify";
    io::Error::new(io::ErrorKind::UnexpectedEof, text)
}
