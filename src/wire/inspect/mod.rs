//! Inspectors decide about frames that the rules accept: whether they are forwarded, wait, are dropped, are
//! taken out of the stream, or end the session. Each gives a [`Verdict`], which the reader carries out.
//!
//! The reader asks before the first byte of a message ([`Inspectors::begin`]), when the header of a data
//! frame is complete ([`Inspectors::begin_frame`]) and, as its payload arrives, for the verdict so far
//! ([`Inspectors::verdict`]). About a control frame it asks once, when the frame is complete. Without an
//! inspector each question costs the test of a pointer.

mod assembler;
mod first_message;
mod form;
mod gcra;
mod handover;
mod observer;
mod rates;

use tokio::time::Instant;

use super::frame_buffer::FrameBuffer;
use super::reader::{Frame, WHOLE};
use super::{GateEvent, HeaderBytes, Opcode, mask};
use crate::values::Reason;
pub use assembler::{Answer, Judgement, MessageFollower, MessageJudge, Outcome};
pub(in crate::wire) use assembler::{Assembler, Decision};
pub(in crate::wire) use first_message::FirstMessageInspector;
pub use first_message::{FirstMessage, FirstMessageEvent, FirstMessageReader};
pub(in crate::wire) use handover::Handover;
pub(in crate::wire) use observer::MessageCollector;
pub use observer::{MOST_OBSERVED, MessageObserver, ObservedMessage};
pub use rates::Allowance;

/// The bytes that a follower gets at once.
const FOLLOWED: usize = 32;

/// The decision of an inspector about a message, a frame, or bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is forwarded.
    Pass,
    /// The verdict depends on the bytes that follow: none of the frame is released before they arrive.
    Hold,
    /// The inspector takes the message out of the stream, frame by frame.
    Take,
    /// The message or control frame is discarded: it is above this rate.
    Drop(Reason),
    /// No bytes that follow may be read before this instant.
    Wait(Instant),
    /// The session ends.
    Refuse(Reason),
}

impl Verdict {
    /// The event that ends the reader's run at once, if any.
    pub(in crate::wire) fn event(self) -> Option<GateEvent> {
        match self {
            Self::Pass | Self::Hold | Self::Take | Self::Drop(_) => None,
            Self::Wait(until) => Some(GateEvent::Wait(until)),
            Self::Refuse(reason) => Some(GateEvent::Refused(reason)),
        }
    }
}

/// The inspectors of one direction. Boxed, since few sessions have any.
#[derive(Debug, Default)]
pub(in crate::wire) struct Inspectors {
    /// The rates of the sender.
    pub(in crate::wire) rates: Option<Box<Allowance>>,
    /// The parts that read messages; `None`: there is none.
    pub(in crate::wire) messages: Option<Box<MessageReaders>>,
}

/// The parts that read messages: an inspector, an observer, or both.
#[derive(Debug, Default)]
pub(in crate::wire) struct MessageReaders {
    pub(in crate::wire) inspector: Option<MessageInspector>,
    pub(in crate::wire) observer: Option<MessageCollector>,
}

/// An inspector that reads messages and may take them out of the stream.
#[derive(Debug)]
pub(in crate::wire) enum MessageInspector {
    Handover(Handover),
    FirstMessage(FirstMessageInspector),
    Assembler(Assembler),
    Follower(Box<dyn MessageFollower>),
}

impl Inspectors {
    /// The verdict before the first byte of a message. `Drop` applies to the whole message.
    #[inline]
    pub(in crate::wire) fn begin(&mut self) -> Verdict {
        self.rates.as_mut().map_or(Verdict::Pass, |rates| rates.begin())
    }

    /// The verdict on a data frame with a complete header. `buffer` holds its bytes of earlier reads.
    #[inline]
    pub(in crate::wire) fn begin_frame(
        &mut self,
        frame: &Frame,
        buffer: &mut FrameBuffer,
    ) -> Verdict {
        if self.pass_all() { Verdict::Pass } else { self.inspect_begin(frame, buffer) }
    }

    /// The verdict on a data frame, given the bytes read so far.
    #[inline]
    pub(in crate::wire) fn verdict(&self, frame: &Frame) -> Verdict {
        if self.pass_all() { Verdict::Pass } else { self.inspect(frame) }
    }

