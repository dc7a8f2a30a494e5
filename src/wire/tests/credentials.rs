//! The invariant of a session in which a token may be handed in: no byte of a token leaves the gate,
//! however the messages are written, fragmented, compressed and cut into reads, and whatever room
//! there is to hold them.
//!
//! Only tokens have capital letters here, and masking keys are zero.

use flate2::{Decompress, FlushDecompress};
use proptest::collection::vec;
use proptest::prelude::*;

use super::super::{Context, Gate, GateEvent, HeaderBytes, HoldBudget};
use super::{Deflater, LIMITS, OWN_PING};
use crate::values::Endpoint;

const MEMBER: &str = "fw-1";

/// A message as its sender means it.
#[derive(Debug, Clone)]
struct Message {
    /// Text or binary.
    opcode: u8,
    text: String,
    token: Option<Token>,
    /// Where it is cut into fragments.
    cuts: Vec<prop::sample::Index>,
    ping_between: bool,
}

#[derive(Debug, Clone)]
struct Token {
    value: String,
    /// The message is of the form to its end.
    whole: bool,
}

fn capitals(length: usize, seed: u32) -> String {
    let mut state = seed | 1;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(b'A' + u8::try_from((state >> 24) % 26).expect("a letter"))
    };
    (0..length).map(next).collect()
}

fn blanks() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => "[ \t\r\n]{0,3}",
        1 => (4_000..17_000usize).prop_map(|count| " ".repeat(count)),
    ]
}

/// A name, some of its characters escaped.
fn name(name: &'static str) -> impl Strategy<Value = String> {
    vec(prop::bool::weighted(0.1), name.len()).prop_map(move |escaped| {
        let character = |(character, escaped): (char, bool)| {
            if escaped { format!("\\u{:04x}", u32::from(character)) } else { character.to_string() }
        };
        name.chars().zip(escaped).map(character).collect()
    })
}

fn handing_in() -> impl Strategy<Value = (String, Option<Token>)> {
    let length = prop_oneof![
        4 => 1..300usize,
        2 => 3_900..4_100usize,
        2 => 8_000..16_000usize,
        1 => 16_200..18_000usize,
    ];
    let tail =
        prop::sample::select(vec!["\"}}", "\" } } ", "\"},\"x\":1}", "\",\"x\":1}}", "\"", "\\"]);
    let names = (name(MEMBER), name("token"));
    (prop::array::uniform4(blanks()), names, length, any::<u32>(), tail).prop_map(
        |([a, b, c, d], (member, token), length, seed, tail)| {
            let value = capitals(length, seed);
            let text = format!("{a}{{\"{member}\"{b}:{{{c}\"{token}\":{d}\"{value}{tail}");
            let whole = tail.ends_with("}}") && !tail.contains('x') || tail == "\" } } ";
            (text, Some(Token { value, whole }))
        },
    )
}

fn ordinary() -> impl Strategy<Value = (String, Option<Token>)> {
    let start = prop::sample::select(vec![
        "",
        "hello",
        "{",
        "{\"fw",
        "{\"fw-1\":",
        "{\"fw-1\":{",
        "{\"fw-1\":{\"token\":",
        "[\"",
        "{\"fw-1\":[\"",
        "{\"fw-1\":{\"token\":[\"",
    ]);
    let length = prop_oneof![8 => 0..50usize, 2 => 3_000..9_000usize, 1 => 16_000..40_000usize];
    (start, length)
        .prop_map(|(start, length)| (format!("{start}-{}", "x1 ".repeat(length / 3)), None))
}

fn message() -> impl Strategy<Value = Message> {
    let content = prop_oneof![2 => handing_in(), 3 => ordinary()];
    let cuts = prop_oneof![2 => Just(Vec::new()), 1 => vec(any::<prop::sample::Index>(), 1..4)];
    (content, cuts, any::<bool>(), prop::bool::weighted(0.1)).prop_map(
        |((text, token), cuts, ping_between, binary)| {
            // A binary message hands in nothing.
            let binary = binary && token.is_none();
            Message { opcode: if binary { 2 } else { 1 }, text, token, cuts, ping_between }
        },
    )
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = super::frame(Endpoint::Upstream, first, payload);
    frame[1] |= 0x80;
    let mut head = HeaderBytes::default();
    head.fill(&frame, 2);
    let size = head.size();
    frame.splice(size - 4..size - 4, [0; 4]);
    frame
}

impl Message {
    /// Its frames, one after the other.
    fn encode(&self, compress: bool) -> Vec<u8> {
        let text = self.text.as_bytes();
        let payload = if compress { Deflater::new(15, false).message(text) } else { text.to_vec() };
        let mut cuts: Vec<_> = self.cuts.iter().map(|cut| cut.index(payload.len() + 1)).collect();
        cuts.sort_unstable();
        let first = if compress { self.opcode | 0x40 } else { self.opcode };
        let (mut frames, mut start) = (Vec::new(), 0);
        for cut in cuts {
            frames.extend(frame(if frames.is_empty() { first } else { 0 }, &payload[start..cut]));
            if self.ping_between {
                frames.extend(frame(0x89, b"ping"));
            }
            start = cut;
        }
        let last = if self.cuts.is_empty() { first } else { 0 };
        frames.extend(frame(0x80 | last, &payload[start..]));
        frames
    }
}

