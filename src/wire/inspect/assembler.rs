//! Holds the frames of a message until the whole message is judged, and then releases them as they came, or none.

use std::any::Any;
use std::fmt;
use std::mem;
use std::sync::Arc;

use tokio::time::Instant;

use super::super::budget::HoldBudget;
use super::super::frame_buffer::{CountedBytes, FrameBuffer};
use super::super::reader::Frame;
use super::super::{GateEvent, HeaderBytes, Opcode};
use super::{Handover, Verdict, payload_in, payloads};
use crate::values::Reason;

/// A payload of at most so many bytes is unmasked on the stack.
const SMALL: usize = 512;

/// Judges whole messages.
pub trait MessageJudge: fmt::Debug + Send + Sync {
    /// Judges a message with this payload; inflated, if it was compressed. `None`: it breaks no rule.
    fn judge(&mut self, binary: bool, payload: &[u8], now: Instant) -> Option<Box<Judgement>>;

    /// Whether the message that was judged last, and passed, has no effect without the next one: it is held, and
    /// released or discarded together with the next.
    fn awaits_next(&self) -> bool {
        false
    }

    /// The budget for bytes that the judge keeps.
    fn set_budget(&mut self, budget: &HoldBudget) {
        let _ = budget;
    }

    /// The largest message, in bytes of payload, inflated. A larger one ends the session.
    fn max_size(&self) -> u64;

    /// Whether the messages so far end within a packet of several messages.
    fn is_incomplete(&self) -> bool {
        false
    }

    /// Takes what the judge remembers of the messages so far.
    fn take_memory(&mut self) -> Option<Box<dyn Any + Send + Sync>> {
        None
    }

    /// Messages may have passed unjudged before the first one that comes.
    fn begin_late(&mut self) {}

    /// Continues after a judge of the same messages; `memory` is what it remembered.
    fn continue_with(&mut self, memory: Box<dyn Any + Send + Sync>) {
        drop(memory);
    }
}

/// Reads along with messages that are forwarded as they come, to know where a packet of several messages ends.
pub trait MessageFollower: fmt::Debug + Send + Sync {
    /// A message begins.
    fn begin(&mut self, binary: bool);

    /// Reads the next bytes of its payload; inflated, if it is compressed.
    fn read(&mut self, piece: &[u8]);

    /// Whether the messages that have begun so far end within a packet.
    fn is_incomplete(&self) -> bool;
}

/// The judgement on a message that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// The reason.
    pub reason: Reason,
    /// The rule and the place, for the log.
    pub detail: String,
    /// The outcome.
    pub outcome: Outcome,
}

/// The outcome for a message that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is released; the violation is only recorded.
    Report,
    /// The session ends.
    Close,
    /// The message is discarded.
    Drop,
    /// The message continues a discarded one and is discarded like it. It is no violation of its own: nothing is
    /// recorded, and it is no strike.
    Discard,
    /// The message is discarded, and its sender gets this message, if there is an answer to it.
    Answer(Option<Answer>),
}

/// A message of the gateway to the sender of a discarded one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Text or binary.
    pub opcode: Opcode,
    /// The payload, of at most [`Answer::MOST`] bytes.
    pub payload: Arc<[u8]>,
}

impl Answer {
    /// The longest payload, in bytes.
    pub const MOST: usize = u16::MAX as usize;

    /// A text message.
    #[must_use]
    pub fn text(text: impl AsRef<str>) -> Self {
        Self { opcode: Opcode::Text, payload: text.as_ref().as_bytes().into() }
    }
}

impl Outcome {
    /// The name in the configuration.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Report => "report",
            Self::Close => "close",
            Self::Drop | Self::Discard => "drop",
            Self::Answer(_) => "answer",
        }
    }
}

/// Assembles the messages of one direction for a judge.
#[derive(Debug)]
pub(in crate::wire) struct Assembler {
    /// `None`: the messages after the one in progress are not judged any more.
    judge: Option<Box<dyn MessageJudge>>,
    budget: HoldBudget,
    /// The instant of the read in progress.
    now: Instant,
    /// The token that a client may hand in.
    pub(super) handover: Option<Handover>,
    /// The complete frames of the message in progress, and before them the messages that are held with it. While
    /// another frame arrives, they are in the frame buffer before it, so that no byte is stored twice.
    frames: CountedBytes,
    /// The number of these frames, and of the whole messages.
    kept: Kept,
    /// The bytes of the frames of whole messages.
    earlier: usize,
    /// The payload of the message so far, inflated, if it is compressed.
    inflated: CountedBytes,
    /// Payload bytes of the complete frames.
    length: u64,
    binary: bool,
    state: MessageState,
    /// The number of the message that began the packet in progress, if it has several messages.
    packet: Option<u64>,
}

