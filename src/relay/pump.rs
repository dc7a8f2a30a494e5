//! One direction: lend what an end sent to the frame rules, and pass on what they release.

use std::cell::RefCell;
use std::io;
use std::task::{Context, Poll};

use tokio::time::Instant;

use super::budget::HoldBudget;
use super::gate::{Event, Gate};
use super::side::{Ending, Side, Stage};
use super::violation::Violation;

/// Released bytes from here on are written without being gathered first.
const GATHER_BELOW: usize = 4 * 1024;
/// Gathered bytes are written when there are this many.
const WRITE_AT: usize = 16 * 1024;
/// A read from a socket without TLS.
const READ: usize = 64 * 1024;

/// Buffers that belong to the worker thread, so that no session holds one while it waits.
struct Worker {
    read: Vec<u8>,
    gathered: Vec<u8>,
}

thread_local! {
    static WORKER: RefCell<Worker> =
        RefCell::new(Worker { read: vec![0; READ], gathered: Vec::with_capacity(WRITE_AT) });
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
    /// It sent a frame that is refused.
    Violation(Box<Violation>),
    /// Its stream ended.
    Eof,
    /// Its stream failed.
    Failed(String),
}

/// Relays what `source` sends for as long as it sends and `sink` takes it, or until there is
/// something to be noted.
pub(super) fn pump(
    cx: &mut Context<'_>,
    source: &mut Side,
    sink: &mut Side,
    budget: &HoldBudget,
    now: Instant,
) -> Option<Notice> {
    WORKER.with_borrow_mut(|Worker { read, gathered }| {
        // A session that panicked here may have left its bytes behind.
        gathered.clear();
        let mut notice = None;
        while notice.is_none() && relays(source, sink) && sink.poll_flush(cx, now).is_ready() {
            if let Some(blocked) = sink.blocked.take() {
                source.frames.leave_out(now - blocked.since);
            }
            let wanted = wanted(source, sink);
            let mut cut = false;
            let lent = source.poll_lend(cx, read, |cx, gate, bytes| {
                cut = bytes.len() > wanted;
                let bytes = &bytes[..bytes.len().min(wanted)];
                judge(gate, bytes, budget, |released| gather(cx, sink, gathered, released, now))
            });
            if cut {
                source.ending = Some(Ending::Refused);
            }
            source.frames.note(&source.gate, now);
            notice = match lent {
                Poll::Pending => break,
                Poll::Ready(Ok(Some(notice))) => notice,
                Poll::Ready(Ok(None)) => Some(Notice::Eof),
                Poll::Ready(Err(error)) => Some(failed(&error)),
            };
        }
        sink.send(cx, gathered, now);
        gathered.clear();
        notice
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
) -> bool {
    if !side.can_be_read() {
        return true;
    }
    WORKER.with_borrow_mut(|worker| {
        while *left > 0 {
            let judging = side.ending.is_none();
            let drained = side.poll_lend(cx, &mut worker.read, |_, gate, bytes| {
                let notice = if judging { judge(gate, bytes, budget, |_| {}) } else { None };
                (bytes.len(), matches!(notice, Some(Notice::Violation(_))))
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
    takes && source.sends() && !sink.write_failed
}

/// How many bytes may be relayed: towards an end that is to be closed, only the frame in progress
/// is finished; what comes behind it is thrown away.
fn wanted(source: &Side, sink: &Side) -> usize {
    match sink.stage {
        Stage::Closing { .. } => usize::try_from(source.gate.unfinished()).unwrap_or(usize::MAX),
        _ => usize::MAX,
    }
}

/// Judges a chunk to its end, or to the first frame that is refused.
fn judge(
    gate: &mut Gate,
    bytes: &[u8],
    budget: &HoldBudget,
    mut release: impl FnMut(&[u8]),
) -> Option<Notice> {
    let mut notice = None;
    let mut rest = bytes;
    while !rest.is_empty() {
        let judged = gate.judge(rest, budget);
        for released in judged.release {
            release(released);
        }
        rest = &rest[judged.consumed..];
        match judged.event {
            None => {}
            Some(Event::OwnPong) => notice = notice.or(Some(Notice::Pong)),
            Some(Event::Token(token)) => notice = Some(Notice::Token(token)),
            Some(Event::Close(close)) => notice = Some(Notice::Closed(close.code)),
            Some(Event::Violation(violation)) => return Some(Notice::Violation(violation)),
        }
    }
    notice
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
