//! The first message of a client, where it holds the token. As pure as the rest of the rules: bytes
//! in, and what they came to out.

use tokio::time::Instant;

use super::budget::HoldPermit;
use super::hold::CountedBytes;
use super::{
    Allowance, ClientRates, Event, FrameLimits, Gate, HeaderBytes, HoldBudget, Opcode, Violation,
    mask,
};
use crate::values::{Endpoint, Rate, Reason};

/// Reads a client's frames up to the end of its first message. Every byte is kept once.
#[derive(Debug)]
pub struct Opening {
    gate: Gate,
    budget: HoldBudget,
    /// The longest first message, in bytes.
    longest: usize,
    /// The whole frames of the message, then bytes that no whole frame was made of yet.
    raw: CountedBytes,
    /// Where those frames end.
    whole: usize,
    /// How many bytes behind that place were judged.
    judged: usize,
    /// Payload bytes of the message so far.
    length: usize,
}

/// What a client's first frames came to.
#[derive(Debug)]
pub enum Opened {
    /// A ping, to be answered with its payload.
    Ping(Vec<u8>),
    /// The first message is whole.
    Message(FirstMessage),
    /// The client closed.
    Closed,
    /// The first message is binary.
    Binary,
    /// The first message is longer than it may be.
    TooBig,
    /// A ping or pong is above the rate of control frames.
    Exceeded(Reason),
    /// A frame is refused.
    Violation(Box<Violation>),
}

/// A first message.
#[derive(Debug)]
pub struct FirstMessage {
    /// Its text.
    pub text: String,
    /// Its frames, as they came.
    pub frames: Vec<u8>,
    /// What came behind it.
    pub rest: Vec<u8>,
    /// The room that all of it takes of the budget.
    pub permit: Option<HoldPermit>,
}

impl Opening {
    /// A reader that has read nothing. A client above the rate of `control_frames` is refused, never
    /// paused. `budget` bounds the bytes that are kept.
    #[must_use]
    pub fn new(
        limits: FrameLimits,
        control_frames: Option<Rate>,
        longest: usize,
        budget: HoldBudget,
        now: Instant,
    ) -> Self {
        let rates = ClientRates { control_frames, ..ClientRates::default() };
        let mut gate = Gate::new(Endpoint::Client, limits, [0; 8]);
        gate.allow(Allowance::new(&rates, None, now));
        let raw = CountedBytes::default();
        Self { gate, budget, longest, raw, whole: 0, judged: 0, length: 0 }
    }

    /// The next bytes. At most the longest first message and one read are kept. `false` when the budget
    /// has no room for them; the first 4 KiB need none.
    #[must_use]
    pub fn push(&mut self, bytes: &[u8]) -> bool {
        self.raw.push(bytes, &self.budget)
    }

    /// What the bytes so far came to; `None`: more are needed. After anything but a ping, nothing
    /// more is to be asked.
    pub fn next(&mut self, now: Instant) -> Option<Opened> {
        if let Some(allowance) = self.gate.allowance() {
            allowance.at(now);
        }
        loop {
            let (head, length) = match self.header()? {
                Ok(header) => header,
                Err(opened) => return Some(opened),
            };
            if let Some(violation) = self.judge(length) {
                return Some(violation);
            }
            if self.frame().len() < length {
                return None;
            }
            self.judged = 0;
            let opened = self.take(&head, length);
            if opened.is_some() {
                return opened;
            }
        }
    }

    /// What is there of the frame in progress, and what follows it.
    fn frame(&self) -> &[u8] {
        &self.raw.bytes[self.whole..]
    }

    /// The header of the next frame, judged, and how long the frame is; `None`: more is needed.
    fn header(&mut self) -> Option<Result<(HeaderBytes, usize), Opened>> {
        let head = read_header(self.frame());
        if let Some(violation) = self.judge(head.len()) {
            return Some(Err(violation));
        }
        if !head.is_complete() {
            return None;
        }
        let left = self.longest - self.length;
        let length = usize::try_from(head.declared()).ok().filter(|length| *length <= left);
        Some(length.map(|length| (head, head.size() + length)).ok_or(Opened::TooBig))
    }

    /// Judges what is there of the frame in progress, up to `end`, so that nothing more is waited
    /// for of one that is refused. The gate has no room to hold a copy of it.
    fn judge(&mut self, end: usize) -> Option<Opened> {
        let frame = &self.raw.bytes[self.whole..];
        let end = end.min(frame.len());
        while self.judged < end {
            let judged = self.gate.judge_only(&frame[self.judged..end]);
            self.judged += judged.consumed;
            match judged.event {
                Some(Event::Violation(violation)) => return Some(Opened::Violation(violation)),
                Some(Event::Exceeded(reason)) => return Some(Opened::Exceeded(reason)),
                _ => {}
            }
        }
        None
    }

    /// Takes the frame in progress, which is whole and within the rules.
    fn take(&mut self, head: &HeaderBytes, length: usize) -> Option<Opened> {
        let frame = &self.frame()[..length];
        match head.opcode() {
            Opcode::Binary => return Some(Opened::Binary),
            Opcode::Continuation | Opcode::Text => {
                self.whole += length;
                self.length += length - head.size();
                return head.fin().then(|| self.message());
            }
            Opcode::Close => return Some(Opened::Closed),
            Opcode::Ping | Opcode::Pong | Opcode::Reserved(_) => {}
        }
        let ping = (head.opcode() == Opcode::Ping).then(|| payload(head, frame));
        self.raw.bytes.drain(self.whole..self.whole + length);
        ping.map(Opened::Ping)
    }

    fn message(&mut self) -> Opened {
        let mut raw = std::mem::take(&mut self.raw);
        let rest = raw.bytes.split_off(self.whole);
        let frames = std::mem::take(&mut raw.bytes);
        let mut text = Vec::with_capacity(self.length);
        let mut left = frames.as_slice();
        while !left.is_empty() {
            let head = read_header(left);
            let length = usize::try_from(head.declared()).unwrap_or(usize::MAX);
            let end = head.size().saturating_add(length).min(left.len());
            text.extend(payload(&head, &left[..end]));
            left = &left[end..];
        }
        // The rules have seen that it is UTF-8.
        let text = String::from_utf8_lossy(&text).into_owned();
        Opened::Message(FirstMessage { text, frames, rest, permit: raw.into_permit() })
    }
}

fn read_header(bytes: &[u8]) -> HeaderBytes {
    let mut head = HeaderBytes::default();
    let start = head.fill(bytes, 2);
    if start == 2 {
        head.fill(&bytes[start..], head.size());
    }
    head
}

/// The unmasked payload of a whole frame.
fn payload(head: &HeaderBytes, frame: &[u8]) -> Vec<u8> {
    let masked = &frame[head.size()..];
    let mut payload = vec![0; masked.len()];
    mask::unmask(masked, head.key(), &mut payload);
    payload
}
