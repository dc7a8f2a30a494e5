//! A TLS stream that holds no buffer while it waits: records are read into a buffer of the worker's,
//! decrypted there and lent; records are written from another. Only what is not whole yet, or what
//! the socket did not take, is kept with the connection.

use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::{CommonState, Error};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::buffers::{self, AT_ONCE, Reading};
use super::kept::Kept;
use super::records::{
    Driven, MAX_RECORD, Outgoing, Records, Wish, alerts, drive, is_partial, unfinished,
};

/// Bytes of records that wait for the socket; while there are more, nothing is read, because what a
/// peer sends can make TLS answer: one that takes no answers gets no more of them.
pub(super) const MOST_OUTBOUND: usize = AT_ONCE + 64 * 1024;

/// TLS with a client, over TCP.
pub type ServerStream = Stream<UnbufferedServerConnection>;
/// TLS with an upstream, over TCP.
pub type ClientStream = Stream<UnbufferedClientConnection>;

/// A TLS connection after its handshake. Large: it belongs on the heap.
///
/// Without an error the end of the stream is the peer's `close_notify`; a connection that ends
/// before one is an error of the kind `UnexpectedEof`. What TLS does not allow is one of the kind
/// `InvalidData` with the [`rustls::Error`] in it, and the peer is sent its alert. Every poll may be
/// the last: nothing is lost, or sent twice, when one is dropped.
pub struct Stream<C, S = TcpStream> {
    pub(super) socket: S,
    connection: C,
    /// What was read and is no whole record, or no whole handshake message: less than
    /// [`MAX_RECORD`] bytes.
    inbound: Vec<u8>,
    /// `inbound` is the beginning of a record alone, or nothing. What rustls wants to see again
    /// because of handshake messages need not begin with a header.
    aligned: bool,
    /// Plaintext that was not asked for yet, of one read of at most [`MAX_RECORD`] bytes.
    pub(super) plain: Kept,
    /// Records that the socket did not take: of one write, and of a few messages of TLS itself.
    pub(super) outbound: Kept,
    /// `outbound` is what nobody waits for: it goes with what is written next, and not before.
    pub(super) at_leisure: bool,
    pub(super) ended: Option<Ended>,
    /// `close_notify` was sent, or is kept in `outbound`.
    pub(super) shut: bool,
}

/// Why nothing more is read.
pub(super) enum Ended {
    Closed,
    Failed(Box<Error>),
}

impl<C: Records, S: AsyncRead + AsyncWrite + Unpin> Stream<C, S> {
    /// A stream behind its handshake. With what was read behind it: plaintext, and bytes that are no
    /// whole record; with records that nobody waits for, but before anything else; and whether the peer has closed
    /// already.
    pub(super) fn new(
        socket: S,
        connection: C,
        [inbound, outbound]: [&[u8]; 2],
        plain: Vec<u8>,
        closed: bool,
    ) -> Self {
        Self {
            socket,
            connection,
            inbound: inbound.to_vec(),
            aligned: inbound.is_empty(),
            plain: Kept::from(plain),
            outbound: Kept::from(outbound.to_vec()),
            at_leisure: !outbound.is_empty(),
            ended: closed.then_some(Ended::Closed),
            shut: false,
        }
    }

