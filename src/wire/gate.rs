//! The gate: runs the rules and inspectors over the bytes that one peer sends, and releases the valid ones.

use std::sync::Arc;

use tokio::time::Instant;

use super::inspect::{
    Assembler, FirstMessageInspector, Handover, Judgement, MessageCollector, MessageFollower,
    MessageInspector, MessageJudge, MessageObserver, Outcome,
};
use super::reader::{FrameRun, Reader};
use super::{Allowance, CloseFrame, Context, FirstMessage, FrameLimits, HoldBudget, Violation};
use crate::values::{Endpoint, Flow, Reason};

/// Checks the bytes that one peer sends after the handshake.
///
/// A frame of at most 16 KiB is released as a whole or not at all while the [`HoldBudget`] has room; a
/// control frame always. The verdict and its offset depend on the bytes alone, not on how they were cut
/// into reads; while the budget has room, so do the released bytes.
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
    /// Bytes to forward now, before acting on the event, in this order: held bytes, then bytes of the
    /// input. Either part may be empty.
    pub release: [&'a [u8]; 2],
    /// The event that ended the run before the end of the input, if any.
    pub event: Option<GateEvent>,
}

/// An event that the caller has to act on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GateEvent {
    /// The answer to the gateway's own ping. The pong was taken out of the stream.
    OwnPong,
    /// A new token, handed in with a message that [`Gate::expect_token`] describes; empty if the message
    /// turned out to have another form. The message was taken out of the stream.
    Token(String),
    /// A valid Close, released with this call.
    Close(CloseFrame),
    /// The first message of a client is complete, and was taken out of the stream.
    FirstMessage,
    /// A ping before the end of the first message, with its payload. The ping was taken out of the stream.
    Ping(Box<[u8]>),
    /// A complete frame was taken out of the stream: it is above a rate, comes before the end of a first
    /// message, or ends a message that continues a discarded one ([`Outcome::Discard`]).
    Dropped,
    /// A complete message breaks a rule of its route. It was released with this call ([`Outcome::Report`]), taken out
    /// of the stream ([`Outcome::Drop`], [`Outcome::Answer`]), or no more bytes of this peer are released
    /// ([`Outcome::Close`]).
    Judged(Box<Judgement>),
    /// The bytes that follow may not be read before this instant; none of them was consumed. If a ping or
    /// pong caused the wait, that frame was released.
    Wait(Instant),
    /// An inspector refuses a frame that the rules accept: it is above a rate, or hands in a token that
    /// cannot be taken out. No more bytes of this peer are released.
    Refused(Reason),
    /// The frame breaks a rule. No more bytes of this peer are released.
    Violation(Box<Violation>),
}

impl Gate {
    /// Creates a gate for the frames of `sender`. `own_ping` is the payload of the gateway's own pings to
    /// that peer.
    #[must_use]
    pub fn new(sender: Endpoint, limits: FrameLimits, own_ping: [u8; 8]) -> Self {
        Self { reader: Reader::new(sender, limits, own_ping), state: GateState::Open }
    }

    /// The payload of the gateway's own pings to the sender.
    #[must_use]
    pub fn own_ping(&self) -> [u8; 8] {
        self.reader.own_ping
    }

    /// Takes new tokens out of the stream from here on. The gateway keeps a text message that begins with
    /// `{"MEMBER": {"token": "`: no frame that holds a byte of the token is released. From a message of one
    /// frame of at most 16 KiB the token is taken out ([`GateEvent::Token`]); any other such message, and
    /// one for which the budget has no room, ends the session ([`GateEvent::Refused`]).
    pub fn expect_token(&mut self, member: Arc<str>) {
        let handover = MessageInspector::Handover(Handover::new(member));
        self.reader.inspectors.change(|readers| readers.inspector = Some(handover));
    }

    /// Has whole messages judged from the next one on; `None`: they are not judged any more. A message is held until
    /// it is judged, and then released as it came, or not at all. `budget` bounds the bytes that are held.
    pub fn judge_messages(
        &mut self,
        judge: Option<Box<dyn MessageJudge>>,
        budget: &HoldBudget,
        now: Instant,
    ) {
        let late = self.reader.flow.messages > 0 || self.reader.message_open();
        self.reader.inspectors.change(|readers| {
            let inspector = &mut readers.inspector;
            let handover = match inspector.take() {
                Some(MessageInspector::Assembler(mut assembler)) => {
                    assembler.replace(judge);
                    if !assembler.is_done() {
                        *inspector = Some(MessageInspector::Assembler(assembler));
                    }
                    return;
                }
                Some(MessageInspector::Follower(follower)) if judge.is_none() => {
                    *inspector = Some(MessageInspector::Follower(follower));
                    return;
                }
                Some(MessageInspector::Handover(handover)) => Some(handover),
                Some(MessageInspector::FirstMessage(_) | MessageInspector::Follower(_)) | None => {
                    None
                }
            };
            *inspector = match (judge, handover) {
                (Some(mut judge), handover) => {
                    if late {
                        judge.begin_late();
                    }
                    let assembler = Assembler::new(judge, budget.clone(), handover, now);
                    Some(MessageInspector::Assembler(assembler))
                }
                (None, Some(handover)) => Some(MessageInspector::Handover(handover)),
                (None, None) => None,
            };
        });
    }

