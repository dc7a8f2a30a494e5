//! Each rule, by the sections of RFC 6455: what breaks it, and the nearest thing that does not.

use super::super::Rule;
use super::*;
use crate::values::Endpoint::{Client, Upstream};

pub(crate) const LONG: &[u8] = &[b'x'; 70_000];

/// The stream is refused for `rule`, proved by the byte at `offset`, in the frame at `frame`.
#[track_caller]
pub(crate) fn refused(sender: Endpoint, stream: &[u8], rule: Rule, frame: usize, offset: usize) {
    for read in [stream.len(), 1, 3] {
        let outcome = pass(sender, stream, &[read], &ample());
        let violation = outcome.violation.unwrap_or_else(|| panic!("{rule:?} is not enforced"));
        let header = violation.header;
        let expected =
            Violation { rule, sender, frame_offset: frame as u64, offset: offset as u64, header };
        assert_eq!(violation, expected, "in reads of {read}");
        let end = frame + header.as_slice().len();
        assert_eq!(header.as_slice(), &stream[frame..end], "the header is the frame's own");
        assert!(header.as_slice().len() >= 2);
    }
}

#[track_caller]
pub(crate) fn accepted(sender: Endpoint, stream: &[u8]) -> Outcome {
    let outcome = pass(sender, stream, &[stream.len()], &ample());
    assert_eq!(outcome.violation, None);
    assert_eq!(outcome.released, stream);
    outcome
}

#[test]
fn section_5_1_masking() {
    refused(Client, &[0x81, 0x05], Rule::ClientUnmasked, 0, 1);
    refused(Client, &[0x89, 0x00], Rule::ClientUnmasked, 0, 1);
    refused(Upstream, &[0x81, 0x85], Rule::UpstreamMasked, 0, 1);
    refused(Upstream, &[0x88, 0x80, 0, 0, 0, 0], Rule::UpstreamMasked, 0, 1);
    for sender in [Client, Upstream] {
        accepted(sender, &frame(sender, 0x81, b"Hello"));
    }
}

#[test]
fn section_5_2_reserved_bits() {
    for rsv in [0x40, 0x20, 0x10, 0x70] {
        for first in [0x81, 0x82, 0x88, 0x89, 0x8a] {
            let stream = frames(Client, &[(0x81, b"before"), (first | rsv, b"ab")]);
            refused(Client, &stream, Rule::ReservedBits, 12, 13);
        }
    }
}

#[test]
fn section_5_2_opcodes() {
    for opcode in (0x3..=0x7).chain(0xb..=0xf) {
        refused(Client, &frame(Client, 0x80 | opcode, b""), Rule::ReservedOpcode, 0, 1);
        refused(Upstream, &frame(Upstream, opcode, b""), Rule::ReservedOpcode, 0, 1);
    }
    accepted(Upstream, &frames(Upstream, &[(0x82, b"a"), (0x89, b"b"), (0x8a, b"c")]));
}

#[test]
fn section_5_2_shortest_length() {
    for length in [0u16, 1, 5, 125] {
        let [high, low] = length.to_be_bytes();
        refused(Upstream, &[0x82, 126, high, low], Rule::LengthForm, 0, 3);
        refused(Client, &[0x82, 254, high, low, 1, 2, 3, 4], Rule::LengthForm, 0, 7);
    }
    for length in [0u64, 125, 126, 0xffff] {
        let stream = [&[0x82, 127], length.to_be_bytes().as_slice()].concat();
        refused(Upstream, &stream, Rule::LengthForm, 0, 9);
    }
    for length in [125, 126, 0xffff, 0x10000] {
        accepted(Upstream, &frame(Upstream, 0x82, &LONG[..length]));
    }
}

#[test]
fn section_5_2_top_bit() {
    for length in [1 << 63, u64::MAX, (1 << 63) + 5] {
        let stream = [&[0x82, 127], length.to_be_bytes().as_slice()].concat();
        refused(Upstream, &stream, Rule::LengthTopBit, 0, 9);
    }
    // Without it the frame is merely too big.
    let stream = [&[0x82, 127], i64::MAX.to_be_bytes().as_slice()].concat();
    refused(Upstream, &stream, Rule::FrameSize, 0, 9);
}

#[test]
fn section_5_4_fragments() {
    refused(Upstream, &frame(Upstream, 0x80, b"x"), Rule::ContinuationAlone, 0, 1);
    refused(Upstream, &frame(Upstream, 0x00, b"x"), Rule::ContinuationAlone, 0, 1);
    let after = frames(Upstream, &[(0x81, b"x"), (0x80, b"x")]);
    refused(Upstream, &after, Rule::ContinuationAlone, 3, 4);
    let over = frames(Upstream, &[(0x01, b"x"), (0x80, b"x"), (0x00, b"x")]);
    refused(Upstream, &over, Rule::ContinuationAlone, 6, 7);
    for first in [0x01, 0x02, 0x81, 0x82] {
        let inside = frames(Upstream, &[(0x01, b"x"), (0x89, b""), (first, b"x")]);
        refused(Upstream, &inside, Rule::MessageInterrupted, 5, 6);
    }
    let messages = [
        (0x01, b"a".as_slice()),
        (0x89, b"ping"),
        (0x00, b""),
        (0x8a, b"pong"),
        (0x80, b"b"),
        (0x82, b"c"),
    ];
    let outcome = accepted(Client, &frames(Client, &messages));
    assert_eq!((outcome.flow.frames, outcome.flow.messages, outcome.activity), (6, 2, 5));
}