/// Frames and messages that are held until a later frame decides about them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::wire) struct Kept {
    /// Complete frames.
    pub(in crate::wire) frames: u64,
    /// Complete messages.
    pub(in crate::wire) messages: u64,
}

/// The decision about a message that is complete.
#[derive(Debug)]
pub(in crate::wire) enum Decision {
    /// It is released, together with what was kept before.
    Pass,
    /// It breaks a rule; what was kept before is released or discarded with it.
    Judged(Box<Judgement>, Kept),
    /// It is kept until the next one is judged.
    Keep,
}

/// The state of the message in progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MessageState {
    /// There is none, or it is not judged.
    Passing,
    /// It is held until it is judged.
    Held,
    /// The budget has no room for its inflated text.
    Full,
    /// It is held, and passes: its judge was taken away.
    Exempt,
}

impl Assembler {
    pub(in crate::wire) fn new(
        mut judge: Box<dyn MessageJudge>,
        budget: HoldBudget,
        handover: Option<Handover>,
        now: Instant,
    ) -> Self {
        judge.set_budget(&budget);
        Self {
            judge: Some(judge),
            budget,
            now,
            handover,
            frames: CountedBytes::default(),
            kept: Kept::default(),
            earlier: 0,
            inflated: CountedBytes::default(),
            length: 0,
            binary: false,
            state: MessageState::Passing,
            packet: None,
        }
    }

    /// Replaces the judge for messages that are not complete.
    pub(in crate::wire) fn replace(&mut self, mut judge: Option<Box<dyn MessageJudge>>) {
        if let Some(judge) = &mut judge {
            match self.judge.as_mut().and_then(|before| before.take_memory()) {
                Some(memory) => judge.continue_with(memory),
                None => judge.begin_late(),
            }
            judge.set_budget(&self.budget);
        }
        if self.holds() && judge.is_none() {
            self.state = MessageState::Exempt;
        }
        if !judge.as_ref().is_some_and(|judge| judge.is_incomplete()) {
            self.packet = None;
        }
        self.judge = judge;
    }

    /// Whether it has nothing to do any more: no judge is set, no token is taken out, and nothing is held.
    pub(in crate::wire) fn is_done(&self) -> bool {
        let is_in_use = self.judge.is_some() || self.handover.is_some();
        !is_in_use && !self.holds() && self.frames.bytes.is_empty()
    }

    /// Sets the instant of the read that follows.
    pub(in crate::wire) fn at(&mut self, now: Instant) {
        self.now = now;
    }

    /// The verdict on a frame with a complete header. `dropped`: the rates of the sender discard its message, which is
    /// then not judged.
    pub(super) fn begin_frame(
        &mut self,
        head: &HeaderBytes,
        buffer: &mut FrameBuffer,
        dropped: bool,
    ) -> Verdict {
        if head.opcode() == Opcode::Continuation {
            // A message that began without a judge passes.
            if !self.holds() {
                return Verdict::Pass;
            }
        } else {
            self.reset();
            self.binary = head.opcode() == Opcode::Binary;
            if self.judge.is_some() && !dropped {
                self.state = MessageState::Held;
            }
        }
        let handed = self.handover.as_mut().map(|handover| handover.begin_frame(head));
        if let Some(verdict @ (Verdict::Refuse(_) | Verdict::Take)) = handed {
            return verdict;
        }
        if self.state == MessageState::Passing {
            // Earlier messages that were held are released with this one.
            (self.kept, self.earlier) = (Kept::default(), 0);
        }
        let frames = mem::take(&mut self.frames);
        if frames.bytes.is_empty() || buffer.put_before(frames, &self.budget) {
            self.verdict_on(head.declared())
        } else {
            Verdict::Refuse(Reason::Capacity)
        }
    }

    /// The verdict on the frame in progress, given the bytes read so far.
    pub(super) fn verdict(&self, frame: &Frame) -> Verdict {
        match self.handover.as_ref().map(|handover| handover.verdict(frame)) {
            Some(verdict @ (Verdict::Refuse(_) | Verdict::Take | Verdict::Hold)) => verdict,
            _ => self.verdict_on(frame.head.declared()),
        }
    }

