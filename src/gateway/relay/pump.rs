//! One direction: reads a peer, has its gate check the bytes, and writes released bytes to the other peer.

use std::cell::RefCell;
use std::io;
use std::task::{Context, Poll};

use tokio::time::Instant;

use super::peer::{Ending, RelayPeer, Stage};
use crate::tls::transport::AT_ONCE;
use crate::values::Reason;
use crate::wire::{Gate, GateEvent, HoldBudget, Judgement, Outcome, UNCOUNTED, Verdict, Violation};

/// Released pieces of at least this size are written without being gathered first.
const GATHER_BELOW: usize = 4 * 1024;
/// Gathered bytes are written when there are this many.
const WRITE_AT: usize = 16 * 1024;
/// Bytes inflated in one poll of the task; the rest waits for the next poll. Compared between two reads.
const TURN: u64 = 1024 * 1024;
/// The size of a small read ([`Gate::wants_small_reads`]); with TLS it may be a record.
const LITTLE: usize = 16 * 1024;
/// The size of a read from a client that may be paused, while the budget has no room for the rest of a
/// read.
const SCANT: usize = UNCOUNTED;

/// The most judgements of one read that are passed on: a read can hold thousands of messages.
const MOST_JUDGED: usize = 64;

/// The most strikes of one turn of a session that are passed on: no ban needs more (`firewall.ban.strikes`).
pub(super) const MOST_STRIKES: usize = 1000;

/// Buffers that belong to the worker thread, so that no session holds one while it waits.
struct WorkerBuffers {
    read: Vec<u8>,
    gathered: Vec<u8>,
}

thread_local! {
    static WORKER: RefCell<WorkerBuffers> =
        RefCell::new(WorkerBuffers { read: vec![0; AT_ONCE], gathered: Vec::with_capacity(WRITE_AT) });
}

/// An event of a peer that its session must act on.
#[derive(Debug)]
pub(super) enum Notice {
    /// The peer answered a ping of the gateway.
    Pong,
    /// The client handed in a new token.
    Token(String),
    /// The peer sent a Close with this code, which was forwarded.
    Closed(Option<u16>),
    /// An inspector refused bytes: they are above a rate, or hand in a token that cannot be taken out.
    Refused(Reason),
    /// The peer sent a message that breaks a rule of the route, and the session ends.
    Judged(Box<Judgement>),
    /// The peer sent a frame that breaks a rule.
    Violation(Box<Violation>),
    /// The peer's stream ended.
    Eof,
    /// The peer's stream failed.
    Failed(String),
}

/// The outcome of one read.
#[derive(Debug, Default)]
pub(super) struct PumpOutcome {
    pub(super) notice: Option<Notice>,
    /// The peer may not be read before this instant.
    pub(super) wait: Option<Instant>,
    /// Messages that break a rule of the route and do not end the session. Boxed, since few reads have any.
    pub(super) judged: Option<Box<JudgedRead>>,
}

/// The messages of one read that break a rule of the route.
#[derive(Debug, Default)]
pub(super) struct JudgedRead {
    /// The first of them, at most [`MOST_JUDGED`].
    pub(super) first: Vec<Judgement>,
    /// How many of the others were released.
    pub(super) let_through: u64,
    /// The reasons of those that were refused, at most [`MOST_STRIKES`].
    pub(super) refused: Vec<Reason>,
}

impl JudgedRead {
    fn add(&mut self, judgement: Judgement) {
        if judgement.outcome != Outcome::Report && self.refused.len() < MOST_STRIKES {
            self.refused.push(judgement.reason);
        }
        if self.first.len() < MOST_JUDGED {
            self.first.push(judgement);
        } else {
            self.let_through += u64::from(judgement.outcome == Outcome::Report);
        }
    }
}

impl PumpOutcome {
    fn is_some(&self) -> bool {
        self.notice.is_some() || self.wait.is_some() || self.judged.is_some()
    }
}

impl From<Notice> for PumpOutcome {
    fn from(notice: Notice) -> Self {
        Self { notice: Some(notice), ..Self::default() }
    }
}

