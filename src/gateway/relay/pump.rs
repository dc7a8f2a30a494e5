//! One direction: lend what an end sent to the frame rules, and pass on what they release.

use std::cell::RefCell;
use std::io;
use std::task::{Context, Poll};

use tokio::time::Instant;

use super::side::{Ending, Side, Stage};
use crate::tls::transport::AT_ONCE;
use crate::values::Reason;
use crate::wire::{Event, Gate, HoldBudget, UNCOUNTED, Verdict, Violation};

/// Released bytes from here on are written without being gathered first.
const GATHER_BELOW: usize = 4 * 1024;
/// Gathered bytes are written when there are this many.
const WRITE_AT: usize = 16 * 1024;
/// An end whose compressed messages were inflated to this much goes on in the task's next turn.
/// Looked at after each read.
const TURN: u64 = 1024 * 1024;
/// Bytes of a read, at most, of an end that is read little at a time; with TLS it may be a record.
const LITTLE: usize = 16 * 1024;
/// The same, of a client that may be delayed when there is no room for what it would leave unread.
const SCANT: usize = UNCOUNTED;

/// Buffers that belong to the worker thread, so that no session holds one while it waits.
struct Worker {
    read: Vec<u8>,
    gathered: Vec<u8>,
}

thread_local! {
    static WORKER: RefCell<Worker> =
        RefCell::new(Worker { read: vec![0; AT_ONCE], gathered: Vec::with_capacity(WRITE_AT) });
}

/// What is to be noted about an end after its bytes were judged.
#[derive(Debug)]
pub(super) enum Notice {
    /// It answered a ping of the gateway's.
    Pong,
    /// It handed in a new token.
    Token(String),
    /// It sent a Close with this code, which was passed on.
    Closed(Option<u16>),
    /// It is above a rate.
    Refused(Reason),
    /// It sent a frame that is refused.
    Violation(Box<Violation>),
    /// Its stream ended.
    Eof,
    /// Its stream failed.
    Failed(String),
}

/// What came of an end's bytes, if anything.
#[derive(Debug, Default)]
pub(super) struct Noticed {
    pub(super) notice: Option<Notice>,
    /// The end may not go on before this instant.
    pub(super) wait: Option<Instant>,
}

impl Noticed {
    fn is_some(&self) -> bool {
        self.notice.is_some() || self.wait.is_some()
    }
}

impl From<Notice> for Noticed {
    fn from(notice: Notice) -> Self {
        Self { notice: Some(notice), wait: None }
    }
}

/// Relays what `source` sends for as long as it sends and `sink` takes it, or until there is
/// something to be noted. Where judging it is much work, it wakes the task to go on later.
pub(super) fn pump(
    cx: &mut Context<'_>,
    source: &mut Side,
    sink: &mut Side,
    budget: &HoldBudget,
    now: Instant,
) -> Option<Noticed> {
    WORKER.with_borrow_mut(|Worker { read, gathered }| {
        // A session that panicked here may have left its bytes behind.
        gathered.clear();
        let mut noticed = Noticed::default();
        let inflated = source.gate.inflated();
        while !noticed.is_some() && relays(source, sink) && sink.poll_flush(cx, now).is_ready() {
            if let Some(blocked) = sink.blocked.take() {
                source.awaited.leave_out(now - blocked.since);
                sink.awaited.leave_out_of_pong(now - blocked.since);
            }
            if source.gate.inflated() - inflated > TURN {
                // A few bytes can be much work: other sessions of the worker run in between.
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
                let (judged, noticed) = judge(gate, bytes, budget, now, release);
                taken = judged;
                (if cut { usize::MAX } else { judged }, noticed)
            });
            if cut {
                source.ending = Some(Ending::Refused);
            }
            source.awaited.note_frames(&source.gate, now);
            noticed = match lent {
                Poll::Pending => break,
                Poll::Ready(Ok(Some(noticed))) => charge(source, taken, noticed, now),
                Poll::Ready(Ok(None)) => Notice::Eof.into(),
                Poll::Ready(Err(error)) => failed(&error).into(),
            };
        }
        sink.send(cx, gathered, now);
        gathered.clear();
        noticed.is_some().then_some(noticed)
    })
}

