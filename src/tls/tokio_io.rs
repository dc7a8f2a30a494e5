//! tokio's traits for the stream: reads for HTTP, which take as much as the caller has room for, and
//! all writes.

use std::io::{self, IoSlice};
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::buffers::{AT_ONCE, ReadBuffers, with_read_buffers, with_write_buffer};
use super::engine::{Engine, Send};
use super::pending::PendingBytes;
use super::records::MAX_RECORD;
use super::stream::{ReadEnd, Stream};

/// The limit of pending records, such as session tickets, that the next write sends along, in bytes.
const JOINED: usize = 2 * 1024;

impl<S: AsyncRead + AsyncWrite + Unpin, E: Engine + Unpin> AsyncRead for Stream<S, E> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if !this.plain.is_empty() || buf.remaining() == 0 {
                let taken = this.plain.rest().len().min(buf.remaining());
                buf.put_slice(&this.plain.rest()[..taken]);
                this.plain.advance(taken);
                return Poll::Ready(Ok(()));
            }
            if let Some(end) = &this.read_end {
                return Poll::Ready(end.report());
            }
            let mut plain = PendingBytes::default();
            let polled = with_read_buffers(|ReadBuffers { raw, .. }| {
                // Read one record at most: plaintext that does not fit into `buf` stays in the stream.
                this.poll_records(cx, &mut raw[..MAX_RECORD], |_, bytes, _| plain.push(bytes))
            });
            this.plain = plain;
            ready!(polled)?;
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin, E: Engine + Unpin> AsyncWrite for Stream<S, E> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.close_sent || matches!(this.read_end, Some(ReadEnd::Failed(_))) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if this.outbound.rest().len() > JOINED {
            ready!(this.poll_drain(cx))?;
        }
        // The socket may accept nothing, and then all records are kept.
        let bytes = &bytes[..bytes.len().min(AT_ONCE)];
        with_write_buffer(|out| {
            this.deferred = false;
            out.push(mem::take(&mut this.outbound).rest());
            this.seal(Send::Data(bytes), out)?;
            this.send(cx, out.bytes())?;
            Poll::Ready(Ok(bytes.len()))
        })
    }

    /// Joins the slices, so that the head and the body of a response go out as one record.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut bytes = Vec::new();
        for buf in bufs {
            let room = AT_ONCE - bytes.len();
            bytes.extend_from_slice(&buf[..buf.len().min(room)]);
        }
        self.poll_write(cx, &bytes)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.deferred {
            ready!(this.poll_drain(cx))?;
        }
        Pin::new(&mut this.socket).poll_flush(cx)
    }

    /// Sends `close_notify`, unless an error was reported to the peer, and half-closes the socket.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let failed = matches!(this.read_end, Some(ReadEnd::Failed(_)));
        if !mem::replace(&mut this.close_sent, true) && !failed {
            with_write_buffer(|out| {
                this.seal(Send::CloseNotify, out)?;
                this.outbound.push(out.bytes());
                io::Result::Ok(())
            })?;
        }
        ready!(this.poll_drain(cx))?;
        match ready!(Pin::new(&mut this.socket).poll_shutdown(cx)) {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            outcome => Poll::Ready(outcome),
        }
    }
}
