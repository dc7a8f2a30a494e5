//! Tests of the gate as the pumps use it: bytes in, verdict out.

mod assembler;
mod credentials;
mod cuts;
mod deflate;
mod deflater;
mod first_message;
mod frame_buffer;
mod handover;
mod headers;
mod limits;
mod model;
mod places;
mod rates;
mod ratio;
mod rules;

use crate::values::{Endpoint, Flow};
use crate::wire::{
    CloseFrame, FrameLimits, Gate, GateEvent, HeaderBytes, HoldBudget, Violation, mask,
};
pub(crate) use deflater::Deflater;

pub(crate) const OWN_PING: [u8; 8] = *b"ownping!";
pub(crate) const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
pub(crate) const LIMITS: FrameLimits = FrameLimits {
    max_frame_size: 100_000,
    max_message_size: 150_000,
    max_fragments: 8,
    max_inflation_ratio: None,
};

/// Enough for every frame of a test.
pub(crate) fn ample() -> HoldBudget {
    HoldBudget::new(1 << 20)
}

/// A frame in its shortest form, masked if a client sends it. `first` has FIN, RSV and opcode.
pub(crate) fn frame(sender: Endpoint, first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = if sender == Endpoint::Client { 0x80 } else { 0 };
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..=125 => frame.push(mask | u8::try_from(len).expect("up to 125")),
        len @ 126..=0xffff => {
            frame.push(mask | 0x7e);
            frame.extend(u16::try_from(len).expect("up to 65,535").to_be_bytes());
        }
        len => {
            frame.push(mask | 0x7f);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    if sender == Endpoint::Client {
        frame.extend(KEY);
        frame.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
    } else {
        frame.extend(payload);
    }
    frame
}

pub(crate) fn frames(sender: Endpoint, frames: &[(u8, &[u8])]) -> Vec<u8> {
    frames.iter().flat_map(|(first, payload)| frame(sender, *first, payload)).collect()
}

/// The first byte, the unmasked payload and the size of the frame that the bytes begin with; `None` while
/// it is not whole.
pub(crate) fn whole_frame(bytes: &[u8]) -> Option<(u8, Vec<u8>, usize)> {
    let head = HeaderBytes::read(bytes);
    let size = head.size() + usize::try_from(head.declared()).expect("a small frame");
    let masked = bytes.get(head.size()..size).filter(|_| head.is_complete())?;
    let mut payload = vec![0; masked.len()];
    mask::unmask(masked, head.key(), &mut payload);
    Some((bytes[0], payload, size))
}

/// All that came of a stream. Two readings of one stream are compared whole.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Outcome {
    released: Vec<u8>,
    /// Each with the number of bytes released up to it.
    own_pongs: Vec<usize>,
    close: Option<(usize, CloseFrame)>,
    violation: Option<Violation>,
    consumed: usize,
    flow: Flow,
    activity: u64,
    closed: bool,
    boundary: bool,
    message: Option<u64>,
    control: Option<u64>,
}

/// Passes a stream through a new gate as the pumps do, in reads of these lengths, the last one
/// repeated; the next read waits until all of one was consumed.
fn pass(sender: Endpoint, stream: &[u8], reads: &[usize], budget: &HoldBudget) -> Outcome {
    let mut gate = Gate::new(sender, LIMITS, OWN_PING);
    pass_on(&mut gate, stream, reads, budget)
}

fn pass_on(gate: &mut Gate, mut stream: &[u8], reads: &[usize], budget: &HoldBudget) -> Outcome {
    let mut outcome = Outcome::default();
    let mut reads = reads.iter().copied();
    let mut read = stream.len();
    while !stream.is_empty() && outcome.violation.is_none() {
        read = reads.next().unwrap_or(read).clamp(1, stream.len());
        let (input, rest) = stream.split_at(read);
        judge_all(gate, input, budget, &mut outcome);
        stream = rest;
    }
    outcome.flow = gate.flow();
    outcome.activity = gate.activity();
    outcome.closed = gate.closed();
    outcome.boundary = gate.released_boundary();
    outcome.message = gate.message_begun();
    outcome.control = gate.control_begun();
    outcome
}

fn judge_all(gate: &mut Gate, mut input: &[u8], budget: &HoldBudget, outcome: &mut Outcome) {
    while !input.is_empty() && outcome.violation.is_none() {
        let judged = gate.judge(input, budget);
        assert!(judged.consumed > 0, "every call gets on");
        outcome.consumed += judged.consumed;
        outcome.released.extend(judged.release.concat());
        input = &input[judged.consumed..];
        let released = outcome.released.len();
        match judged.event {
            Some(GateEvent::OwnPong) => outcome.own_pongs.push(released),
            Some(
                event @ (GateEvent::Dropped
                | GateEvent::Wait(_)
                | GateEvent::Refused(_)
                | GateEvent::Judged(_)),
            ) => {
                panic!("nothing was limited: {event:?}")
            }
            Some(GateEvent::Token(token)) => panic!("nobody asked for a token: {token}"),
            Some(GateEvent::FirstMessage | GateEvent::Ping(_)) => {
                panic!("no first message is taken")
            }
            Some(GateEvent::Close(close)) => outcome.close = Some((released, close)),
            Some(GateEvent::Violation(violation)) => outcome.violation = Some(*violation),
            None => {}
        }
    }
}