/// The text of every message in a stream, its last frame perhaps not whole.
fn texts(mut stream: &[u8]) -> Vec<u8> {
    let (mut text, mut inflater) = (Vec::new(), None);
    while !stream.is_empty() {
        let mut head = HeaderBytes::default();
        let start = head.fill(stream, 2);
        head.fill(&stream[start..], if start == 2 { head.size() } else { 2 });
        if !head.is_complete() {
            break;
        }
        stream = &stream[head.size()..];
        let length = usize::try_from(head.declared()).expect("a length").min(stream.len());
        let (payload, rest) = stream.split_at(length);
        stream = rest;
        if head.is_control() {
            continue;
        }
        // The first frame of a message says whether it is compressed.
        if head.as_slice()[0] & 0x0f != 0 {
            inflater = (head.rsv() != 0).then(|| Decompress::new(false));
        }
        match &mut inflater {
            None => text.extend_from_slice(payload),
            Some(inflater) => inflate(inflater, payload, &mut text),
        }
    }
    text
}

fn inflate(inflater: &mut Decompress, payload: &[u8], text: &mut Vec<u8>) {
    let start = inflater.total_in();
    loop {
        let read = usize::try_from(inflater.total_in() - start).expect("a place");
        let before = inflater.total_out();
        text.reserve(4096);
        inflater.decompress_vec(&payload[read..], text, FlushDecompress::None).expect("deflate");
        if inflater.total_out() == before {
            return;
        }
    }
}

/// What came of a stream.
#[derive(Debug, Default)]
struct Outcome {
    released: Vec<u8>,
    tokens: Vec<String>,
    ended: bool,
}

fn pass(stream: &[u8], reads: &[usize], room: usize, compress: bool) -> Outcome {
    let mut gate = Gate::new(Endpoint::Client, LIMITS, OWN_PING);
    gate.expect_token(MEMBER.into());
    if compress {
        gate.inflate(Context::Anew);
    }
    let (budget, mut outcome, mut rest) = (HoldBudget::new(room), Outcome::default(), stream);
    let mut reads = reads.iter().copied().cycle();
    while !rest.is_empty() && !outcome.ended {
        let (mut input, behind) = rest.split_at(reads.next().unwrap_or(1).min(rest.len()));
        rest = behind;
        while !input.is_empty() && !outcome.ended {
            let judged = gate.judge(input, &budget);
            outcome.released.extend(judged.release.concat());
            input = &input[judged.consumed..];
            match judged.event {
                Some(GateEvent::Token(token)) => outcome.tokens.push(token),
                Some(GateEvent::Refused(_)) => outcome.ended = true,
                Some(other) => panic!("a valid stream led to {other:?}"),
                None => {}
            }
        }
    }
    drop(gate);
    assert_eq!(budget.left(), room, "all of it came back");
    outcome
}

fn rooms() -> impl Strategy<Value = usize> {
    prop::sample::select(vec![0, 1, 4_095, 4_096, 8_192, 12_288, 1 << 20])
}

fn reads() -> impl Strategy<Value = Vec<usize>> {
    let size = prop_oneof![2 => 1..20usize, 2 => 20..3_000usize, 1 => 3_000..150_000usize];
    vec(size, 1..20)
}

proptest! {
    #[test]
    fn no_byte_of_a_token_is_forwarded(
        messages in vec(message(), 1..6),
        reads in reads(),
        room in rooms(),
        compress: bool,
    ) {
        let stream: Vec<u8> = messages.iter().flat_map(|one| one.encode(compress)).collect();
        let outcome = pass(&stream, &reads, room, compress);
        let left = texts(&outcome.released);
        prop_assert!(!left.iter().any(u8::is_ascii_uppercase), "a byte of a token left");
    }

    /// With room, what is handed in as it must be is taken out, alone; and what is ordinary passes.
    #[test]
    fn with_budget_tokens_are_removed_and_messages_forwarded(
        messages in vec(message(), 1..6),
        reads in reads(),
        compress: bool,
    ) {
        let stream: Vec<u8> = messages.iter().flat_map(|one| one.encode(compress)).collect();
        let outcome = pass(&stream, &reads, 1 << 20, compress);
        let (mut released, mut tokens, mut ended) = (Vec::new(), Vec::new(), false);
        for message in &messages {
            let frames = message.encode(compress);
            let Some(token) = &message.token else {
                released.extend(frames);
                continue;
            };
            if !message.cuts.is_empty() || frames.len() > 16 * 1024 {
                ended = true;
                break;
            }
            let read = token.whole && message.text.len() <= 16 * 1024;
            tokens.push(if read { token.value.clone() } else { String::new() });
        }
        prop_assert_eq!(outcome.ended, ended);
        prop_assert_eq!(outcome.tokens, tokens);
        prop_assert!(outcome.released.starts_with(&released));
        prop_assert!(ended || outcome.released == released);
    }

    /// Without room, the session of a token ends; ordinary messages do not feel it.
    #[test]
    fn ordinary_messages_pass_without_budget(
        messages in vec(message(), 1..6),
        reads in reads(),
        room in rooms(),
        compress: bool,
    ) {
        let ordinary = messages.iter().filter(|message| message.token.is_none());
        let stream: Vec<u8> = ordinary.flat_map(|one| one.encode(compress)).collect();
        let outcome = pass(&stream, &reads, room, compress);
        prop_assert!(!outcome.ended && outcome.tokens.is_empty());
        prop_assert!(outcome.released == stream);
    }
}