    /// Whether every data frame is forwarded: no message is being dropped, and no inspector reads messages.
    #[inline]
    fn pass_all(&self) -> bool {
        self.messages.is_none()
            && self.rates.as_ref().is_none_or(|rates| rates.dropping().is_none())
    }

    /// The inspector of messages.
    pub(in crate::wire) fn inspector(&self) -> Option<&MessageInspector> {
        self.messages.as_ref()?.inspector.as_ref()
    }

    /// The inspector of messages.
    pub(in crate::wire) fn inspector_mut(&mut self) -> Option<&mut MessageInspector> {
        self.messages.as_mut()?.inspector.as_mut()
    }

    /// Changes the parts that read messages.
    pub(in crate::wire) fn change<T>(
        &mut self,
        change: impl FnOnce(&mut MessageReaders) -> T,
    ) -> T {
        let mut readers = self.messages.take().unwrap_or_default();
        let result = change(&mut readers);
        let is_used = readers.inspector.is_some() || readers.observer.is_some();
        self.messages = is_used.then_some(readers);
        result
    }

    /// Whether messages are judged.
    pub(in crate::wire) fn has_assembler(&self) -> bool {
        matches!(self.inspector(), Some(MessageInspector::Assembler(_)))
    }

    /// Whether the message in progress is held until it is judged.
    pub(in crate::wire) fn assembles(&self) -> bool {
        match self.inspector() {
            Some(MessageInspector::Assembler(assembler)) => assembler.holds(),
            _ => false,
        }
    }

    /// The number of the message that began the packet in progress, if that has several messages; `last` is the number
    /// of the last message.
    #[inline]
    pub(in crate::wire) fn packet(&self, last: u64) -> Option<u64> {
        match self.inspector()? {
            MessageInspector::Assembler(assembler) => assembler.packet(),
            MessageInspector::Follower(follower) => follower.is_incomplete().then_some(last),
            MessageInspector::Handover(_) | MessageInspector::FirstMessage(_) => None,
        }
    }

    /// As [`Inspectors::begin_frame`], if an inspector is to be asked. Not inlined, so that the path of
    /// every frame stays short.
    #[inline(never)]
    fn inspect_begin(&mut self, frame: &Frame, buffer: &mut FrameBuffer) -> Verdict {
        let dropped = self.rates.as_ref().is_some_and(|rates| rates.dropping().is_some());
        if let Some(observer) = self.messages.as_mut().and_then(|one| one.observer.as_mut()) {
            observer.begin_frame(&frame.head);
        }
        let begun = match self.inspector_mut() {
            Some(MessageInspector::Handover(handover)) => handover.begin_frame(&frame.head),
            Some(MessageInspector::FirstMessage(first)) => first.begin_frame(buffer),
            Some(MessageInspector::Assembler(assembler)) => {
                assembler.begin_frame(&frame.head, buffer, dropped)
            }
            Some(MessageInspector::Follower(follower)) => {
                if matches!(frame.head.opcode(), Opcode::Text | Opcode::Binary) {
                    follower.begin(frame.head.opcode() == Opcode::Binary);
                }
                Verdict::Pass
            }
            None => Verdict::Pass,
        };
        if begun == Verdict::Pass { self.inspect(frame) } else { begun }
    }

    /// As [`Inspectors::verdict`], if an inspector is to be asked.
    #[inline(never)]
    fn inspect(&self, frame: &Frame) -> Verdict {
        if let Some(reason) = self.rates.as_ref().and_then(|rates| rates.dropping()) {
            // A frame above this size is not held until it is complete, and would be dropped in part.
            return match frame.head.declared() {
                0..=WHOLE => Verdict::Drop(reason),
                _ => Verdict::Refuse(reason),
            };
        }
        match self.inspector() {
            Some(MessageInspector::Handover(handover)) => handover.verdict(frame),
            Some(MessageInspector::FirstMessage(first)) => first.verdict(&frame.head),
            Some(MessageInspector::Assembler(assembler)) => assembler.verdict(frame),
            Some(MessageInspector::Follower(_)) | None => Verdict::Pass,
        }
    }

    /// The verdict on a complete ping, or a pong that does not answer the gateway's ping.
    pub(in crate::wire) fn control_frame(&mut self) -> Verdict {
        let verdict = self.rates.as_mut().map_or(Verdict::Pass, |rates| rates.control_frame());
        match (verdict, self.inspector()) {
            (Verdict::Pass, Some(MessageInspector::FirstMessage(_))) => Verdict::Take,
            _ => verdict,
        }
    }
}