    /// Shows whole messages to an observer from the next one on; `None`: to no observer any more. Neither the released bytes
    /// nor the events depend on it.
    pub fn observe_messages(&mut self, observer: Option<Box<dyn MessageObserver>>, now: Instant) {
        let observer = observer.map(|observer| MessageCollector::new(observer, now));
        self.reader.inspectors.change(|readers| readers.observer = observer);
    }

    /// Has a follower read along with the messages from the next one on, unless they are judged, or followed already;
    /// `None`: no follower reads along any more.
    pub fn follow_messages(&mut self, follower: Option<Box<dyn MessageFollower>>) {
        self.reader.inspectors.change(|readers| match (&mut readers.inspector, follower) {
            (inspector @ None, Some(follower)) => {
                *inspector = Some(MessageInspector::Follower(follower));
            }
            (inspector @ Some(MessageInspector::Follower(_)), None) => *inspector = None,
            _ => {}
        });
    }

    /// Whether whole messages are judged.
    #[must_use]
    pub fn judges(&self) -> bool {
        self.reader.inspectors.has_assembler()
    }

    /// Sets the instant of the read that follows, by which rates are charged.
    #[inline]
    pub fn at(&mut self, now: Instant) {
        if let Some(allowance) = self.allowance() {
            allowance.at(now);
        }
        if let Some(messages) = &mut self.reader.inspectors.messages {
            messages.at(now);
        }
    }

    /// Takes every frame up to the end of the first message out of the stream from here on.
    pub(super) fn take_first_message(&mut self, inspector: FirstMessageInspector) {
        let first = MessageInspector::FirstMessage(inspector);
        self.reader.inspectors.change(|readers| readers.inspector = Some(first));
    }

    /// The first message, after [`GateEvent::FirstMessage`].
    pub(super) fn first_message(&mut self) -> Option<FirstMessage> {
        match self.reader.inspectors.inspector_mut() {
            Some(MessageInspector::FirstMessage(first)) => Some(first.message()),
            Some(_) | None => None,
        }
    }

    /// Allows compressed messages (RFC 7692) from here on. They are released unchanged; a copy is inflated
    /// and checked.
    pub fn inflate(&mut self, context: Context) {
        self.reader.inflate(context);
    }

    /// The peer that sends the checked frames.
    #[must_use]
    pub fn sender(&self) -> Endpoint {
        self.reader.sender()
    }

    /// Whether the sender is to be read in small pieces: because a byte of a compressed message may inflate
    /// to a thousand, or because of its rates ([`ClientRates::small_reads`](super::ClientRates)).
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

    /// The bytes of compressed messages inflated so far: a measure of the work.
    #[must_use]
    pub fn inflated(&self) -> u64 {
        self.reader.inflated()
    }

    /// Replaces the limits for the frames that follow.
    pub fn limit(&mut self, limits: FrameLimits) {
        self.reader.limit(limits);
    }

    /// Replaces the rates for the frames that follow; `None` lifts them. A rate that stays the same keeps
    /// its use so far.
    pub fn allow(&mut self, allowance: Option<Box<Allowance>>) {
        let old = self.reader.inspectors.rates.take();
        self.reader.inspectors.rates = match (allowance, old) {
            (Some(new), Some(mut old)) => Some(new.inheriting(&mut old)),
            (None, Some(old)) if old.outlasts_rates() => Some(old.lifted()),
            (allowance, _) => allowance,
        };
    }

    /// The rates and their use so far.
    pub fn allowance(&mut self) -> Option<&mut Allowance> {
        self.reader.inspectors.rates.as_deref_mut()
    }