    fn verdict_on(&self, declared: u64) -> Verdict {
        match self.state {
            MessageState::Passing => return Verdict::Pass,
            MessageState::Exempt => return Verdict::Hold,
            MessageState::Full => return Verdict::Refuse(Reason::Capacity),
            MessageState::Held => {}
        }
        let most = self.judge.as_ref().map_or(u64::MAX, |judge| judge.max_size());
        let inflated = self.inflated.bytes.len() as u64;
        if self.length.saturating_add(declared).max(inflated) > most {
            return Verdict::Refuse(Reason::MessageTooBig);
        }
        Verdict::Hold
    }

    /// Reads the next inflated text of a compressed message.
    pub(super) fn read_inflated(&mut self, text: &[u8]) {
        if let Some(handover) = &mut self.handover {
            handover.read_inflated(text);
        }
        let most = self.judge.as_ref().map_or(0, |judge| judge.max_size());
        if self.state == MessageState::Held
            && self.inflated.bytes.len() as u64 <= most
            && !self.inflated.push(text, &self.budget)
        {
            self.state = MessageState::Full;
        }
    }

    /// Takes a complete frame, the bytes in `buffer` and then `rest`: one that hands in a token, or one that does not
    /// end its message.
    pub(super) fn take(
        &mut self,
        frame: &Frame,
        buffer: &mut FrameBuffer,
        rest: &[u8],
        compressed: bool,
    ) -> GateEvent {
        if let Some(handover) = &mut self.handover
            && handover.verdict(frame) == Verdict::Take
        {
            // Messages that are held before the token stay held.
            let mut held = buffer.take();
            let size = usize::try_from(frame.read()).unwrap_or(usize::MAX);
            let first = (held.bytes.len() + rest.len()).saturating_sub(size).min(held.bytes.len());
            let token = handover.take(&[&held.bytes[first..], rest].concat(), compressed);
            held.bytes.truncate(first);
            (self.frames, self.earlier) = (held, first);
            self.reset();
            return token;
        }
        self.frames = buffer.take();
        self.kept.frames += 1;
        self.length += frame.head.declared();
        if self.frames.push(rest, &self.budget) {
            GateEvent::Dropped
        } else {
            GateEvent::Refused(Reason::Capacity)
        }
    }

    /// The number of messages in which a token was handed in.
    pub(in crate::wire) fn taken(&self) -> u64 {
        self.handover.as_ref().map_or(0, |handover| handover.taken)
    }

    /// Whether the message in progress is held until it is judged.
    pub(in crate::wire) fn holds(&self) -> bool {
        self.state != MessageState::Passing
    }

    /// The number of the message that began the packet in progress, if that has several messages.
    pub(in crate::wire) fn packet(&self) -> Option<u64> {
        self.packet
    }

    /// Judges message `number`, which a complete frame ends: the bytes in `buffer`, then `rest`.
    pub(in crate::wire) fn judge(
        &mut self,
        number: u64,
        buffer: &FrameBuffer,
        rest: &[u8],
        compressed: bool,
    ) -> Decision {
        let inflated = mem::take(&mut self.inflated);
        let (now, binary, state) = (self.now, self.binary, self.state);
        let (kept, earlier) = (mem::take(&mut self.kept), mem::take(&mut self.earlier));
        self.reset();
        let Some(judge) = self.judge.as_mut().filter(|_| state == MessageState::Held) else {
            return Decision::Pass;
        };
        let pending = buffer.pending().get(earlier..).unwrap_or_default();
        let mut space = [0; SMALL];
        let judgement = if compressed {
            judge.judge(binary, &inflated.bytes, now)
        } else if !pending.is_empty() {
            judge.judge(binary, &payloads(&[pending, rest].concat()), now)
        } else if let Some(payload) = payload_in(rest, &mut space) {
            judge.judge(binary, payload, now)
        } else {
            judge.judge(binary, &payloads(rest), now)
        };
        let incomplete = judge.is_incomplete();
        self.packet = incomplete.then(|| self.packet.unwrap_or(number));
        match judgement {
            Some(judgement) => Decision::Judged(judgement, kept),
            None if judge.awaits_next() => {
                self.kept = kept;
                Decision::Keep
            }
            None => Decision::Pass,
        }
    }

    /// The message whose last frame was taken is held, and judged together with the next one.
    pub(in crate::wire) fn keep_message(&mut self) {
        self.kept.messages += 1;
        self.earlier = self.frames.bytes.len();
        self.length = 0;
    }

    /// Forgets the message in progress.
    fn reset(&mut self) {
        self.length = 0;
        self.state = MessageState::Passing;
        self.inflated = CountedBytes::default();
    }
}