#[test]
fn section_5_5_control_frames() {
    for opcode in [0x8, 0x9, 0xa] {
        refused(Upstream, &[opcode, 0], Rule::ControlFragmented, 0, 1);
        refused(Upstream, &[0x80 | opcode, 126, 0, 126], Rule::ControlLength, 0, 1);
        refused(Client, &[0x80 | opcode, 0xff], Rule::ControlLength, 0, 1);
    }
    accepted(Client, &frames(Client, &[(0x89, &LONG[..125]), (0x8a, &LONG[..125])]));
}

#[test]
fn section_5_5_1_close() {
    refused(Upstream, &frame(Upstream, 0x88, &[3]), Rule::CloseLength, 0, 1);
    refused(Upstream, &frame(Upstream, 0x88, b"\x03\xe8ok\xff."), Rule::CloseReason, 0, 6);
    refused(Client, &frame(Client, 0x88, b"\x03\xe8ok\xe2\x82"), Rule::CloseReason, 0, 11);
    for sender in [Client, Upstream] {
        let outcome = accepted(sender, &frame(sender, 0x88, b""));
        assert_eq!(outcome.close.map(|(_, close)| close.code), Some(None));
        assert!(outcome.closed);
        let text = [b"\x0f\xa0".as_slice(), "ende, aus, äpfel".as_bytes()].concat();
        let outcome = accepted(sender, &frame(sender, 0x88, &text));
        assert_eq!(outcome.close.map(|(_, close)| close.code), Some(Some(4000)));
    }
    accepted(Upstream, &frame(Upstream, 0x88, &[b"\x03\xe8", &LONG[..123]].concat()));
}

#[test]
fn section_7_4_close_codes() {
    let sent = |code: &u16| {
        let stream = frame(Upstream, 0x88, &code.to_be_bytes());
        let outcome = pass(Upstream, &stream, &[1], &ample());
        match outcome.violation {
            None => {
                assert_eq!(outcome.close, Some((4, CloseFrame { code: Some(*code) })));
                true
            }
            Some(violation) => {
                assert_eq!((violation.rule, violation.offset), (Rule::CloseCode, 3), "{code}");
                false
            }
        }
    };
    let allowed: Vec<u16> = (0..=u16::MAX).filter(sent).collect();
    let expected: Vec<u16> = (1000..=1003).chain(1007..=1014).chain(3000..=4999).collect();
    assert_eq!(allowed, expected);
}

/// RFC 6455 section 5.5.1: after a Close nothing is sent any more. What comes is not judged.
#[test]
fn after_a_close_bytes_are_dropped() {
    let close = frame(Client, 0x88, &[0x03, 0xe9]);
    let stream = [&close, [0xff; 300].as_slice()].concat();
    for read in [stream.len(), 1, close.len() - 1] {
        let outcome = pass(Client, &stream, &[read], &ample());
        assert_eq!((outcome.violation, outcome.consumed), (None, stream.len()));
        assert_eq!(outcome.released, close);
        assert_eq!(outcome.flow, Flow { frames: 1, messages: 0, bytes: 8 });
        assert!(outcome.boundary);
    }
}

#[test]
fn section_8_1_text() {
    let refused_at = |payload: &[u8], at: usize| {
        refused(Upstream, &frame(Upstream, 0x81, payload), Rule::Text, 0, 2 + at);
        refused(Client, &frame(Client, 0x81, payload), Rule::Text, 0, 6 + at);
    };
    refused_at(b"\x80", 0);
    refused_at(b"ab\xc0\xaf", 2);
    refused_at(b"ab\xe2\x82.", 4);
    refused_at(b"\xed\xa0\x80", 1);
    refused_at(b"\xf0\x80\x80\x80", 1);
    refused_at(b"\xf4\x90\x80\x80", 1);
    refused_at(b"\xf5", 0);
    refused_at("the end is cut: €".as_bytes().split_last().expect("bytes").1, 17);
    accepted(Upstream, &frame(Upstream, 0x82, b"\xff\xfe\x80"));
    accepted(Client, &frame(Client, 0x81, "κόσμε 𝄞 \u{10ffff} \u{0}".as_bytes()));
}

#[test]
fn section_8_1_text_across_fragments() {
    let euro = "€".as_bytes();
    let good = [(0x01, &euro[..1]), (0x89, b"\xff"), (0x00, b""), (0x80, &euro[1..])];
    accepted(Client, &frames(Client, &good));
    let bad = [(0x01, &euro[..1]), (0x89, b"\x80"), (0x00, &euro[1..2]), (0x80, b"x")];
    refused(Upstream, &frames(Upstream, &bad), Rule::Text, 9, 11);
    // Nothing of the final frame's payload is there to blame, so it is the header's last byte.
    let cut = [(0x01, &euro[..2]), (0x80, b"".as_slice())];
    refused(Upstream, &frames(Upstream, &cut), Rule::Text, 4, 5);
    refused(Client, &frames(Client, &cut), Rule::Text, 8, 13);
    // A message begins anew, whatever the one before it was.
    accepted(Client, &frames(Client, &[(0x01, b"a"), (0x80, b"b"), (0x82, b"\xff"), (0x81, b"c")]));
}

/// Where several rules are broken, the verdict is the same every time.
#[test]
fn the_order_of_the_rules() {
    refused(Client, &[0xf3, 0x7f], Rule::ReservedBits, 0, 1);
    refused(Client, &[0x03, 0x7f], Rule::ReservedOpcode, 0, 1);
    refused(Client, &[0x08, 0x7f], Rule::ClientUnmasked, 0, 1);
    refused(Client, &[0x08, 0xff], Rule::ControlFragmented, 0, 1);
    let open = frame(Upstream, 0x02, &LONG[..60_000]);
    let at = open.len();
    let both = [open.as_slice(), &[0x00, 127], &100_001u64.to_be_bytes()].concat();
    refused(Upstream, &both, Rule::FrameSize, at, at + 9);
}