impl MessageReaders {
    /// Sets the instant of the read that follows.
    pub(in crate::wire) fn at(&mut self, now: Instant) {
        if let Some(MessageInspector::Assembler(assembler)) = &mut self.inspector {
            assembler.at(now);
        }
        if let Some(observer) = &mut self.observer {
            observer.at(now);
        }
    }

    /// Reads a piece of the payload of an uncompressed frame, `done` bytes into it.
    pub(in crate::wire) fn read(&mut self, head: &HeaderBytes, done: u64, piece: &[u8]) {
        let handover = match &mut self.inspector {
            Some(MessageInspector::Handover(handover)) => Some(handover),
            Some(MessageInspector::Assembler(assembler)) => assembler.handover.as_mut(),
            Some(MessageInspector::Follower(follower)) => {
                let mut plain = [0; FOLLOWED];
                let mut done = done;
                for part in piece.chunks(FOLLOWED) {
                    let key = mask::key_at(head.key(), done);
                    let masked = part.iter().zip(key.iter().cycle());
                    for (to, (byte, key)) in plain.iter_mut().zip(masked) {
                        *to = byte ^ key;
                    }
                    follower.read(&plain[..part.len()]);
                    done += part.len() as u64;
                }
                None
            }
            Some(MessageInspector::FirstMessage(_)) | None => None,
        };
        if let Some(handover) = handover {
            handover.read(head, done, piece);
        }
        if let Some(observer) = &mut self.observer {
            observer.read(head, done, piece);
        }
    }

    /// Reads the next inflated text of a compressed message.
    pub(in crate::wire) fn read_inflated(&mut self, text: &[u8]) {
        match &mut self.inspector {
            Some(MessageInspector::Handover(handover)) => handover.read_inflated(text),
            Some(MessageInspector::Assembler(assembler)) => assembler.read_inflated(text),
            Some(MessageInspector::Follower(follower)) => follower.read(text),
            Some(MessageInspector::FirstMessage(_)) | None => {}
        }
        if let Some(observer) = &mut self.observer {
            observer.read_inflated(text);
        }
    }

    /// Notes that the message in progress has ended, with this verdict.
    pub(in crate::wire) fn end_message(&mut self, verdict: Verdict) {
        match (&mut self.observer, verdict) {
            (Some(observer), Verdict::Take) => observer.forget(),
            (Some(observer), _) => observer.end(),
            (None, _) => {}
        }
    }

    /// Takes a complete data frame: the bytes in `buffer`, then `rest`.
    pub(in crate::wire) fn take(
        &mut self,
        frame: &Frame,
        buffer: &mut FrameBuffer,
        rest: &[u8],
        compressed: bool,
    ) -> GateEvent {
        match &mut self.inspector {
            Some(MessageInspector::Handover(handover)) => {
                handover.take(&[buffer.pending(), rest].concat(), compressed)
            }
            Some(MessageInspector::FirstMessage(first)) => first.take(&frame.head, buffer, rest),
            Some(MessageInspector::Assembler(assembler)) => {
                assembler.take(frame, buffer, rest, compressed)
            }
            // It takes none.
            Some(MessageInspector::Follower(_)) | None => GateEvent::Dropped,
        }
    }
}

/// The unmasked payload of one complete frame, if it fits into `space`.
fn payload_in<'s>(frame: &[u8], space: &'s mut [u8]) -> Option<&'s [u8]> {
    let head = HeaderBytes::read(frame);
    let masked = frame.get(head.size()..)?;
    let payload = space.get_mut(..masked.len())?;
    if masked.len() as u64 != head.declared() {
        return None;
    }
    mask::unmask(masked, head.key(), payload);
    Some(payload)
}

/// The unmasked payloads of complete frames.
fn payloads(mut frames: &[u8]) -> Vec<u8> {
    let mut payloads = Vec::with_capacity(frames.len());
    while !frames.is_empty() {
        let head = HeaderBytes::read(frames);
        let length = usize::try_from(head.declared()).unwrap_or(usize::MAX);
        let end = head.size().saturating_add(length).min(frames.len());
        let (frame, others) = frames.split_at(end);
        let masked = frame.get(head.size()..).unwrap_or_default();
        let start = payloads.len();
        payloads.resize(start + masked.len(), 0);
        mask::unmask(masked, head.key(), &mut payloads[start..]);
        frames = others;
    }
    payloads
}
