//! The gate: runs the rules and inspectors over the bytes that one peer sends, and releases the good ones.

use std::sync::Arc;

use tokio::time::Instant;

use super::inspect::{FirstMessageInspector, Handover, MessageInspector};
use super::reader::{FrameRun, Reader};
use super::{Allowance, CloseFrame, Context, FirstMessage, FrameLimits, HoldBudget, Violation};
use crate::values::{Endpoint, Flow, Reason};

/// Checks the bytes that one peer sends after the handshake.
///
/// A frame of at most 16 KiB is released whole or not at all, as long as the [`HoldBudget`]
/// lasts; a control frame always. The verdict and its place depend on the bytes alone, not on how
/// they were cut into reads, and within the budget so do the released bytes.
#[derive(Debug)]
pub struct Gate {
    reader: Reader,
    state: GateState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum GateState {
    Open,
    /// A Close was released.
    Closed,
    /// A violation was found.
    Refused,
}

/// The outcome of one call of [`Gate::judge`].
#[derive(Debug)]
pub struct Judged<'a> {
    /// Bytes of the input that were consumed. The caller passes the rest in again, unless the event ends the
    /// stream.
    pub consumed: usize,
    /// Bytes to forward now, in this order: some that were held, then some of the input. Either
    /// may be empty. To be forwarded before the event is acted on.
    pub release: [&'a [u8]; 2],
    /// The event that ended the run before the end of the input, if any.
    pub event: Option<GateEvent>,
}

/// An event that the caller has to act on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GateEvent {
    /// The answer to the gateway's own ping. It was taken out of the stream.
    OwnPong,
    /// A new token, handed in with a message that [`Gate::expect_token`] describes; empty where the
    /// message does not go on as it must. The message was taken out of the stream.
    Token(String),
    /// A valid Close, released with this call.
    Close(CloseFrame),
    /// The first message of a client is whole, and was taken out of the stream.
    FirstMessage,
    /// A ping before the end of the first message, with its payload. It was taken out of the stream.
    Ping(Box<[u8]>),
    /// A whole frame was taken out of the stream: it is above a rate, or comes before the end
    /// of a first message.
    Dropped,
    /// The bytes that follow may not be read before this instant; none of them was taken. A ping or
    /// pong that this is about was released.
    Wait(Instant),
    /// An inspector refuses a frame that the rules accept: it is above a rate, or hands in a token that
    /// cannot be taken out. Nothing of this peer is released any more.
    Refused(Reason),
    /// The frame is refused; nothing of this endpoint is released any more.
    Violation(Box<Violation>),
}

impl Gate {
    /// A gate for the frames of `sender`. `own_ping` is the payload of the gateway's own pings to it.
    #[must_use]
    pub fn new(sender: Endpoint, limits: FrameLimits, own_ping: [u8; 8]) -> Self {
        Self { reader: Reader::new(sender, limits, own_ping), state: GateState::Open }
    }

    /// The payload of the gateway's own pings to the sender.
    #[must_use]
    pub fn own_ping(&self) -> [u8; 8] {
        self.reader.own_ping
    }

    /// From here on a text message that begins with `{"MEMBER": {"token": "` is the gateway's:
    /// no byte of a frame is released that holds some of the token. Of one frame of at most
    /// 16 KiB it is taken out ([`GateEvent::Token`]); any other, and one for which the budget has no
    /// room, ends the session ([`GateEvent::Refused`]).
    pub fn expect_token(&mut self, member: Arc<str>) {
        let handover = MessageInspector::Handover(Handover::new(member));
        self.reader.inspectors.messages = Some(Box::new(handover));
    }

    /// From here on every frame up to the end of the first message is taken out of the stream.
    pub(super) fn take_first_message(&mut self, inspector: FirstMessageInspector) {
        let first = MessageInspector::FirstMessage(inspector);
        self.reader.inspectors.messages = Some(Box::new(first));
    }

