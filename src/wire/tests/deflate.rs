//! Compressed messages (RFC 7692): forwarded as they came, judged by what they inflate to.

mod large;
mod properties;

use super::super::{Context, Rule};
use super::*;
use crate::values::Endpoint::{Client, Upstream};

/// RSV1 and the opcode of a message's first frame; FIN comes on top.
const TEXT: u8 = 0x41;
pub(crate) const BINARY: u8 = 0x42;
pub(crate) const FIN: u8 = 0x80;

fn gate(sender: Endpoint, context: Context) -> Gate {
    let mut gate = Gate::new(sender, LIMITS, OWN_PING);
    gate.inflate(context);
    gate
}

fn read(sender: Endpoint, context: Context, stream: &[u8], reads: &[usize]) -> Outcome {
    pass_on(&mut gate(sender, context), stream, reads, &ample())
}

pub(crate) fn compressed(text: &[u8]) -> Vec<u8> {
    Deflater::new(15, false).message(text)
}

/// The same, in as many frames as there are cuts and one.
pub(crate) fn fragments(
    sender: Endpoint,
    opcode: u8,
    payload: &[u8],
    cuts: &[usize],
) -> Vec<Vec<u8>> {
    let ends = cuts.iter().copied().chain([payload.len()]);
    let starts = [0].into_iter().chain(cuts.iter().copied());
    let fragment = |(i, (start, end)): (usize, (usize, usize))| {
        let first = if i == 0 { opcode } else { 0 } | if i == cuts.len() { FIN } else { 0 };
        frame(sender, first, &payload[start..end])
    };
    starts.zip(ends).enumerate().map(fragment).collect()
}

/// Passes, whole, however it is cut in two.
#[track_caller]
fn accepted(sender: Endpoint, context: Context, stream: &[u8]) -> Outcome {
    let whole = read(sender, context, stream, &[stream.len()]);
    assert_eq!(whole.violation, None);
    assert_eq!(whole.released, stream);
    for cut in 1..stream.len() {
        assert_eq!(read(sender, context, stream, &[cut, stream.len()]), whole, "cut at {cut}");
    }
    whole
}

/// Refused for `rule`, and nothing of the frame at `from` released, however it is cut in two.
#[track_caller]
fn refused(sender: Endpoint, context: Context, stream: &[u8], rule: Rule, from: usize) {
    let whole = read(sender, context, stream, &[stream.len()]);
    let violation = whole.violation.as_ref().unwrap_or_else(|| panic!("no {rule:?}"));
    assert_eq!((violation.rule, violation.frame_offset), (rule, from as u64));
    assert_eq!(whole.released, stream[..from]);
    for cut in 1..stream.len() {
        let outcome = read(sender, context, stream, &[cut, stream.len()]);
        let comparable = Outcome { consumed: whole.consumed, ..outcome };
        assert_eq!(comparable, whole, "cut at {cut}");
    }
    assert_eq!(read(sender, context, stream, &[1]).released, stream[..from]);
}

/// Bytes that do not get smaller, so that a frame of them is large.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x1234_5678_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_be_bytes()[0] & 0x7f
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn messages_in_one_frame_and_in_many_with_control_frames_between() {
    let text = "Grüße, 世界, \u{1f600}. ".repeat(20);
    let payload = compressed(text.as_bytes());
    for sender in [Client, Upstream] {
        let parts = fragments(sender, TEXT, &payload, &[1, 1, payload.len() / 2]);
        let ping = frame(sender, 0x89, b"ping");
        let plain = frame(sender, 0x81, "nicht gepackt: ü".as_bytes());
        let stream = [
            frame(sender, FIN | TEXT, &payload),
            plain,
            parts[0].clone(),
            ping,
            parts[1..].concat(),
            frame(sender, FIN | BINARY, &compressed(b"\xff\xfe")),
            frame(sender, 0x88, b"\x03\xe8"),
        ];
        let outcome = accepted(sender, Context::Anew, &stream.concat());
        assert_eq!((outcome.flow.messages, outcome.flow.frames), (4, 9));
        assert_eq!(outcome.flow.bytes, stream.concat().len() as u64, "as on the wire");
    }
}

