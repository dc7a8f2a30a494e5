//! One peer as the relay sees it: its stream, the gate for the bytes that it sends, and the bytes that it has
//! not taken yet.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWrite;
use tokio::time::Instant;

use super::awaited::{Awaited, Received};
use super::end::CloseNotice;
use crate::tls::transport::Transport;
use crate::wire::{Gate, HoldBudget, HoldPermit};

/// Why no more frames can be read from a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// The stream ended.
    Eof,
    /// The socket or TLS failed.
    Failed,
    /// A frame was refused, or bytes were discarded.
    Refused,
}

/// The stage of a peer in the close.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Frames are relayed in both directions.
    Open,
    /// A Close of the gateway is to be written at the next frame boundary.
    Closing(Box<CloseNotice>),
    /// A Close was written; bytes that still arrive are read and discarded.
    Draining(Box<Draining>),
    /// Nothing more is read or written.
    Done,
}

/// The bounds on reading a peer after its Close was written, and whether the stream was half-closed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Draining {
    pub(super) until: Instant,
    pub(super) left: usize,
    pub(super) shut: bool,
}

/// One peer of a session. Most are idle: fields that are used only for a time are boxed.
#[derive(Debug)]
pub(super) struct RelayPeer {
    /// `None` once this connection is closed; the other peer's may still be open.
    stream: Option<Transport>,
    /// Checks the bytes that this peer sends.
    pub(super) gate: Gate,
    /// Deadlines of this peer: the rest of a frame or message, and pongs.
    pub(super) awaited: Awaited,
    /// Bytes to be read before the stream.
    early: Option<Box<Early>>,
    pub(super) paused: Option<Box<Paused>>,
    /// Bytes that the stream did not take.
    outbox: Option<Box<Outbox>>,
    /// The stream holds bytes of its own (TLS records) that the socket did not take.
    unflushed: bool,
    pub(super) blocked: Option<Box<Blocked>>,
    /// Writing failed; the peer may still have sent a Close that explains it.
    pub(super) write_failed: bool,
    pub(super) ending: Option<Ending>,
    pub(super) stage: Stage,
}

/// Bytes that followed the opening handshake, or the rest of a read when a pause began.
#[derive(Debug)]
struct Early {
    /// Not empty.
    bytes: Bytes,
    /// The budget permit for the rest of a read; `None`: no pause began yet, or the budget had no room.
    kept: Option<HoldPermit>,
}

impl Early {
    fn of(bytes: Bytes, kept: Option<HoldPermit>) -> Option<Box<Self>> {
        (!bytes.is_empty()).then(|| Box::new(Self { bytes, kept }))
    }
}

/// Bytes to be written, from `written` on.
#[derive(Debug, Default)]
struct Outbox {
    bytes: Vec<u8>,
    written: usize,
}

impl Outbox {
    fn rest(&self) -> &[u8] {
        &self.bytes[self.written..]
    }
}

/// The pause of a peer that is above its rate; the gateway reads it again at `until`.
#[derive(Debug)]
pub(super) struct Paused {
    since: Instant,
    pub(super) until: Instant,
}

/// The time in which a peer does not take the bytes sent to it.
#[derive(Debug)]
pub(super) struct Blocked {
    pub(super) since: Instant,
    /// When the peer last took any.
    pub(super) stalled: Instant,
}

impl Blocked {
    fn new(now: Instant) -> Self {
        Self { since: now, stalled: now }
    }
}

impl RelayPeer {
    pub(super) fn new(stream: Transport, early: Bytes, gate: Gate) -> Self {
        Self {
            stream: Some(stream),
            gate,
            awaited: Awaited::default(),
            early: Early::of(early, None),
            paused: None,
            outbox: None,
            unflushed: false,
            blocked: None,
            write_failed: false,
            ending: None,
            stage: Stage::Open,
        }
    }