    /// Checks the next bytes. Runs of complete frames are released in one piece, straight from the input.
    /// Allocates only to hold an incomplete frame, and only if no buffer is left from a frame before
    /// ([`Gate::release_memory`] frees it).
    ///
    /// Every call of a gate must get the same budget.
    ///
    /// After a Close was released, bytes are consumed and dropped, neither checked nor counted. After a
    /// violation the gate must not be called again; it would drop the bytes, too.
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
        match &event {
            Some(GateEvent::Close(_)) => self.state = GateState::Closed,
            Some(GateEvent::Refused(_)) => {
                self.state = GateState::Refused;
                self.reader.buffer.discard();
            }
            Some(GateEvent::Judged(judgement)) if judgement.outcome == Outcome::Close => {
                self.state = GateState::Refused;
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

    /// Whether the released bytes end at a frame boundary, so that a control frame of the gateway may
    /// follow. False inside a frame that is cut through, and for good if that frame was refused.
    #[must_use]
    pub fn released_boundary(&self) -> bool {
        !self.reader.frame.through
    }

    /// The number of bytes that the sender must still send until the released bytes end at a frame
    /// boundary; 0 at a boundary. After a frame that was cut through was refused, no boundary follows: at
    /// least 1, for good.
    #[must_use]
    pub fn unfinished(&self) -> u64 {
        if self.released_boundary() { 0 } else { self.reader.frame.left.max(1) }
    }

    /// Whether the sender is inside a frame: a byte of its header was consumed, and its last byte was not.
    #[must_use]
    pub fn in_frame(&self) -> bool {
        self.reader.frame.has_begun()
    }

    /// The number, from 1, of the data message in progress; `None` if none is. A message is in progress
    /// from the first byte of its first frame, with a data opcode (0x0 to 0x7, allowed or not), to the last
    /// byte of its final frame, including the control frames and pauses between its frames. The messages of one
    /// packet ([`MessageJudge::is_incomplete`]) count as one, with the number of the first.
    #[must_use]
    pub fn message_begun(&self) -> Option<u64> {
        let last = self.reader.flow.messages;
        let packet = self.reader.inspectors.packet(last);
        packet.or_else(|| self.has_message_begun().then_some(last + 1))
    }

    /// Whether a packet of several messages is in progress, and its next message has not begun.
    #[must_use]
    pub fn awaits_message(&self) -> bool {
        let packet = self.reader.inspectors.packet(self.reader.flow.messages);
        packet.is_some() && !self.has_message_begun()
    }

    fn has_message_begun(&self) -> bool {
        let begins = self.reader.frame.has_begun() && !self.reader.frame.head.is_control();
        begins || self.reader.message_open()
    }

    /// A number for the control frame in progress, different for each; `None` if none is. The frame is in
    /// progress from its first byte, with a control opcode (0x8 to 0xF), to its last.
    #[must_use]
    pub fn control_begun(&self) -> Option<u64> {
        let begun = self.reader.frame.has_begun() && self.reader.frame.head.is_control();
        begun.then_some(self.reader.frame.offset)
    }

    /// Counters of accepted traffic: complete frames and messages, and released bytes. Frames that the
    /// gateway kept are left out: pongs to its own pings, and tokens that were handed in.
    #[must_use]
    pub fn flow(&self) -> Flow {
        let Flow { frames, messages, bytes } = self.reader.flow;
        let kept = match self.reader.inspectors.inspector() {
            Some(MessageInspector::Handover(handover)) => handover.taken,
            Some(MessageInspector::Assembler(assembler)) => assembler.taken(),
            Some(MessageInspector::FirstMessage(_) | MessageInspector::Follower(_)) | None => 0,
        };
        Flow { frames: frames - kept, messages: messages - kept, bytes }
    }

    /// Data frames and pings so far, each counted with its last byte. Pongs and Closes do not
    /// count.
    #[must_use]
    pub fn activity(&self) -> u64 {
        self.reader.activity
    }

    /// The bytes checked so far, including those of incomplete frames.
    #[must_use]
    pub fn received(&self) -> u64 {
        let frame = &self.reader.frame;
        let head = frame.head.len() as u64;
        let payload = if frame.head.is_complete() { frame.head.declared() - frame.left } else { 0 };
        frame.offset.wrapping_add(head).wrapping_add(payload)
    }

    /// Whether a valid Close was released. Bytes after it are dropped.
    #[must_use]
    pub fn closed(&self) -> bool {
        self.state == GateState::Closed
    }

    /// Frees the frame buffer, unless it holds bytes. For a session that becomes idle.
    pub fn release_memory(&mut self) {
        self.reader.buffer.free();
    }
}

#[cfg(test)]
mod tests {
    use super::{Allowance, Gate, GateEvent};

    /// An idle session holds one gate for each direction.
    #[test]
    fn a_gate_is_small() {
        assert!(size_of::<Gate>() <= 160, "{}", size_of::<Gate>());
        assert!(size_of::<GateEvent>() <= 24, "{}", size_of::<GateEvent>());
        assert!(size_of::<Allowance>() <= 136, "{}", size_of::<Allowance>());
    }
}