    /// The message that [`GateEvent::FirstMessage`] said is whole.
    pub(super) fn first_message(&mut self) -> Option<FirstMessage> {
        match self.reader.inspectors.messages.as_deref_mut() {
            Some(MessageInspector::FirstMessage(first)) => Some(first.message()),
            Some(MessageInspector::Handover(_)) | None => None,
        }
    }

    /// From here on messages may be compressed (RFC 7692). They are released as they came; a copy
    /// is inflated and checked.
    pub fn inflate(&mut self, context: Context) {
        self.reader.inflate(context);
    }

    /// The peer whose frames it checks.
    #[must_use]
    pub fn sender(&self) -> Endpoint {
        self.reader.sender()
    }

    /// Whether the sender is to be read a little at a time: because a byte of a compressed message
    /// may inflate to a thousand, or because of its rates ([`ClientRates::small_reads`](super::ClientRates)).
    #[must_use]
    pub fn wants_small_reads(&self) -> bool {
        self.reader.inflates()
            || self.reader.inspectors.rates.as_ref().is_some_and(|rates| rates.wants_small_reads())
    }

    /// Whether the sender's rates may pause it in the middle of a read.
    #[must_use]
    pub fn may_be_delayed(&self) -> bool {
        self.reader.inspectors.rates.as_ref().is_some_and(|rates| rates.may_delay())
    }

    /// Bytes of compressed messages that were inflated so far: a measure of the work.
    #[must_use]
    pub fn inflated(&self) -> u64 {
        self.reader.inflated()
    }

    /// Replaces the limits for the frames that follow.
    pub fn limit(&mut self, limits: FrameLimits) {
        self.reader.limit(limits);
    }

    /// Replaces the rates for the frames that follow; `None` lifts them. A rate that stays the same stays as
    /// used as it was.
    pub fn allow(&mut self, allowance: Option<Box<Allowance>>) {
        let old = self.reader.inspectors.rates.take();
        self.reader.inspectors.rates = match (allowance, old) {
            (Some(new), Some(mut old)) => Some(new.inheriting(&mut old)),
            (None, Some(old)) if old.outlasts_rates() => Some(old.lifted()),
            (allowance, _) => allowance,
        };
    }

    /// The rates, and how much of them is used.
    pub fn allowance(&mut self) -> Option<&mut Allowance> {
        self.reader.inspectors.rates.as_deref_mut()
    }

    /// Judges the next bytes. Runs of whole frames are released in one piece, straight from the
    /// input. Allocates only to hold a frame that is not whole, and not then if it has before
    /// and [`Gate::release_memory`] was not called since.
    ///
    /// Every call of a gate is given the same budget.
    ///
    /// After a Close was released, bytes are consumed and dropped, neither judged nor counted.
    /// After a violation the gate must not be asked again; it would drop them too.
    #[inline]
    pub fn judge<'a>(&'a mut self, input: &'a [u8], budget: &HoldBudget) -> Judged<'a> {
        debug_assert_ne!(self.state, GateState::Refused, "a refused stream is not read on");
        self.reader.buffer.forget_spent();
        if self.state != GateState::Open {
            return Judged { consumed: input.len(), release: [&[], &[]], event: None };
        }
        let mut run = FrameRun::default();
        let event = match self.reader.read(input, &mut run) {
            Ok(None) => self.reader.keep(input, &mut run, budget),
            Ok(event) => event,
            Err(violation) => Some(self.refuse(violation)),
        };
        match event {
            Some(GateEvent::Close(_)) => self.state = GateState::Closed,
            Some(GateEvent::Refused(_)) => {
                self.state = GateState::Refused;
                self.reader.buffer.discard();
            }
            Some(_) | None => {}
        }
        let release = [self.reader.buffer.spent(), &input[..run.safe]];
        self.reader.flow.bytes += (release[0].len() + release[1].len()) as u64;
        Judged { consumed: run.at, release, event }
    }