#[test]
fn rsv1_belongs_to_the_first_frame_of_a_message() {
    let payload = compressed(b"Hello, Hello, Hello");
    let first = frame(Upstream, TEXT, &payload[..3]);
    let at = first.len();
    let cases = [
        (vec![], frame(Upstream, 0xc9, b""), Rule::CompressedBit),
        (vec![], frame(Upstream, 0xca, b""), Rule::CompressedBit),
        (vec![], frame(Upstream, 0xc8, b""), Rule::CompressedBit),
        (vec![], frame(Upstream, 0xc0, b""), Rule::CompressedBit),
        (vec![], frame(Upstream, 0xc3, b""), Rule::CompressedBit),
        (first.clone(), frame(Upstream, 0xc0, &payload[3..]), Rule::CompressedBit),
        (first.clone(), frame(Upstream, 0x40, &payload[3..]), Rule::CompressedBit),
        (first.clone(), frame(Upstream, 0xc9, b""), Rule::CompressedBit),
        (first, frame(Upstream, 0xc1, &payload), Rule::MessageInterrupted),
        (vec![], frame(Upstream, 0xe1, &payload), Rule::ReservedBits),
        (vec![], frame(Upstream, 0xd1, &payload), Rule::ReservedBits),
        (vec![], frame(Upstream, 0xa1, b"x"), Rule::ReservedBits),
    ];
    for (before, bad, rule) in cases {
        let from = if before.is_empty() { 0 } else { at };
        refused(Upstream, Context::Anew, &[before, bad].concat(), rule, from);
    }
    let stream = frame(Upstream, FIN | TEXT, &payload);
    rules::refused(Upstream, &stream, Rule::ReservedBits, 0, 1);
}

#[test]
fn inflated_text_is_checked_as_utf_8() {
    let bad = |text: &[u8], rule| {
        let payload = compressed(text);
        for sender in [Client, Upstream] {
            let before = frame(sender, FIN | TEXT, &compressed(b"before"));
            let stream = [before.as_slice(), &frame(sender, FIN | TEXT, &payload)].concat();
            refused(sender, Context::Anew, &stream, rule, before.len());
        }
    };
    bad(b"ab\xc0\xaf and so on", Rule::Text);
    bad(b"the end is cut: \xe2\x82", Rule::Text);
    let across = fragments(Client, TEXT, &compressed("€".repeat(9).as_bytes()), &[3, 5]);
    accepted(Client, Context::Anew, &across.concat());
    // A binary message may say what it likes.
    let stream = frame(Client, FIN | BINARY, &compressed(b"ab\xc0\xaf"));
    accepted(Client, Context::Anew, &stream);
}

#[test]
fn data_that_is_not_valid_is_refused() {
    let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    for (payload, rule) in [
        (&[0x06][..], Rule::Deflate),
        (&hello[..4], Rule::DeflateEnd),
        (b"", Rule::DeflateEnd),
        (&[&hello[..], &[0, 0, 0xff, 0xff]].concat(), Rule::DeflateEnd),
        (&[&[0xf3], &hello[1..]].concat(), Rule::DeflateFinal),
        (&[&[0xf3], &hello[1..], &[0]].concat(), Rule::DeflateFinal),
        (&[&[0xf3], &hello[1..], &hello].concat(), Rule::DeflateFinal),
    ] {
        for opcode in [TEXT, BINARY] {
            let stream = frame(Client, FIN | opcode, payload);
            refused(Client, Context::Anew, &stream, rule, 0);
        }
    }
    let parts = fragments(Upstream, TEXT, &[&hello[..], &[0, 0, 0xff, 0xff, 6]].concat(), &[2, 11]);
    let from = parts[0].len() + parts[1].len();
    refused(Upstream, Context::Anew, &parts.concat(), Rule::Deflate, from);
}

#[test]
fn the_place_is_the_end_of_the_frame_or_of_its_block() {
    let at = |payload: &[u8]| {
        let stream = frame(Upstream, FIN | BINARY, payload);
        let outcome = read(Upstream, Context::Anew, &stream, &[7]);
        let violation = outcome.violation.expect("not valid");
        violation.offset - violation.header.as_slice().len() as u64
    };
    assert_eq!(at(&[0x06, 1, 2, 3]), 3);
    assert_eq!(at(&[&[0x06][..], &[0; 4000]].concat()), 1023);
    let stored = [&[0x00, 0xff, 0x07, 0x00, 0xf8][..], &[1; 0x7ff], &[0x06], &[0; 4000]].concat();
    assert_eq!(at(&stored), 3071, "the third block of 1,024 bytes");
}