/// Reads what `side` still sends and throws it away, at most `left` bytes; the frame rules look on,
/// so that its Close is seen. `true` when it has ended. One that sends more than that is not read
/// any further, and not cut off at once either: that would be a reset, which could overtake the
/// Close that it is to read.
pub(super) fn drain(
    cx: &mut Context<'_>,
    side: &mut Side,
    budget: &HoldBudget,
    left: &mut usize,
    now: Instant,
) -> bool {
    if !side.can_be_read() {
        return true;
    }
    WORKER.with_borrow_mut(|worker| {
        while *left > 0 {
            let judging = side.ending.is_none();
            let drained = side.poll_lend(cx, &mut worker.read, |_, gate, bytes| {
                // Nothing of it goes on, so that no rate matters any more.
                gate.allow(None);
                let judged = judging.then(|| judge(gate, bytes, budget, now, |_| {}));
                let notice = judged.and_then(|(_, noticed)| noticed.notice);
                let refused = matches!(notice, Some(Notice::Violation(_) | Notice::Refused(_)));
                (bytes.len(), (bytes.len(), refused))
            });
            match drained {
                Poll::Pending => return false,
                Poll::Ready(Ok(None) | Err(_)) => return true,
                Poll::Ready(Ok(Some((length, refused)))) => {
                    *left = left.saturating_sub(length);
                    if refused {
                        side.ending = Some(Ending::Refused);
                    }
                }
            }
        }
        false
    })
}

fn relays(source: &Side, sink: &Side) -> bool {
    let takes = match sink.stage {
        Stage::Open => true,
        Stage::Closing { .. } => source.gate.unfinished() > 0,
        Stage::Draining { .. } | Stage::Done => false,
    };
    takes && source.sends() && source.paused.is_none() && !sink.write_failed
}

/// How many bytes may be read at once. The rest of a read of a client that is delayed has to be kept:
/// where the budget has no room for it, the bytes stay in the kernel.
fn at_once(source: &mut Side, budget: &HoldBudget) -> usize {
    if !source.gate.wants_small_reads() {
        AT_ONCE
    } else if source.gate.may_be_delayed() && budget.left() < LITTLE {
        SCANT
    } else {
        LITTLE
    }
}

/// How many bytes may be relayed: towards an end that is to be closed, only the frame in progress
/// is finished; what comes behind it is thrown away.
fn wanted(source: &Side, sink: &Side) -> usize {
    match sink.stage {
        Stage::Closing { .. } => usize::try_from(source.gate.unfinished()).unwrap_or(usize::MAX),
        _ => usize::MAX,
    }
}

/// Judges a chunk to its end, to the first frame that is refused, or to one that has to wait. Says
/// how much of it was dealt with.
fn judge(
    gate: &mut Gate,
    bytes: &[u8],
    budget: &HoldBudget,
    now: Instant,
    mut release: impl FnMut(&[u8]),
) -> (usize, Noticed) {
    if let Some(allowance) = gate.allowance() {
        allowance.at(now);
    }
    let mut notice = None;
    let mut rest = bytes;
    while !rest.is_empty() {
        let judged = gate.judge(rest, budget);
        for released in judged.release {
            release(released);
        }
        rest = &rest[judged.consumed..];
        match judged.event {
            // No first message is taken out of a session's stream.
            None | Some(Event::Dropped | Event::FirstMessage | Event::Ping(_)) => {}
            Some(Event::OwnPong) => notice = notice.or(Some(Notice::Pong)),
            Some(Event::Token(token)) => notice = Some(Notice::Token(token)),
            Some(Event::Close(close)) => notice = Some(Notice::Closed(close.code)),
            Some(Event::Wait(until)) => {
                return (bytes.len() - rest.len(), Noticed { notice, wait: Some(until) });
            }
            Some(Event::Refused(reason)) => return (bytes.len(), Notice::Refused(reason).into()),
            Some(Event::Violation(violation)) => {
                return (bytes.len(), Notice::Violation(violation).into());
            }
        }
    }
    (bytes.len(), Noticed { notice, wait: None })
}

/// Charges an end for bytes that were read of it, whatever else came of them.
fn charge(source: &mut Side, bytes: usize, noticed: Noticed, now: Instant) -> Noticed {
    let verdict = source.gate.allowance().map(|allowance| allowance.bytes(bytes as u64, now));
    match (verdict, noticed.notice) {
        (Some(Verdict::Refuse(reason)), None | Some(Notice::Pong | Notice::Token(_))) => {
            Notice::Refused(reason).into()
        }
        (Some(Verdict::Wait(until)), notice) => {
            Noticed { notice, wait: noticed.wait.max(Some(until)) }
        }
        (_, notice) => Noticed { notice, ..noticed },
    }
}

/// Collects small pieces, so that many frames that came together go on together.
fn gather(
    cx: &mut Context<'_>,
    sink: &mut Side,
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