/// Relays bytes from `source` to `sink` until one of them has to wait or an event occurs. After inflating
/// more than [`TURN`] bytes it wakes the task and stops, so that other sessions run.
pub(super) fn pump(
    cx: &mut Context<'_>,
    source: &mut RelayPeer,
    sink: &mut RelayPeer,
    budget: &HoldBudget,
    now: Instant,
) -> Option<PumpOutcome> {
    WORKER.with_borrow_mut(|WorkerBuffers { read, gathered }| {
        // A session that panicked here may have left bytes in the buffer.
        gathered.clear();
        let mut outcome = PumpOutcome::default();
        let inflated = source.gate.inflated();
        while !outcome.is_some() && relays(source, sink) && sink.poll_flush(cx, now).is_ready() {
            if let Some(blocked) = sink.blocked.take() {
                source.awaited.leave_out(now - blocked.since);
                sink.awaited.leave_out_of_pong(now - blocked.since);
            }
            if source.gate.inflated() - inflated > TURN {
                // A few bytes can inflate to many: other sessions of the worker run in between.
                cx.waker().wake_by_ref();
                break;
            }
            let wanted = wanted(source, sink);
            let most = at_once(source, budget);
            let mut cut = false;
            let mut taken = 0;
            let lent = source.poll_lend(cx, &mut read[..most], |cx, gate, bytes| {
                cut = bytes.len() > wanted;
                let bytes = &bytes[..bytes.len().min(wanted)];
                let release = |released: &[u8]| gather(cx, sink, gathered, released, now);
                let (consumed, outcome) = feed(gate, bytes, budget, now, release);
                taken = consumed;
                (if cut { usize::MAX } else { consumed }, outcome)
            });
            if cut {
                source.ending = Some(Ending::Refused);
            }
            source.awaited.note_frames(&source.gate, now);
            outcome = match lent {
                Poll::Pending => break,
                Poll::Ready(Ok(Some(outcome))) => charge(source, taken, outcome, now),
                Poll::Ready(Ok(None)) => Notice::Eof.into(),
                Poll::Ready(Err(error)) => failed(&error).into(),
            };
        }
        sink.send(cx, gathered, now);
        gathered.clear();
        outcome.is_some().then_some(outcome)
    })
}

/// Reads and discards at most `left` bytes of `peer`; its gate checks them, so that its Close is noticed.
/// Returns `true` when the stream has ended. A peer that sends more is neither read further nor cut off at
/// once: a reset could overtake the Close on its way to the peer.
pub(super) fn drain(
    cx: &mut Context<'_>,
    peer: &mut RelayPeer,
    budget: &HoldBudget,
    left: &mut usize,
    now: Instant,
) -> bool {
    if !peer.can_be_read() {
        return true;
    }
    WORKER.with_borrow_mut(|worker| {
        while *left > 0 {
            let reads_frames = peer.ending.is_none();
            let drained = peer.poll_lend(cx, &mut worker.read, |_, gate, bytes| {
                // None of the bytes is forwarded, so rates no longer matter.
                gate.allow(None);
                let fed = reads_frames.then(|| feed(gate, bytes, budget, now, |_| {}));
                let notice = fed.and_then(|(_, outcome)| outcome.notice);
                let refused = matches!(
                    notice,
                    Some(Notice::Violation(_) | Notice::Refused(_) | Notice::Judged(_))
                );
                (bytes.len(), (bytes.len(), refused))
            });
            match drained {
                Poll::Pending => return false,
                Poll::Ready(Ok(None) | Err(_)) => return true,
                Poll::Ready(Ok(Some((length, refused)))) => {
                    *left = left.saturating_sub(length);
                    if refused {
                        peer.ending = Some(Ending::Refused);
                    }
                }
            }
        }
        false
    })
}

fn relays(source: &RelayPeer, sink: &RelayPeer) -> bool {
    let takes = match sink.stage {
        Stage::Open => true,
        Stage::Closing { .. } => source.gate.unfinished() > 0,
        Stage::Draining { .. } | Stage::Done => false,
    };
    takes && source.sends() && source.paused.is_none() && !sink.write_failed
}

