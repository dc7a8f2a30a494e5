//! A socket in the test's hands.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Shared with the stream that has it.
#[derive(Clone, Default)]
pub(super) struct Socket(Arc<Mutex<Inner>>);

#[derive(Default)]
pub(super) struct Inner {
    inbound: VecDeque<u8>,
    outbound: Vec<u8>,
    /// Nothing comes behind `inbound`.
    pub(super) eof: bool,
    /// Bytes of a read, at most.
    pub(super) read_at_most: Option<usize>,
    /// Bytes of a write, at most.
    pub(super) write_at_most: Option<usize>,
    /// Bytes that it takes before it blocks.
    pub(super) room: Option<usize>,
    pub(super) shut: bool,
    reads: usize,
    writes: usize,
}

impl Socket {
    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    /// Reads and writes that moved something.
    pub(super) fn moved(&self) -> (usize, usize) {
        let inner = self.lock();
        (inner.reads, inner.writes)
    }

    /// Bytes that the stream can read.
    pub(super) fn deliver(&self, bytes: &[u8]) {
        self.lock().inbound.extend(bytes);
    }

    /// Takes back the bytes that the stream has not read.
    pub(super) fn intercept(&self) -> Vec<u8> {
        self.lock().inbound.drain(..).collect()
    }

    /// Takes the bytes that the stream has written since.
    pub(super) fn collect(&self) -> Vec<u8> {
        std::mem::take(&mut self.lock().outbound)
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut inner = self.lock();
        if inner.inbound.is_empty() {
            return if inner.eof { Poll::Ready(Ok(())) } else { Poll::Pending };
        }
        assert_ne!(buf.remaining(), 0, "an empty read looks like the end");
        let most = inner.read_at_most.unwrap_or(usize::MAX).min(buf.remaining());
        let length = most.min(inner.inbound.len());
        let bytes: Vec<u8> = inner.inbound.drain(..length).collect();
        buf.put_slice(&bytes);
        inner.reads += 1;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut inner = self.lock();
        assert!(!inner.shut, "nothing is written behind the end");
        let room = inner.room.unwrap_or(usize::MAX);
        let length = bytes.len().min(room).min(inner.write_at_most.unwrap_or(usize::MAX));
        if length == 0 {
            return Poll::Pending;
        }
        inner.room = inner.room.map(|room| room - length);
        inner.outbound.extend_from_slice(&bytes[..length]);
        inner.writes += 1;
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.lock().shut = true;
        Poll::Ready(Ok(()))
    }
}