/// A sender that agreed to start anew is held to it; one that did not may refer to what it said.
#[test]
fn messages_share_a_context_where_takeover_was_negotiated() {
    let mut deflater = Deflater::new(15, true);
    let messages: Vec<_> =
        (0..4).map(|_| deflater.message(b"the same once more, the same")).collect();
    let stream: Vec<_> =
        messages.iter().map(|payload| frame(Upstream, FIN | TEXT, payload)).collect();
    accepted(Upstream, Context::TakenOver(15), &stream.concat());
    refused(Upstream, Context::Anew, &stream.concat(), Rule::Deflate, stream[0].len());
}

#[test]
fn messages_that_are_not_compressed_are_not_in_the_window() {
    let mut deflater = Deflater::new(15, true);
    let stream = [
        frame(Upstream, FIN | TEXT, &deflater.message(b"abcdefgh abcdefgh")),
        frame(Upstream, FIN | 0x01, b"01234567 01234567"),
        frame(Upstream, FIN | TEXT, &deflater.message(b"abcdefgh abcdefgh")),
    ];
    accepted(Upstream, Context::TakenOver(15), &stream.concat());
}

#[test]
fn max_message_size_counts_inflated_bytes() {
    let largest = compressed(&vec![b'a'; 150_000]);
    accepted(Client, Context::Anew, &frame(Client, FIN | TEXT, &largest));
    let larger = compressed(&vec![b'a'; 150_001]);
    refused(Client, Context::Anew, &frame(Client, FIN | TEXT, &larger), Rule::MessageSize, 0);
    let parts = fragments(Client, TEXT, &larger, &[20, 40]);
    let whole = read(Client, Context::Anew, &parts.concat(), &[1]);
    assert_eq!(whole.violation.map(|violation| violation.rule), Some(Rule::MessageSize));
    // The next message has all of it again, compressed or not.
    let plain = frame(Client, 0x02, &vec![0; 100_000]);
    let rest = frame(Client, 0x80, &vec![0; 50_000]);
    let stream = [frame(Client, FIN | TEXT, &largest), plain, rest].concat();
    assert_eq!(read(Client, Context::Anew, &stream, &[30_000]).violation, None);
}

/// Data that does not get smaller is a little larger on the wire than the limit.
#[test]
fn compressed_bytes_may_exceed_max_message_size() {
    let text: Vec<u8> = noise(300_000).chunks(2).map(|pair| pair[0] << 4 ^ pair[1]).collect();
    let payload = compressed(&text);
    assert!(text.len() == 150_000 && payload.len() > 150_000);
    let stream = fragments(Client, BINARY, &payload, &[80_000]).concat();
    let outcome = read(Client, Context::Anew, &stream, &[1460]);
    assert_eq!((outcome.violation, outcome.released), (None, stream));
}

/// What comes first decides, whether or not it came in the same read.
#[test]
fn text_beyond_the_limit_is_not_checked() {
    let text = [&vec![b'a'; 150_000][..], b"\xff"].concat();
    let stream = frame(Client, FIN | TEXT, &compressed(&text));
    refused(Client, Context::Anew, &stream, Rule::MessageSize, 0);
    let text = [&vec![b'a'; 149_999][..], b"\xffa"].concat();
    let stream = frame(Client, FIN | TEXT, &compressed(&text));
    refused(Client, Context::Anew, &stream, Rule::Text, 0);
}

#[test]
fn frames_and_fragments_are_limited_as_on_the_wire() {
    let payload = compressed(b"Hello, Hello, Hello");
    let cuts: Vec<_> = (1..8).collect();
    accepted(Client, Context::Anew, &fragments(Client, TEXT, &payload, &cuts).concat());
    let cuts: Vec<_> = (1..9).collect();
    let parts = fragments(Client, TEXT, &payload, &cuts);
    let from = parts[..8].concat().len();
    refused(Client, Context::Anew, &parts.concat(), Rule::Fragments, from);
    let declared = [&[FIN | BINARY, 127], 100_001_u64.to_be_bytes().as_slice()].concat();
    refused(Upstream, Context::Anew, &declared, Rule::FrameSize, 0);
}

