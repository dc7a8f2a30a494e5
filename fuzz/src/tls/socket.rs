//! A socket in the fuzzer's hands, and what a stream did with it.

use std::cell::{RefCell, RefMut};
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Shared with the stream that has it.
#[derive(Clone, Default)]
pub struct Socket(Rc<RefCell<Inner>>);

/// Its state, and the pace that it is to have.
#[derive(Default)]
pub struct Inner {
    /// What can be read.
    pub arrived: VecDeque<u8>,
    /// What was written.
    pub written: Vec<u8>,
    /// Nothing comes behind `arrived`.
    pub eof: bool,
    /// The connection was reset: everything fails.
    pub reset: bool,
    /// Bytes of a read, at most; 0: any number.
    pub read_at_most: usize,
    /// Bytes of a write, at most; 0: any number.
    pub write_at_most: usize,
    /// Bytes that it takes before it blocks.
    pub room: Option<usize>,
    /// Every call is put off once, and its caller woken.
    pub stutters: bool,
    /// It was half-closed.
    pub shut: bool,
    /// Since they were last taken.
    pub calls: Calls,
    put_off: [bool; 3],
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// What was asked of a socket.
#[derive(Default)]
pub struct Calls {
    /// Bytes that were moved.
    pub bytes: usize,
    /// Bytes of them that were written.
    pub written: usize,
    /// Calls that moved some.
    pub moves: usize,
    /// Reads that had to wait.
    pub blocked_reads: usize,
    /// Writes, or half-closings, that had to wait.
    pub blocked_writes: usize,
    /// Reads that found the end, and calls that failed.
    pub ends: usize,
}

const READ: usize = 0;
const WRITE: usize = 1;
const SHUT: usize = 2;

impl Socket {
    /// Its state.
    #[must_use]
    pub fn lock(&self) -> RefMut<'_, Inner> {
        self.0.borrow_mut()
    }
}

impl Inner {
    /// Whether this waker is called when there is something to read.
    #[must_use]
    pub fn reader_is(&self, waker: &Waker) -> bool {
        self.reader.as_ref().is_some_and(|reader| reader.will_wake(waker))
    }

    /// Whether this waker is called when there is room to write.
    #[must_use]
    pub fn writer_is(&self, waker: &Waker) -> bool {
        self.writer.as_ref().is_some_and(|writer| writer.will_wake(waker))
    }

    /// No limits any more.
    pub fn hurry(&mut self) {
        (self.read_at_most, self.write_at_most) = (0, 0);
        (self.room, self.stutters) = (None, false);
    }

    fn puts_off(&mut self, call: usize, waker: &Waker) -> bool {
        let put_off = self.stutters && !self.put_off[call];
        self.put_off[call] = put_off;
        if put_off {
            waker.wake_by_ref();
        }
        put_off
    }

    fn fails(&mut self, kind: io::ErrorKind) -> io::Result<()> {
        if self.reset {
            self.calls.ends += 1;
            return Err(kind.into());
        }
        Ok(())
    }

    fn read(&mut self, waker: &Waker, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        assert_ne!(buf.remaining(), 0, "an empty read looks like the end");
        self.fails(io::ErrorKind::ConnectionReset)?;
        if self.puts_off(READ, waker) || self.arrived.is_empty() && !self.eof {
            self.calls.blocked_reads += 1;
            self.reader = Some(waker.clone());
            return Poll::Pending;
        }
        let length = at_most(self.read_at_most).min(buf.remaining()).min(self.arrived.len());
        self.calls.bytes += length;
        self.calls.ends += usize::from(length == 0);
        self.calls.moves += usize::from(length > 0);
        for byte in self.arrived.drain(..length) {
            buf.put_slice(&[byte]);
        }
        Poll::Ready(Ok(()))
    }

    fn write(&mut self, waker: &Waker, bytes: &[u8]) -> Poll<io::Result<usize>> {
        assert!(!self.shut, "nothing is written behind the end");
        assert!(!bytes.is_empty(), "nothing is to be written");
        self.fails(io::ErrorKind::ConnectionReset)?;
        let room = self.room.unwrap_or(usize::MAX);
        let length = bytes.len().min(room).min(at_most(self.write_at_most));
        if self.puts_off(WRITE, waker) || length == 0 {
            self.calls.blocked_writes += 1;
            self.writer = Some(waker.clone());
            return Poll::Pending;
        }
        self.room = self.room.map(|room| room - length);
        self.written.extend_from_slice(&bytes[..length]);
        self.calls.bytes += length;
        self.calls.written += length;
        self.calls.moves += 1;
        Poll::Ready(Ok(length))
    }

    fn shut(&mut self, waker: &Waker) -> Poll<io::Result<()>> {
        self.fails(io::ErrorKind::NotConnected)?;
        if self.puts_off(SHUT, waker) {
            self.calls.blocked_writes += 1;
            self.writer = Some(waker.clone());
            return Poll::Pending;
        }
        self.shut = true;
        Poll::Ready(Ok(()))
    }
}

fn at_most(limit: usize) -> usize {
    if limit == 0 { usize::MAX } else { limit }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.lock().read(cx.waker(), buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.lock().write(cx.waker(), bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.lock().shut(cx.waker())
    }
}
