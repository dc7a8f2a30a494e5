//! Each call of the stream, as a task that may go away afterwards, and what must hold behind it.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use framewall::tls::{Held, Stream};
use framewall_fuzz::tls::{Calls, Socket, pattern};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{AT_ONCE, MOST_OUTBOUND, ONE_WRITE, Run, VOLUME};

/// What a call of the stream waits for.
#[derive(Clone, Copy, PartialEq)]
enum Wait {
    Read,
    Write,
}

/// Never called: who is woken is found out by asking the socket.
struct Caller;

impl Wake for Caller {
    fn wake(self: Arc<Self>) {}
}

impl Run {
    /// Calls the stream once, as a task that may go away afterwards.
    fn call<T>(
        &mut self,
        wait: Wait,
        work: impl FnOnce(Pin<&mut Stream<Socket>>, &mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let waker = Waker::from(Arc::new(Caller));
        self.socket.lock().calls = Calls::default();
        let polled = work(Pin::new(&mut self.stream), &mut Context::from_waker(&waker));
        let socket = self.socket.lock();
        let calls = &socket.calls;
        assert!(calls.blocked_reads + calls.ends <= 1, "it asks again and again");
        assert!(calls.blocked_writes <= calls.moves + 1, "it writes again and again");
        if let Some(left) = &mut self.last_words {
            *left = left.checked_sub(calls.written).expect("something was said behind an error");
        }
        if polled.is_pending() {
            let full = self.stream.held().outbound > MOST_OUTBOUND;
            let reading = wait == Wait::Read && socket.reader_is(&waker);
            let writing = wait == Wait::Write || full;
            assert!(reading || writing && socket.writer_is(&waker), "who wakes it?");
        }
        polled
    }

    /// `true` if plaintext was lent.
    pub(super) fn lend(&mut self, most: usize) -> bool {
        let mut lent = Vec::new();
        let polled = self.call(Wait::Read, |stream, cx| {
            stream.get_mut().poll_lend(cx, most, |_, bytes| lent.extend_from_slice(bytes))
        });
        match polled {
            Poll::Pending => return false,
            Poll::Ready(Ok(Some(()))) => assert!(!lent.is_empty(), "nothing was lent"),
            Poll::Ready(Ok(None)) => self.end(),
            Poll::Ready(Err(error)) => self.fail(&error),
        }
        self.check(&lent)
    }

    pub(super) fn read(&mut self, size: usize) -> bool {
        let mut space = vec![0; size];
        let mut buf = ReadBuf::new(&mut space);
        match self.call(Wait::Read, |stream, cx| stream.poll_read(cx, &mut buf)) {
            Poll::Pending => return false,
            Poll::Ready(Ok(())) if buf.filled().is_empty() && size > 0 => self.end(),
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => self.fail(&error),
        }
        let length = buf.filled().len();
        self.check(&space[..length])
    }

    fn check(&mut self, lent: &[u8]) -> bool {
        assert!(lent.is_empty() || !self.ended && self.failure.is_none(), "not the end");
        for byte in lent {
            assert_eq!(*byte, pattern(self.lent), "at {}", self.lent);
            self.lent += 1;
        }
        assert!(self.lent <= self.said, "more was lent than said");
        !lent.is_empty()
    }

    fn end(&mut self) {
        assert!(self.closed, "the peer never said that it ends");
        assert!(self.failure.is_none(), "an error is no end");
        self.ended = true;
    }

    /// What a read may say, once and for all.
    fn fail(&mut self, error: &io::Error) {
        let socket = self.socket.lock();
        match error.kind() {
            ErrorKind::ConnectionReset => assert!(socket.reset),
            ErrorKind::UnexpectedEof => {
                assert!(socket.eof && socket.arrived.is_empty() && self.failure.is_none());
            }
            ErrorKind::InvalidData => {
                assert!(self.damaged || self.deafened, "an honest peer is refused: {error}");
                let text = self.failure.get_or_insert_with(|| error.to_string());
                assert_eq!(*text, error.to_string(), "another error than before");
                drop(socket);
                self.break_down();
            }
            _ => panic!("of no kind that a read has: {error}"),
        }
    }

    /// From here on nothing is sealed.
    fn break_down(&mut self) {
        let Held { inbound, plain, outbound } = self.stream.held();
        assert_eq!(inbound, 0, "nothing more is looked at");
        assert!(plain == 0 || self.failure.is_none(), "the error comes last");
        self.last_words.get_or_insert(outbound);
    }

    pub(super) fn write(&mut self, sizes: &[usize]) {
        let mut left = VOLUME.saturating_sub(self.taken);
        let mut at = self.taken;
        let mut parts = Vec::new();
        for size in sizes {
            let size = (*size).min(left);
            parts.push((at..at + size).map(pattern).collect::<Vec<_>>());
            (at, left) = (at + size, left - size);
        }
        let slices: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let polled = self.call(Wait::Write, |stream, cx| match slices.as_slice() {
            [one] => stream.poll_write(cx, one),
            several => stream.poll_write_vectored(cx, several),
        });
        match polled {
            Poll::Pending => assert!(self.stream.held().outbound > 0, "nothing was in the way"),
            Poll::Ready(Ok(taken)) => {
                assert!(!self.shut && self.last_words.is_none(), "nothing may be said any more");
                assert_eq!(taken, (at - self.taken).min(AT_ONCE));
                self.taken += taken;
                self.at_leisure = false;
                assert!(self.stream.held().outbound <= ONE_WRITE, "more than one write is kept");
            }
            Poll::Ready(Err(error)) => self.refuse(&error),
        }
    }

    fn refuse(&mut self, error: &io::Error) {
        match error.kind() {
            ErrorKind::ConnectionReset => assert!(self.socket.lock().reset),
            ErrorKind::BrokenPipe if self.shut => {}
            ErrorKind::BrokenPipe => {
                assert!(self.damaged || self.deafened, "an honest peer is refused");
                self.break_down();
            }
            _ => panic!("of no kind that a write has: {error}"),
        }
    }

    pub(super) fn flush(&mut self) -> bool {
        match self.call(Wait::Write, AsyncWrite::poll_flush) {
            Poll::Pending => return false,
            Poll::Ready(Ok(())) => {
                assert!(self.at_leisure || self.stream.held().outbound == 0, "something is kept");
            }
            Poll::Ready(Err(error)) => self.refuse(&error),
        }
        true
    }

    pub(super) fn shutdown(&mut self) -> bool {
        (self.shut, self.at_leisure) = (true, false);
        match self.call(Wait::Write, AsyncWrite::poll_shutdown) {
            Poll::Pending => return false,
            Poll::Ready(Ok(())) => {
                let socket = self.socket.lock();
                assert!(socket.shut || socket.reset);
                assert_eq!(self.stream.held().outbound, 0, "something is kept");
            }
            Poll::Ready(Err(error)) => self.refuse(&error),
        }
        true
    }
}
