//! Takes the first message of a peer out of the stream, such as one that holds the token.

use std::mem;

use tokio::time::Instant;

use super::super::budget::HoldPermit;
use super::super::frame_buffer::{CountedBytes, FrameBuffer};
use super::super::{
    ClientRates, FrameLimits, Gate, GateEvent, HeaderBytes, HoldBudget, Judged, Opcode, Violation,
};
use super::{Allowance, Verdict, payloads};
use crate::values::{Endpoint, Rate, Reason};

/// Reads a peer's frames up to the end of its first message. Every byte is stored once.
#[derive(Debug)]
pub struct FirstMessageReader {
    gate: Gate,
    budget: HoldBudget,
    /// An event of the last push.
    found: Option<FirstMessageEvent>,
    /// Bytes that follow that event.
    unread: CountedBytes,
}

/// An event before or at the end of a peer's first message.
#[derive(Debug)]
pub enum FirstMessageEvent {
    /// A ping, to be answered with its payload.
    Ping(Box<[u8]>),
    /// The first message is complete.
    Message(FirstMessage),
    /// The peer sent a Close.
    Closed,
    /// The first message is of another kind than is accepted ([`Reason::TokenInvalid`]) or too long ([`Reason::MessageTooBig`]),
    /// the budget has no room for it ([`Reason::Capacity`]), or a ping or pong is above its rate.
    Refused(Reason),
    /// A frame breaks a rule.
    Violation(Box<Violation>),
}

/// A complete first message.
#[derive(Debug)]
pub struct FirstMessage {
    /// Text or binary.
    pub opcode: Opcode,
    /// Its payload; UTF-8, if it is text.
    pub payload: Vec<u8>,
    /// Its frames, unchanged.
    pub frames: Vec<u8>,
    /// The bytes that followed it.
    pub rest: Vec<u8>,
    /// The budget permit for all these bytes.
    pub permit: Option<HoldPermit>,
}

impl FirstMessage {
    /// Appends the next message, which continues this one.
    pub fn append(&mut self, next: Self) {
        self.payload.extend_from_slice(&next.payload);
        self.frames.extend_from_slice(&next.frames);
        self.rest = next.rest;
        self.permit = match (self.permit.take(), next.permit) {
            (first, Some(second)) => Some(HoldPermit::merged(first, second)),
            (first, None) => first,
        };
    }
}

impl FirstMessageReader {
    /// Creates a reader of a message of at most `longest` bytes, of the kind `accepted`, or of either. A peer above the
    /// rate of `control_frames` is refused, never paused. `budget` bounds the bytes that are kept; the first 4 KiB
    /// need no permit.
    #[must_use]
    pub fn new(
        sender: Endpoint,
        limits: FrameLimits,
        control_frames: Option<Rate>,
        longest: usize,
        accepted: Option<Opcode>,
        budget: HoldBudget,
        now: Instant,
    ) -> Self {
        let rates = ClientRates { control_frames, ..ClientRates::default() };
        let mut gate = Gate::new(sender, limits, [0; 8]);
        gate.allow(Allowance::new(&rates, None, now));
        gate.take_first_message(FirstMessageInspector::new(longest, accepted, budget.clone()));
        Self { gate, budget, found: None, unread: CountedBytes::default() }
    }

    /// Reads the next bytes, up to an event; the bytes after it are kept.
    pub fn push(&mut self, bytes: &[u8], now: Instant) {
        let mut read = 0;
        if self.found.is_none() && self.unread.bytes.is_empty() {
            (read, self.found) = self.read(bytes, now);
        }
        if !self.unread.push(&bytes[read..], &self.budget) {
            self.found = Some(FirstMessageEvent::Refused(Reason::Capacity));
        }
    }

    /// The next event; `None`: more bytes are needed. After any event but a ping the reader is finished.
    pub fn next(&mut self, now: Instant) -> Option<FirstMessageEvent> {
        if self.found.is_none() {
            let mut unread = mem::take(&mut self.unread);
            let (read, found) = self.read(&unread.bytes, now);
            self.found = found;
            if read < unread.bytes.len() {
                unread.bytes.drain(..read);
                self.unread = unread;
            }
        }
        let mut found = self.found.take();
        if let Some(FirstMessageEvent::Message(message)) = &mut found {
            let mut unread = mem::take(&mut self.unread);
            message.rest = mem::take(&mut unread.bytes);
            message.permit = match (message.permit.take(), unread.into_permit()) {
                (first, Some(second)) => Some(HoldPermit::merged(first, second)),
                (first, None) => first,
            };
        }
        found
    }

