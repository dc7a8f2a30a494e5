//! The first message of a client, where it holds the token. As pure as the rest of the rules: bytes
//! in, and what they came to out.

use tokio::time::Instant;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::{Allowance, Endpoint, Event, Gate, HeaderBytes, HoldBudget, Limits, Violation, mask};
use crate::config::{self, Mode};
use crate::refusal::Reason;

/// The longest first message: a token of 8 KiB, and room for the JSON around it.
pub const LONGEST_OPENING: usize = 9 * 1024;

/// Reads a client's frames up to the end of its first message.
#[derive(Debug)]
pub struct Opening {
    gate: Gate,
    /// Bytes that no whole frame was made of yet.
    raw: Vec<u8>,
    /// How many of them were judged.
    judged: usize,
    text: Vec<u8>,
    /// The frames of the message, as they came.
    frames: Vec<u8>,
}

/// What a client's first frames came to.
#[derive(Debug)]
pub enum Opened {
    /// A ping, to be answered with its payload.
    Ping(Vec<u8>),
    /// The first message is whole.
    Message {
        /// Its text.
        text: String,
        /// Its frames, as they came.
        frames: Vec<u8>,
        /// What came behind it.
        rest: Vec<u8>,
    },
    /// The client closed.
    Closed,
    /// The first message is binary.
    Binary,
    /// The first message is longer than [`LONGEST_OPENING`].
    TooBig,
    /// A ping or pong is above the rate of control frames.
    Exceeded(Reason),
    /// A frame is refused.
    Violation(Box<Violation>),
}

impl Opening {
    /// Nothing was read yet. Of the rates, those of control frames hold here, and what is above them
    /// is never waited for.
    #[must_use]
    pub fn new(limits: Limits, rates: &config::Limits, now: Instant) -> Self {
        let control_frames = rates.control_frames.filter(|_| rates.mode == Mode::Enforce);
        let rates = config::Limits { control_frames, ..config::Limits::default() };
        let mut gate = Gate::new(Endpoint::Client, limits, [0; 8]);
        gate.allow(Allowance::new(&rates, None, now));
        Self { gate, raw: Vec::new(), judged: 0, text: Vec::new(), frames: Vec::new() }
    }

    /// The next bytes. At most [`LONGEST_OPENING`] and one read are kept.
    pub fn push(&mut self, bytes: &[u8]) {
        self.raw.extend_from_slice(bytes);
    }

    /// What the bytes so far came to; `None`: more are needed. After anything but a ping, nothing
    /// more is to be asked.
    pub fn next(&mut self, budget: &HoldBudget, now: Instant) -> Option<Opened> {
        if let Some(allowance) = self.gate.allowance() {
            allowance.at(now);
        }
        loop {
            let (head, end) = match self.header(budget)? {
                Ok(header) => header,
                Err(opened) => return Some(opened),
            };
            if let Some(violation) = self.judge(end, budget) {
                return Some(violation);
            }
            if self.raw.len() < end {
                return None;
            }
            self.judged = 0;
            let rest = self.raw.split_off(end);
            let frame = std::mem::replace(&mut self.raw, rest);
            let opened = self.take(&head, &frame);
            if opened.is_some() {
                return opened;
            }
        }
    }

    /// The header of the next frame, judged, and where the frame ends; `None`: more is needed.
    fn header(&mut self, budget: &HoldBudget) -> Option<Result<(HeaderBytes, usize), Opened>> {
        let mut head = HeaderBytes::default();
        let start = head.fill(&self.raw, 2);
        if start == 2 {
            head.fill(&self.raw[start..], head.size());
        }
        if let Some(violation) = self.judge(head.len(), budget) {
            return Some(Err(violation));
        }
        if !head.is_complete() {
            return None;
        }
        let left = LONGEST_OPENING - self.text.len();
        let length = usize::try_from(head.declared()).ok().filter(|length| *length <= left);
        Some(length.map(|length| (head, head.size() + length)).ok_or(Opened::TooBig))
    }

    /// Judges what is there of the frame in progress, up to `end`, so that nothing more is waited
    /// for of one that is refused.
    fn judge(&mut self, end: usize, budget: &HoldBudget) -> Option<Opened> {
        let end = end.min(self.raw.len());
        while self.judged < end {
            let judged = self.gate.judge(&self.raw[self.judged..end], budget);
            self.judged += judged.consumed;
            match judged.event {
                Some(Event::Violation(violation)) => return Some(Opened::Violation(violation)),
                Some(Event::Exceeded(reason)) => return Some(Opened::Exceeded(reason)),
                _ => {}
            }
        }
        None
    }

    /// A frame that is within the rules.
    fn take(&mut self, head: &HeaderBytes, frame: &[u8]) -> Option<Opened> {
        let masked = &frame[head.size()..];
        let mut payload = vec![0; masked.len()];
        mask::unmask(masked, head.key(), &mut payload);
        match head.opcode() {
            OpCode::Control(Control::Ping) => Some(Opened::Ping(payload)),
            OpCode::Control(Control::Close) => Some(Opened::Closed),
            OpCode::Control(_) => None,
            OpCode::Data(Data::Binary) => Some(Opened::Binary),
            OpCode::Data(_) => {
                self.text.extend_from_slice(&payload);
                self.frames.extend_from_slice(frame);
                head.fin().then(|| self.message())
            }
        }
    }

    fn message(&mut self) -> Opened {
        // The rules have seen that it is UTF-8.
        let text = String::from_utf8_lossy(&std::mem::take(&mut self.text)).into_owned();
        let frames = std::mem::take(&mut self.frames);
        Opened::Message { text, frames, rest: std::mem::take(&mut self.raw) }
    }
}
