//! One end as the relay sees it: its stream, the judge of what it sends, and what it has not taken
//! yet of what is sent to it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use tokio::time::Instant;

use super::clock::FrameClock;
use super::gate::Gate;
use crate::transport::Transport;

/// How an end's sending came to its own end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// The end of the stream.
    Eof,
    /// The socket or TLS failed.
    Failed,
    /// A refused frame: nothing behind it can be read as frames.
    Refused,
}

/// How far the end has come in being closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Frames go both ways.
    Open,
    /// A Close of the gateway's is to be written at the next frame boundary.
    Closing { code: Option<u16>, text: &'static str },
    /// A Close was written; what still comes is read and thrown away.
    Draining { until: Instant, left: usize, shut: bool },
    /// Nothing more is read or written.
    Done,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Side {
    stream: Transport,
    /// Judges what this end sends.
    pub(super) gate: Gate,
    /// When the message and the control frame in progress began.
    pub(super) frames: FrameClock,
    /// Read behind the opening handshake; judged before anything from the stream.
    early: Bytes,
    /// What the stream did not take, from `written` on. Empty while all is well.
    outbox: Vec<u8>,
    written: usize,
    /// The stream holds bytes of its own (TLS records) that the socket did not take.
    unflushed: bool,
    pub(super) blocked: Option<Blocked>,
    /// Writing failed; the end may still have sent something that explains it.
    pub(super) write_failed: bool,
    pub(super) ending: Option<Ending>,
    pub(super) stage: Stage,
    pub(super) pings: Pings,
}

/// Since when an end does not take what is sent to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Blocked {
    pub(super) since: Instant,
    /// When it last took anything.
    pub(super) stalled: Instant,
}

/// The gateway's own pings to an end.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pings {
    /// Sent, or due to be sent, and not answered.
    pub(super) unanswered: u8,
    /// One is to be written at the next frame boundary.
    pub(super) owed: bool,
}

impl Side {
    pub(super) fn new(stream: Transport, early: Bytes, gate: Gate) -> Self {
        Self {
            stream,
            gate,
            frames: FrameClock::default(),
            early,
            outbox: Vec::new(),
            written: 0,
            unflushed: false,
            blocked: None,
            write_failed: false,
            ending: None,
            stage: Stage::Open,
            pings: Pings::default(),
        }
    }

    /// Waits for bytes of this end and lends them to `take`, with the gate to judge them by, as
    /// [`Transport::poll_lend`] does.
    pub(super) fn poll_lend<T>(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
        take: impl FnOnce(&mut Context<'_>, &mut Gate, &[u8]) -> T,
    ) -> Poll<io::Result<Option<T>>> {
        if !self.early.is_empty() {
            // Dropped afterwards: an empty `Bytes` would keep the handshake's buffer alive.
            let early = std::mem::take(&mut self.early);
            return Poll::Ready(Ok(Some(take(cx, &mut self.gate, &early))));
        }
        let gate = &mut self.gate;
        self.stream.poll_lend(cx, scratch, |cx, bytes| take(cx, gate, bytes))
    }

    /// Whether everything that was sent to this end is in the kernel's hands.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<()> {
        if self.write_failed || (self.outbox.is_empty() && !self.unflushed) {
            return Poll::Ready(());
        }
        match self.try_flush(cx, now) {
            Poll::Pending => {
                self.blocked.get_or_insert(Blocked { since: now, stalled: now });
                Poll::Pending
            }
            Poll::Ready(outcome) => {
                self.write_failed |= outcome.is_err();
                self.outbox = Vec::new();
                self.written = 0;
                Poll::Ready(())
            }
        }
    }

    fn try_flush(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<io::Result<()>> {
        while self.written < self.outbox.len() {
            let rest = &self.outbox[self.written..];
            let taken = ready!(Pin::new(&mut self.stream).poll_write(cx, rest))?;
            self.note_progress(taken, now)?;
            self.written += taken;
        }
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.unflushed = false;
        Poll::Ready(Ok(()))
    }

    /// Sends bytes to this end: written at once as far as the stream takes them, the rest kept.
    pub(super) fn send(&mut self, cx: &mut Context<'_>, mut bytes: &[u8], now: Instant) {
        if self.write_failed || bytes.is_empty() {
            return;
        }
        if self.outbox.is_empty() {
            while !bytes.is_empty() {
                match Pin::new(&mut self.stream).poll_write(cx, bytes) {
                    Poll::Pending => break,
                    Poll::Ready(Ok(taken)) if taken > 0 => {
                        self.unflushed = true;
                        bytes = &bytes[taken..];
                    }
                    Poll::Ready(_) => {
                        self.write_failed = true;
                        return;
                    }
                }
            }
        }
        self.outbox.extend_from_slice(bytes);
        let _ = self.poll_flush(cx, now);
    }

    fn note_progress(&mut self, taken: usize, now: Instant) -> io::Result<()> {
        if taken == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        if let Some(blocked) = &mut self.blocked {
            blocked.stalled = now;
        }
        Ok(())
    }

    /// Ends the sending half: TLS says `close_notify`, TCP says FIN.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.stream).poll_shutdown(cx).map(|_| ())
    }

    /// Whether there may be more to read, frames or not.
    pub(super) fn can_be_read(&self) -> bool {
        matches!(self.ending, None | Some(Ending::Refused))
    }

    /// Whether this end's frames are still relayed: it neither ended nor was it told to go.
    pub(super) fn sends(&self) -> bool {
        self.ending.is_none() && matches!(self.stage, Stage::Open | Stage::Closing { .. })
    }
}
