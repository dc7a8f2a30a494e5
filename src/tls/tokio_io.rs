//! The stream as tokio's traits have it: for HTTP, which wants as much as it has room for, and for
//! everything that is written.

use std::io::{self, IoSlice};
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::buffers::{self, AT_ONCE, Reading};
use super::kept::Kept;
use super::records::{MAX_RECORD, Records, Wish};
use super::stream::{Ended, Stream};

/// Bytes of records that wait, tickets say, which the next write takes along.
const JOINED: usize = 2 * 1024;

impl<C: Records + Unpin, S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<C, S> {
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
            if let Some(ended) = &this.ended {
                return Poll::Ready(ended.report());
            }
            let mut plain = Kept::default();
            let polled = buffers::reading(|Reading { raw, .. }| {
                // A record at most: what is read and not asked for is kept.
                this.poll_records(cx, &mut raw[..MAX_RECORD], |_, bytes, _| plain.push(bytes))
            });
            this.plain = plain;
            ready!(polled)?;
        }
    }
}

impl<C: Records + Unpin, S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<C, S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.shut || matches!(this.ended, Some(Ended::Failed(_))) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if this.outbound.rest().len() > JOINED {
            ready!(this.poll_drain(cx))?;
        }
        // So much the socket may leave to be kept.
        let bytes = &bytes[..bytes.len().min(AT_ONCE)];
        buffers::writing(|out| {
            out.push(mem::take(&mut this.outbound).rest());
            this.seal(Wish::Seal(bytes), out)?;
            this.send(cx, out.records())?;
            Poll::Ready(Ok(bytes.len()))
        })
    }

    /// The head and the body of an answer go out as one record.
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
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.socket).poll_flush(cx)
    }

    /// Sends `close_notify`, unless an alert was the last word, and half-closes the socket.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !mem::replace(&mut this.shut, true) && !matches!(this.ended, Some(Ended::Failed(_))) {
            buffers::writing(|out| {
                this.seal(Wish::Close, out)?;
                this.outbound.push(out.records());
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
