//! A stream of arbitrary bytes through a [`Gate`], whole and in pieces: it never panics, agrees with
//! the model byte for byte, and what it released is itself a stream that it would accept.

#![no_main]

use std::num::NonZeroU16;

use framewall::values::Endpoint;
use framewall::values::Flow;
use framewall::wire::{CloseFrame, Context, FrameLimits, Gate, GateEvent, HoldBudget, Violation};
use framewall_fuzz::model::{self, Expected};
use libfuzzer_sys::fuzz_target;

const OWN_PING: [u8; 8] = *b"ownping!";
/// Behind the input where the case asks for it, so that short inputs reach frames that are too
/// large to be held.
const FILLER: usize = 20_000;

/// One byte of choices, four sizes of pieces, the stream.
struct Case {
    sender: Endpoint,
    limits: FrameLimits,
    context: Option<Context>,
    pieces: [usize; 4],
    stream: Vec<u8>,
    frees_memory: bool,
}

#[derive(Debug, PartialEq)]
struct Outcome {
    released: Vec<u8>,
    violation: Option<Violation>,
    closed: Option<CloseFrame>,
    own_pongs: u32,
    flow: Flow,
}

fuzz_target!(|data: &[u8]| {
    let Some(case) = Case::read(data) else {
        return;
    };
    let plenty = HoldBudget::new(1 << 30);
    let whole = case.run(&[usize::MAX], &plenty);
    let cut = case.run(&case.pieces, &plenty);
    assert_eq!(whole, cut, "how the stream is cut decides nothing");
    assert_eq!(plenty.left(), 1 << 30, "what was held is given back");
    let expected = model::expected(case.sender, case.limits, OWN_PING, case.context, &case.stream);
    assert_eq!(whole.as_expected(), expected);
    case.check_without_budget(&whole);
    case.check_accepts(whole.released, whole.flow);
});

impl Case {
    fn read(data: &[u8]) -> Option<Self> {
        let ([choice, pieces @ ..], stream) = data.split_first_chunk::<5>()?;
        let small = FrameLimits {
            max_frame_size: 300,
            max_message_size: 500,
            max_fragments: 3,
            max_inflation_ratio: None,
        };
        let large = FrameLimits {
            max_frame_size: 1 << 40,
            max_message_size: 1 << 41,
            max_fragments: 9,
            // Low, so that short inputs are above it; at times none.
            max_inflation_ratio: NonZeroU16::new(if choice & 64 == 0 { 20 } else { 0 }),
        };
        let mut stream = stream.to_vec();
        if choice & 4 != 0 {
            stream.extend(std::iter::repeat_n(b'a', FILLER));
        }
        Some(Self {
            sender: if choice & 1 == 0 { Endpoint::Client } else { Endpoint::Upstream },
            limits: if choice & 2 == 0 { large } else { small },
            context: match choice & 48 {
                16 => Some(Context::Anew),
                32 => Some(Context::TakenOver(15)),
                _ => None,
            },
            pieces: pieces.map(|size| piece(size, stream.len())),
            stream,
            frees_memory: choice & 8 != 0,
        })
    }

    fn run(&self, pieces: &[usize], budget: &HoldBudget) -> Outcome {
        let mut gate = Gate::new(self.sender, self.limits, OWN_PING);
        if let Some(context) = self.context {
            gate.inflate(context);
        }
        let mut out = Outcome::default();
        let mut rest = self.stream.as_slice();
        let mut sizes = pieces.iter().cycle();
        while !rest.is_empty() {
            let size = sizes.next().map_or(rest.len(), |size| rest.len().min(*size));
            let (piece, later) = rest.split_at(size);
            rest = later;
            if !out.feed(&mut gate, piece, budget) {
                break;
            }
            if self.frees_memory {
                gate.release_memory();
            }
        }
        out.flow = gate.flow();
        assert_eq!(out.flow.bytes, out.released.len() as u64);
        assert_eq!(gate.closed(), out.closed.is_some());
        assert_eq!(gate.unfinished() == 0, gate.released_boundary());
        assert!(gate.flow().messages <= gate.flow().frames);
        out
    }

    /// Without memory to hold frames the verdict is the same, and nothing less goes on.
    fn check_without_budget(&self, whole: &Outcome) {
        let hurried = self.run(&self.pieces, &HoldBudget::new(0));
        assert!(hurried.released.starts_with(&whole.released));
        assert_eq!(hurried.violation, whole.violation);
        assert_eq!((hurried.closed, hurried.own_pongs), (whole.closed, whole.own_pongs));
    }

    /// What went on would go on again, with nothing left to refuse.
    fn check_accepts(&self, stream: Vec<u8>, flow: Flow) {
        let again = Self { stream, ..*self }.run(&self.pieces, &HoldBudget::new(1 << 30));
        assert_eq!((again.violation, again.own_pongs, again.flow), (None, 0, flow));
    }
}

impl Outcome {
    fn default() -> Self {
        let (released, flow) = (Vec::new(), Flow::default());
        Self { released, violation: None, closed: None, own_pongs: 0, flow }
    }

    /// Judges one piece to its end; `false` once the stream is refused.
    fn feed(&mut self, gate: &mut Gate, mut piece: &[u8], budget: &HoldBudget) -> bool {
        while !piece.is_empty() {
            let judged = gate.judge(piece, budget);
            assert!(judged.consumed <= piece.len());
            assert!(judged.consumed > 0 || !judged.release[0].is_empty(), "no progress");
            assert!(self.closed.is_none() || judged.release.concat().is_empty());
            self.released.extend(judged.release.concat());
            piece = &piece[judged.consumed..];
            match judged.event {
                Some(GateEvent::Dropped | GateEvent::Wait(_) | GateEvent::Refused(_)) => {
                    panic!("there are no rates")
                }
                Some(
                    GateEvent::Token(_)
                    | GateEvent::FirstMessage
                    | GateEvent::Ping(_)
                    | GateEvent::Judged(_),
                ) => {
                    panic!("nobody asked for a message")
                }
                None => {}
                Some(GateEvent::OwnPong) => self.own_pongs += 1,
                Some(GateEvent::Close(close)) => self.closed = Some(close),
                Some(GateEvent::Violation(violation)) => {
                    assert!(violation.frame_offset <= violation.offset);
                    self.violation = Some(*violation);
                    return false;
                }
            }
        }
        true
    }

    fn as_expected(&self) -> Expected {
        let place = |v: &Violation| (v.rule, v.frame_offset, v.offset);
        Expected {
            released: self.released.clone(),
            violation: self.violation.as_ref().map(place),
            own_pongs: self.own_pongs,
            closed: self.closed,
        }
    }
}

/// Small sizes as they are, so that every place in a header is cut; large ones as large reads.
fn piece(size: u8, stream: usize) -> usize {
    let size = usize::from(size) + 1;
    if size > 200 { (size - 200) * 257 } else { size.max(stream / 512) }
}