    #[cold]
    fn refuse(&mut self, violation: Violation) -> GateEvent {
        self.state = GateState::Refused;
        self.reader.buffer.discard();
        GateEvent::Violation(Box::new(violation))
    }

    /// Whether all that was released so far ends where a frame ends, so that a control frame of
    /// the gateway's own may follow. False inside a frame that is cut through, also for good when
    /// it was refused there.
    #[must_use]
    pub fn released_boundary(&self) -> bool {
        !self.reader.frame.through
    }

    /// How many bytes the sender owes until what was released ends where a frame ends; 0 at a
    /// boundary. Where a frame was refused in its middle there is no such place any more: at
    /// least 1, for good.
    #[must_use]
    pub fn unfinished(&self) -> u64 {
        if self.released_boundary() { 0 } else { self.reader.frame.left.max(1) }
    }

    /// Whether the sender is inside a frame: at least one byte of its header was taken, and its
    /// last byte was not.
    #[must_use]
    pub fn in_frame(&self) -> bool {
        self.reader.frame.has_begun()
    }

    /// The number, from 1, of the data message in progress; `None` if none is. A message is in
    /// progress from the first byte of its first frame, whose opcode says data (0x0 to 0x7,
    /// allowed or not), to the last byte of its final frame; control frames and pauses between
    /// its frames included.
    #[must_use]
    pub fn message_begun(&self) -> Option<u64> {
        let begins = self.reader.frame.has_begun() && !self.reader.frame.head.is_control();
        (begins || self.reader.message_open()).then_some(self.reader.flow.messages + 1)
    }

    /// A number for the control frame in progress, different for each; `None` if none is. It is
    /// in progress from its first byte, whose opcode says control (0x8 to 0xF), to its last.
    #[must_use]
    pub fn control_begun(&self) -> Option<u64> {
        let begun = self.reader.frame.has_begun() && self.reader.frame.head.is_control();
        begun.then_some(self.reader.frame.offset)
    }

    /// Counters of accepted traffic: frames and messages that were whole, and bytes that were released.
    /// Frames that the gateway kept are left out: answers to its own pings, and tokens that were handed in.
    #[must_use]
    pub fn flow(&self) -> Flow {
        let Flow { frames, messages, bytes } = self.reader.flow;
        let kept = match self.reader.inspectors.messages.as_deref() {
            Some(MessageInspector::Handover(handover)) => handover.taken,
            Some(MessageInspector::FirstMessage(_)) | None => 0,
        };
        Flow { frames: frames - kept, messages: messages - kept, bytes }
    }

    /// Data frames and pings so far, each counted with its last byte. Pongs and Closes do not
    /// count.
    #[must_use]
    pub fn activity(&self) -> u64 {
        self.reader.activity
    }

    /// Bytes that were checked so far, those of frames that are not whole included.
    #[must_use]
    pub fn received(&self) -> u64 {
        let frame = &self.reader.frame;
        let head = frame.head.len() as u64;
        let payload = if frame.head.is_complete() { frame.head.declared() - frame.left } else { 0 };
        frame.offset.wrapping_add(head).wrapping_add(payload)
    }

    /// Whether a valid Close was released. Bytes behind it are dropped.
    #[must_use]
    pub fn closed(&self) -> bool {
        self.state == GateState::Closed
    }

    /// Frees the buffer that frames are held in, unless one is held now. For a session that goes
    /// idle.
    pub fn release_memory(&mut self) {
        self.reader.buffer.free();
    }
}

#[cfg(test)]
mod tests {
    use super::{Allowance, Gate, GateEvent};

    /// An idle session holds one for each direction.
    #[test]
    fn a_gate_is_small() {
        assert!(size_of::<Gate>() <= 160, "{}", size_of::<Gate>());
        assert!(size_of::<GateEvent>() <= 24, "{}", size_of::<GateEvent>());
        assert!(size_of::<Allowance>() <= 136, "{}", size_of::<Allowance>());
    }
}