/// 1 GiB of zeros in 1 MiB: no more is inflated than was allowed, and none of it is kept.
#[test]
fn a_bomb_is_inflated_at_most_to_max_message_size() {
    let zeros = Deflater::new(15, false).flushed(&vec![0; 1 << 20], flate2::FlushCompress::Full);
    let bomb = zeros.repeat(1024);
    assert!(bomb.len() < 1 << 21);
    let limits = FrameLimits { max_frame_size: 1 << 21, max_message_size: 1 << 20, ..LIMITS };
    let budget = HoldBudget::new(1 << 16);
    for (sender, context, rule) in [
        (Client, Context::Anew, Rule::MessageSize),
        (Upstream, Context::TakenOver(15), Rule::ReplySize),
    ] {
        let mut gate = Gate::new(sender, limits, OWN_PING);
        gate.inflate(context);
        let stream = frame(sender, FIN | BINARY, &bomb);
        let outcome = pass_on(&mut gate, &stream, &[1 << 16], &budget);
        assert_eq!(outcome.violation.map(|violation| violation.rule), Some(rule));
        assert!(gate.inflated() <= (1 << 20) + (1 << 12), "{}", gate.inflated());
        assert!(outcome.consumed < 1 << 16, "it was found out in the first read");
        drop(gate);
        assert_eq!(budget.left(), 1 << 16);
    }
    // A small one is in one frame that is held, and nothing of it goes on.
    let stream = frame(Client, FIN | BINARY, &zeros.repeat(8));
    assert!(stream.len() < 16 * 1024);
    let mut gate = Gate::new(Client, limits, OWN_PING);
    gate.inflate(Context::Anew);
    let outcome = pass_on(&mut gate, &stream, &[100], &ample());
    assert!(outcome.violation.is_some() && outcome.released.is_empty() && outcome.boundary);
}

#[test]
fn a_limit_that_is_lowered_holds_for_the_message_in_progress() {
    let payload = compressed(&noise(9_000));
    let parts = fragments(Client, TEXT, &payload, &[5_000]);
    let mut gate = gate(Client, Context::Anew);
    assert_eq!(pass_on(&mut gate, &parts[0], &[900], &ample()).violation, None);
    gate.limit(FrameLimits { max_message_size: 1_000, ..LIMITS });
    let outcome = pass_on(&mut gate, &parts[1], &[900], &ample());
    assert_eq!(outcome.violation.map(|violation| violation.rule), Some(Rule::MessageSize));
}

#[test]
fn a_token_may_be_handed_in_compressed() {
    let handover = br#"{"framewall": {"token": "a.b.c"}}"#;
    let before = frame(Client, FIN | TEXT, &compressed(b"before"));
    let handed_in = frame(Client, FIN | TEXT, &compressed(handover));
    // Too long to be read, but the gateway's all the same.
    let padded = [handover.to_vec(), vec![b' '; 20_000]].concat();
    let padded = frame(Client, FIN | TEXT, &compressed(&padded));
    let after = frame(Client, FIN | TEXT, &compressed(b"after"));
    let stream = [before.as_slice(), &handed_in, &padded, &after].concat();
    for cut in 0..=stream.len() {
        let mut judge = gate(Client, Context::Anew);
        judge.expect_token("framewall".into());
        let (mut forwarded, mut tokens) = (Vec::new(), Vec::new());
        for mut part in [&stream[..cut], &stream[cut..]] {
            while !part.is_empty() {
                let judged = judge.judge(part, &ample());
                forwarded.extend(judged.release.concat());
                part = &part[judged.consumed..];
                match judged.event {
                    Some(GateEvent::Token(token)) => tokens.push(token),
                    Some(other) => panic!("{other:?}"),
                    None => {}
                }
            }
        }
        assert_eq!(forwarded, [before.as_slice(), &after].concat(), "{cut}");
        assert_eq!(tokens, ["a.b.c", ""], "{cut}");
    }
}
