//! The limits: the largest thing that passes, and the smallest that does not.

use super::super::Rule;
use super::rules::{LONG, accepted, refused};
use super::*;
use crate::values::Endpoint::Upstream;

#[test]
fn the_header_is_judged() {
    let declares =
        |first: u8, length: u64| [&[first, 127], length.to_be_bytes().as_slice()].concat();
    refused(Upstream, &declares(0x82, 100_001), Rule::FrameSize, 0, 9);
    refused(Upstream, &declares(0x01, 1 << 62), Rule::FrameSize, 0, 9);
    let largest = declares(0x82, 100_000);
    let outcome = pass(Upstream, &largest, &[1], &ample());
    assert_eq!((outcome.violation, outcome.released), (None, largest));
    let first = frame(Upstream, 0x02, &LONG[..60_000]);
    let at = first.len();
    let too_big = [first.clone(), declares(0x00, 90_001)].concat();
    refused(Upstream, &too_big, Rule::ReplySize, at, at + 9);
    let just = [first, declares(0x80, 90_000)].concat();
    let outcome = pass(Upstream, &just, &[just.len()], &ample());
    assert_eq!(outcome.violation, None, "150,000 bytes are allowed");
    assert_eq!(outcome.released, just, "the header goes on once it was judged");
}

#[test]
fn sums_do_not_overflow() {
    let limits = FrameLimits {
        max_frame_size: u64::MAX,
        max_message_size: i64::MAX as u64,
        max_fragments: u32::MAX,
        max_inflation_ratio: None,
    };
    let huge = [&[0x00, 127], i64::MAX.to_be_bytes().as_slice()].concat();
    let stream = [frame(Upstream, 0x02, b"x"), huge].concat();
    let mut gate = Gate::new(Upstream, limits, OWN_PING);
    let outcome = pass_on(&mut gate, &stream, &[stream.len()], &ample());
    assert_eq!(outcome.violation.map(|violation| violation.rule), Some(Rule::ReplySize));
}

#[test]
fn fragments_are_counted() {
    let mut stream = frame(Upstream, 0x01, b"");
    for _ in 0..7 {
        stream.extend(frame(Upstream, 0x00, b""));
    }
    let eight = stream.len();
    stream.extend(frame(Upstream, 0x80, b""));
    refused(Upstream, &stream, Rule::Fragments, eight, eight + 1);
    stream[eight - 2] = 0x80;
    let outcome = accepted(Upstream, &stream[..eight]);
    assert_eq!(outcome.flow, Flow { frames: 8, messages: 1, bytes: 16 });
}

/// A message of one frame is one too many where none may be sent, and counts are per message.
#[test]
fn the_first_frame_counts_too() {
    let none = FrameLimits { max_fragments: 0, ..LIMITS };
    let small = FrameLimits { max_message_size: 4, ..LIMITS };
    let stream = frame(Upstream, 0x81, b"Hello");
    for (limits, rule) in [(none, Rule::Fragments), (small, Rule::ReplySize)] {
        let mut gate = Gate::new(Upstream, limits, OWN_PING);
        let outcome = pass_on(&mut gate, &stream, &[stream.len()], &ample());
        assert_eq!(outcome.violation.map(|violation| violation.rule), Some(rule));
        assert!(outcome.released.is_empty());
    }
    let mut gate = Gate::new(Upstream, small, OWN_PING);
    let stream = frames(Upstream, &[(0x81, b"1234"), (0x82, b"1234"), (0x89, b"12345")]);
    let outcome = pass_on(&mut gate, &stream, &[stream.len()], &ample());
    assert_eq!(outcome.violation, None, "each message by itself, and no control frame");
}