/// How many bytes to read at once. The rest of a read from a paused client must be kept: if the budget has
/// no room for it, the bytes stay in the kernel.
fn at_once(source: &mut RelayPeer, budget: &HoldBudget) -> usize {
    if !source.gate.wants_small_reads() {
        AT_ONCE
    } else if source.gate.may_be_delayed() && budget.left() < LITTLE {
        SCANT
    } else {
        LITTLE
    }
}

/// How many bytes to relay: to a peer that is being closed, only the rest of the frame in progress.
fn wanted(source: &RelayPeer, sink: &RelayPeer) -> usize {
    match sink.stage {
        Stage::Closing { .. } => usize::try_from(source.gate.unfinished()).unwrap_or(usize::MAX),
        _ => usize::MAX,
    }
}

/// Feeds a read to the gate, up to its end, the first refused frame, or a frame that has to wait. Returns
/// how many bytes were consumed.
fn feed(
    gate: &mut Gate,
    bytes: &[u8],
    budget: &HoldBudget,
    now: Instant,
    mut release: impl FnMut(&[u8]),
) -> (usize, PumpOutcome) {
    gate.at(now);
    let mut notice = None;
    let mut judged: Option<Box<JudgedRead>> = None;
    let mut rest = bytes;
    while !rest.is_empty() {
        let run = gate.judge(rest, budget);
        for released in run.release {
            release(released);
        }
        rest = &rest[run.consumed..];
        match run.event {
            // The gates of a session have no first-message inspector.
            None | Some(GateEvent::Dropped | GateEvent::FirstMessage | GateEvent::Ping(_)) => {}
            Some(GateEvent::OwnPong) => notice = notice.or(Some(Notice::Pong)),
            Some(GateEvent::Token(token)) => notice = Some(Notice::Token(token)),
            Some(GateEvent::Close(close)) => notice = Some(Notice::Closed(close.code)),
            Some(GateEvent::Wait(until)) => {
                return (
                    bytes.len() - rest.len(),
                    PumpOutcome { notice, wait: Some(until), judged },
                );
            }
            Some(GateEvent::Refused(reason)) => {
                let notice = Some(Notice::Refused(reason));
                return (bytes.len(), PumpOutcome { notice, wait: None, judged });
            }
            Some(GateEvent::Violation(violation)) => {
                let notice = Some(Notice::Violation(violation));
                return (bytes.len(), PumpOutcome { notice, wait: None, judged });
            }
            Some(GateEvent::Judged(judgement)) if judgement.outcome == Outcome::Close => {
                let notice = Some(Notice::Judged(judgement));
                return (bytes.len(), PumpOutcome { notice, wait: None, judged });
            }
            Some(GateEvent::Judged(judgement)) => judged.get_or_insert_default().add(*judgement),
        }
    }
    (bytes.len(), PumpOutcome { notice, wait: None, judged })
}

/// Charges a peer for bytes read from it.
fn charge(source: &mut RelayPeer, bytes: usize, outcome: PumpOutcome, now: Instant) -> PumpOutcome {
    let verdict = source.gate.allowance().map(|allowance| allowance.bytes(bytes as u64, now));
    match (verdict, outcome.notice) {
        (Some(Verdict::Refuse(reason)), None | Some(Notice::Pong | Notice::Token(_))) => {
            PumpOutcome { notice: Some(Notice::Refused(reason)), ..outcome }
        }
        (Some(Verdict::Wait(until)), notice) => {
            PumpOutcome { notice, wait: outcome.wait.max(Some(until)), ..outcome }
        }
        (_, notice) => PumpOutcome { notice, ..outcome },
    }
}

/// Collects small pieces, so that frames read together are written together.
fn gather(
    cx: &mut Context<'_>,
    sink: &mut RelayPeer,
    gathered: &mut Vec<u8>,
    released: &[u8],
    now: Instant,
) {
    if gathered.is_empty() && released.len() >= GATHER_BELOW {
        sink.send(cx, released, now);
        return;
    }
    gathered.extend_from_slice(released);
    if gathered.len() >= WRITE_AT {
        sink.send(cx, gathered, now);
        gathered.clear();
    }
}

fn failed(error: &io::Error) -> Notice {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return Notice::Eof;
    }
    Notice::Failed(error.to_string())
}