    /// Waits for plaintext and lends it to `take`, which must deal with all of it: that of one
    /// record where it lies, that of several put together. At most `most` bytes are read for it, or
    /// 144 KiB, or a record if that is more. `None` is the end of the stream.
    ///
    /// # Errors
    /// As described above, or what the socket says.
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
        buffers::reading(|Reading { raw, plain }| {
            plain.clear();
            let raw = &mut raw[..most.clamp(MAX_RECORD, AT_ONCE)];
            loop {
                if let Some(ended) = &self.ended {
                    return Poll::Ready(ended.report().map(|()| None));
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
                    // Not to be expected, but not to be lost either.
                    self.plain.push(plain);
                    return Poll::Ready(Ok(Some(taken)));
                }
                if let Some(take) = take.take_if(|_| !plain.is_empty()) {
                    return Poll::Ready(Ok(Some(take(cx, plain))));
                }
            }
        })
    }

    /// Reads once, and gives on what came of it; that may be nothing. Every record that is whole is
    /// done with afterwards.
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
        let tail = self.aligned.then(|| unfinished(raw));
        let mut out = Outgoing::default();
        let give = |bytes: &[u8], last: bool| give(cx, bytes, last);
        let Driven { used, closed, outcome } =
            drive(&mut self.connection, raw, None, &mut out, give);
        if closed {
            // What comes behind close_notify is ignored (RFC 8446 section 6.1).
            self.keep(&[]);
            self.ended = Some(Ended::Closed);
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
            alerts(&mut self.connection, &mut raw[used..], &mut out);
            self.inbound = Vec::new();
            self.ended = Some(Ended::Failed(Box::new(error)));
        }
        // Behind close_notify nothing is said (RFC 8446 section 6.1), and the socket may be half-closed.
        if !out.records().is_empty() && !self.shut {
            self.outbound.push(out.records());
            // A write says what goes wrong here.
            let _ = self.poll_drain(cx);
        }
        Poll::Ready(Ok(()))
    }

    /// Reads behind what is kept, until there is a whole record or more than the beginning of one.
    /// Says how many bytes of `raw` that is.
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
            if !self.aligned || !is_partial(&self.inbound, read) {
                raw[..kept].copy_from_slice(&self.inbound);
                return Poll::Ready(Ok(length));
            }
            // A peer that sends a record byte by byte does not have it copied each time.
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

    /// Makes records of what is to be said.
    pub(super) fn seal(&mut self, wish: Wish<'_>, out: &mut Outgoing) -> io::Result<()> {
        let Self { connection, inbound, plain, .. } = self;
        let driven = drive(connection, inbound, Some(wish), out, |bytes, _| plain.push(bytes));
        inbound.drain(..driven.used);
        if driven.closed {
            self.ended = Some(Ended::Closed);
        }
        driven.outcome.map_err(|error| {
            alerts(&mut self.connection, &mut self.inbound, out);
            self.outbound.push(out.records());
            self.ended = Some(Ended::Failed(Box::new(error.clone())));
            invalid(error)
        })
    }

    /// Writes `records`, and keeps what the socket does not take.
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

    /// Whether the socket has taken all that was kept for it.
    pub(super) fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.at_leisure = false;
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

impl<C: Records, S> Stream<C, S> {
    /// What was negotiated in the handshake.
    pub(super) fn common(&self) -> &CommonState {
        self.connection.common()
    }
}

impl<C, S> Stream<C, S> {
    /// Bytes kept: of records that came, of plaintext, of records that go.
    #[must_use]
    pub fn kept(&self) -> [usize; 3] {
        [self.inbound.len(), self.plain.rest().len(), self.outbound.rest().len()]
    }
}

impl<C, S> Stream<C, S> {
    /// The socket underneath, to set its options.
    #[must_use]
    pub fn socket(&self) -> &S {
        &self.socket
    }
}

#[cfg(test)]
impl<C, S> Stream<C, S> {
    pub(super) fn connection(&self) -> &C {
        &self.connection
    }

    /// Bytes of memory for all of that.
    pub(super) fn memory(&self) -> usize {
        let kept = [self.plain.capacity(), self.outbound.capacity()];
        self.inbound.capacity() + kept.iter().sum::<usize>()
    }
}

impl<C, S: std::fmt::Debug> std::fmt::Debug for Stream<C, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("socket", &self.socket).finish_non_exhaustive()
    }
}

impl Ended {
    pub(super) fn report(&self) -> io::Result<()> {
        match self {
            Self::Closed => Ok(()),
            Self::Failed(error) => Err(invalid(Error::clone(error))),
        }
    }
}

/// What rustls says, as an error of the stream.
pub(super) fn invalid(error: Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn truncated() -> io::Error {
    let text = "the connection ended without close_notify";
    io::Error::new(io::ErrorKind::UnexpectedEof, text)
}
