//! One end as the relay sees it: its stream, the judge of what it sends, and what it has not taken
//! yet of what is sent to it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use tokio::time::Instant;

use super::budget::{HoldBudget, HoldPermit};
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
    /// A refused frame, or bytes that were thrown away: nothing behind can be read as frames.
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
    /// `None` once this end is done with: the connection is closed then, whatever the other does.
    stream: Option<Transport>,
    /// Judges what this end sends.
    pub(super) gate: Gate,
    /// When the message and the control frame in progress began.
    pub(super) frames: FrameClock,
    /// Read behind the opening handshake, or left of a read when a pause began; judged before
    /// anything from the stream.
    early: Bytes,
    /// For what is left of a read since a pause.
    kept: Option<HoldPermit>,
    pub(super) paused: Option<Paused>,
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

/// An end that is above its rate, and may go on at `until`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paused {
    since: Instant,
    pub(super) until: Instant,
}

/// Since when an end does not take what is sent to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Blocked {
    pub(super) since: Instant,
    /// When it last took anything.
    pub(super) stalled: Instant,
}

/// The gateway's own pings to an end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pings {
    /// Their payload.
    pub(super) payload: [u8; 8],
    /// Sent, or due to be sent, and not answered.
    pub(super) unanswered: u8,
    /// One is to be written at the next frame boundary.
    pub(super) owed: bool,
}

impl Pings {
    /// The end is there: whatever was asked, or was to be, is answered.
    pub(super) fn answered(&mut self) {
        self.unanswered = 0;
        self.owed = false;
    }
}

impl Side {
    pub(super) fn new(stream: Transport, early: Bytes, gate: Gate, ping: [u8; 8]) -> Self {
        Self {
            stream: Some(stream),
            gate,
            frames: FrameClock::default(),
            early,
            kept: None,
            paused: None,
            outbox: Vec::new(),
            written: 0,
            unflushed: false,
            blocked: None,
            write_failed: false,
            ending: None,
            stage: Stage::Open,
            pings: Pings { payload: ping, unanswered: 0, owed: false },
        }
    }

    /// Waits for bytes of this end and lends them to `take`, with the gate to judge them by, as
    /// [`Transport::poll_lend`] does; but of these it says how many it dealt with, and gets the
    /// others with the next call.
    pub(super) fn poll_lend<T>(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
        take: impl FnOnce(&mut Context<'_>, &mut Gate, &[u8]) -> (usize, T),
    ) -> Poll<io::Result<Option<T>>> {
        if !self.early.is_empty() {
            // Dropped afterwards: an empty `Bytes` would keep the handshake's buffer alive.
            let early = std::mem::take(&mut self.early);
            let (taken, result) = take(cx, &mut self.gate, &early);
            if taken < early.len() {
                self.early = early.slice(taken..);
            } else {
                self.kept = None;
            }
            return Poll::Ready(Ok(Some(result)));
        }
        let Self { gate, stream: Some(stream), early, .. } = self else {
            return Poll::Ready(Ok(None));
        };
        stream.poll_lend(cx, scratch, |cx, bytes| {
            let (taken, result) = take(cx, gate, bytes);
            if taken < bytes.len() {
                *early = Bytes::copy_from_slice(&bytes[taken..]);
            }
            result
        })
    }

    /// This end is not read from before `until`. What was read of it already is kept; `false` when
    /// the budget has no room for that.
    #[must_use]
    pub(super) fn pause(&mut self, until: Instant, now: Instant, budget: &HoldBudget) -> bool {
        self.paused = Some(Paused { since: now, until });
        if self.early.is_empty() || self.kept.is_some() {
            return true;
        }
        self.kept = budget.take(self.early.len());
        self.kept.is_some()
    }

    /// The pause is over. Its time is nothing that a message of this end took.
    pub(super) fn resume(&mut self, now: Instant) {
        if let Some(paused) = self.paused.take() {
            self.frames.leave_out(now - paused.since);
        }
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
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        while self.written < self.outbox.len() {
            let taken =
                ready!(Pin::new(&mut *stream).poll_write(cx, &self.outbox[self.written..]))?;
            if taken == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += taken;
            if let Some(blocked) = &mut self.blocked {
                blocked.stalled = now;
            }
        }
        ready!(Pin::new(stream).poll_flush(cx))?;
        self.unflushed = false;
        Poll::Ready(Ok(()))
    }

    /// Sends bytes to this end: written at once as far as the stream takes them, the rest kept.
    pub(super) fn send(&mut self, cx: &mut Context<'_>, mut bytes: &[u8], now: Instant) {
        if self.write_failed || bytes.is_empty() {
            return;
        }
        if self.outbox.is_empty() {
            match self.write_now(cx, bytes) {
                Ok(taken) => bytes = &bytes[taken..],
                Err(_) => self.write_failed = true,
            }
        }
        self.outbox.extend_from_slice(bytes);
        let _ = self.poll_flush(cx, now);
    }

    /// Writes as much as the stream takes without waiting.
    fn write_now(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> io::Result<usize> {
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let mut written = 0;
        while written < bytes.len() {
            match Pin::new(&mut *stream).poll_write(cx, &bytes[written..]) {
                Poll::Pending => break,
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(taken) => written += taken?,
            }
        }
        self.unflushed |= written > 0;
        Ok(written)
    }

    /// Ends the sending half: TLS says `close_notify`, TCP says FIN.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.stream {
            Some(stream) => Pin::new(stream).poll_shutdown(cx).map(|_| ()),
            None => Poll::Ready(()),
        }
    }

    /// Nothing more is read or written: the connection is closed at once.
    pub(super) fn cut(&mut self) {
        self.stage = Stage::Done;
        self.stream = None;
        self.outbox = Vec::new();
    }

    /// Whether there may be more to read, frames or not.
    pub(super) fn can_be_read(&self) -> bool {
        matches!(self.ending, None | Some(Ending::Refused))
    }

    /// Whether this end's frames are still relayed. One that was told to go may still finish the
    /// frame that the other end waits for.
    pub(super) fn sends(&self) -> bool {
        self.ending.is_none() && self.stage != Stage::Done
    }
}