    /// Waits for bytes of this peer and lends them to `take` with its gate, as [`Transport::poll_lend`]
    /// does. `take` returns how many bytes it consumed, and gets the rest with the next call.
    pub(super) fn poll_lend<T>(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
        take: impl FnOnce(&mut Context<'_>, &mut Gate, &[u8]) -> (usize, T),
    ) -> Poll<io::Result<Option<T>>> {
        if let Some(early) = self.early.take() {
            let Early { bytes, kept } = *early;
            let (taken, result) = take(cx, &mut self.gate, &bytes);
            self.early = Early::of(bytes.slice(taken.min(bytes.len())..), kept);
            return Poll::Ready(Ok(Some(result)));
        }
        let Self { gate, stream: Some(stream), early, .. } = self else {
            return Poll::Ready(Ok(None));
        };
        stream.poll_lend(cx, scratch, |cx, bytes| {
            let (taken, result) = take(cx, gate, bytes);
            if taken < bytes.len() {
                *early = Early::of(Bytes::copy_from_slice(&bytes[taken..]), None);
            }
            result
        })
    }

    /// Pauses reading this peer until `until`. Bytes already read are kept, and counted against the budget
    /// if it has room; if not, this read was small, and so is the next.
    pub(super) fn pause(&mut self, until: Instant, now: Instant, budget: &HoldBudget) {
        self.paused = Some(Box::new(Paused { since: now, until }));
        if let Some(early) = &mut self.early
            && early.kept.is_none()
        {
            early.kept = budget.take(early.bytes.len());
        }
    }

    /// Ends the pause, and moves the deadlines of this peer by its length.
    pub(super) fn resume(&mut self, now: Instant) {
        if let Some(paused) = self.paused.take() {
            self.awaited.leave_out(now - paused.since);
        }
    }

    /// How much was received from this peer.
    pub(super) fn received(&self) -> Received {
        let partial = self.stream.as_ref().map_or(0, Transport::partial);
        Received { bytes: self.gate.received(), partial }
    }

    /// Bytes sent to this peer that the kernel has not taken.
    fn unsent(&self) -> usize {
        let kept = self.outbox.as_ref().map_or(0, |outbox| outbox.rest().len());
        kept + self.stream.as_ref().map_or(0, Transport::unsent)
    }

    /// Sets how long TCP waits for this peer to acknowledge or take bytes; `None`: the kernel's default.
    pub(super) fn set_tcp_user_timeout(&self, user_timeout: Option<Duration>) {
        if let Some(stream) = &self.stream {
            stream.set_tcp_user_timeout(user_timeout);
        }
    }

    /// Ready once the kernel has taken every byte sent to this peer.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<()> {
        if self.write_failed || (self.outbox.is_none() && !self.unflushed) {
            return Poll::Ready(());
        }
        let before = self.unsent();
        match self.try_flush(cx) {
            Poll::Pending => {
                let takes = self.unsent() != before;
                let blocked = self.blocked.get_or_insert_with(|| Box::new(Blocked::new(now)));
                if takes {
                    blocked.stalled = now;
                }
                Poll::Pending
            }
            Poll::Ready(outcome) => {
                self.write_failed |= outcome.is_err();
                self.outbox = None;
                Poll::Ready(())
            }
        }
    }

    fn try_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        while let Some(outbox) = &mut self.outbox {
            if outbox.rest().is_empty() {
                break;
            }
            let taken = ready!(Pin::new(&mut *stream).poll_write(cx, outbox.rest()))?;
            if taken == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            outbox.written += taken;
        }
        ready!(Pin::new(stream).poll_flush(cx))?;
        self.unflushed = false;
        Poll::Ready(Ok(()))
    }

    /// Sends bytes to this peer: writes as many as the stream takes, and keeps the rest.
    pub(super) fn send(&mut self, cx: &mut Context<'_>, mut bytes: &[u8], now: Instant) {
        if self.write_failed || bytes.is_empty() {
            return;
        }
        if self.outbox.is_none() {
            match self.write_now(cx, bytes) {
                Ok(taken) => bytes = &bytes[taken..],
                Err(_) => self.write_failed = true,
            }
        }
        if !bytes.is_empty() {
            self.outbox.get_or_insert_default().bytes.extend_from_slice(bytes);
        }
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

    /// Shuts down the sending half: TLS sends `close_notify`, TCP sends FIN.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.stream {
            Some(stream) => Pin::new(stream).poll_shutdown(cx).map(|_| ()),
            None => Poll::Ready(()),
        }
    }

    /// Closes the connection at once.
    pub(super) fn cut(&mut self) {
        self.stage = Stage::Done;
        self.stream = None;
        self.outbox = None;
    }

    /// Whether more bytes may arrive, as frames or not.
    pub(super) fn can_be_read(&self) -> bool {
        matches!(self.ending, None | Some(Ending::Refused))
    }

    /// Whether this peer's frames are still relayed. A peer that was sent a Close may still finish the frame
    /// in progress.
    pub(super) fn sends(&self) -> bool {
        self.ending.is_none() && self.stage != Stage::Done
    }
}