    /// Reads up to an event. Returns how many bytes were consumed.
    fn read(&mut self, bytes: &[u8], now: Instant) -> (usize, Option<FirstMessageEvent>) {
        if let Some(allowance) = self.gate.allowance() {
            allowance.at(now);
        }
        let mut read = 0;
        while read < bytes.len() {
            // Only a Close is ever released, and it ends the session.
            let Judged { consumed, event, .. } = self.gate.judge(&bytes[read..], &self.budget);
            read += consumed;
            let found = match event {
                Some(GateEvent::Ping(payload)) => FirstMessageEvent::Ping(payload),
                Some(GateEvent::FirstMessage) => match self.gate.first_message() {
                    Some(message) => FirstMessageEvent::Message(message),
                    None => continue,
                },
                Some(GateEvent::Close(_)) => FirstMessageEvent::Closed,
                Some(GateEvent::Refused(reason)) => FirstMessageEvent::Refused(reason),
                Some(GateEvent::Violation(violation)) => FirstMessageEvent::Violation(violation),
                Some(
                    GateEvent::OwnPong
                    | GateEvent::Token(_)
                    | GateEvent::Dropped
                    | GateEvent::Judged(_)
                    | GateEvent::Wait(_),
                )
                | None => {
                    continue;
                }
            };
            return (read, Some(found));
        }
        (read, None)
    }
}

/// Takes every frame of the first message.
#[derive(Debug)]
pub(in crate::wire) struct FirstMessageInspector {
    budget: HoldBudget,
    /// The longest first message, in bytes.
    longest: usize,
    /// The kind that is accepted; `None`: either.
    accepted: Option<Opcode>,
    /// The kind of the message.
    opcode: Opcode,
    /// Payload bytes of the complete frames.
    length: usize,
    /// The complete frames. While another frame of the message arrives, they are in the frame buffer before
    /// it, so that no byte is stored twice.
    frames: CountedBytes,
}

impl FirstMessageInspector {
    fn new(longest: usize, accepted: Option<Opcode>, budget: HoldBudget) -> Self {
        let (opcode, frames) = (Opcode::Text, CountedBytes::default());
        Self { budget, longest, accepted, opcode, length: 0, frames }
    }

    pub(super) fn begin_frame(&mut self, buffer: &mut FrameBuffer) -> Verdict {
        let frames = mem::take(&mut self.frames);
        if frames.bytes.is_empty() || buffer.put_before(frames, &self.budget) {
            Verdict::Pass
        } else {
            Verdict::Refuse(Reason::Capacity)
        }
    }

    pub(super) fn verdict(&self, head: &HeaderBytes) -> Verdict {
        let left = self.longest.saturating_sub(self.length) as u64;
        if head.declared() > left { Verdict::Refuse(Reason::MessageTooBig) } else { Verdict::Take }
    }

    pub(super) fn take(
        &mut self,
        head: &HeaderBytes,
        buffer: &mut FrameBuffer,
        rest: &[u8],
    ) -> GateEvent {
        if head.opcode() != Opcode::Continuation {
            self.opcode = head.opcode();
        }
        if self.accepted.is_some_and(|accepted| accepted != self.opcode) {
            return GateEvent::Refused(Reason::TokenInvalid);
        }
        self.frames = buffer.take();
        if !self.frames.push(rest, &self.budget) {
            return GateEvent::Refused(Reason::Capacity);
        }
        self.length += usize::try_from(head.declared()).unwrap_or(self.longest);
        if head.fin() { GateEvent::FirstMessage } else { GateEvent::Dropped }
    }

    /// The message, once it is complete.
    pub(in crate::wire) fn message(&mut self) -> FirstMessage {
        let mut counted = mem::take(&mut self.frames);
        let frames = mem::take(&mut counted.bytes);
        let (opcode, payload) = (self.opcode, payloads(&frames));
        FirstMessage { opcode, payload, frames, rest: Vec::new(), permit: counted.into_permit() }
    }
}
