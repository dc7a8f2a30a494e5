//! What is kept back, for how long, and against which budget.

use super::super::Rule;
use super::*;
use crate::values::Endpoint::{Client, Upstream};

/// The most that is held of a frame beyond the buffer that is not counted.
const COUNTED: usize = 12 * 1024;

/// 16 KiB with its header, the largest frame that is held.
fn largest_held(first: u8, fill: u8) -> Vec<u8> {
    let held = frame(Upstream, first, &vec![fill; 16 * 1024 - 4]);
    assert_eq!(held.len(), 16 * 1024);
    held
}

#[test]
fn a_whole_frame_is_released_straight_from_the_input() {
    let budget = HoldBudget::new(0);
    let mut gate = Gate::new(Upstream, LIMITS, OWN_PING);
    let input = frames(Upstream, &[(0x81, b"Hello"), (0x89, b""), (0x81, b"Hello")]);
    let judged = gate.judge(&input, &budget);
    assert_eq!(judged.consumed, input.len());
    assert!(judged.release[0].is_empty());
    assert!(std::ptr::eq(judged.release[1], input.as_slice()), "one slice, not copied");
    assert_eq!(gate.flow(), Flow { frames: 3, messages: 2, bytes: 16 });
}

#[test]
fn a_partial_frame_is_held_until_it_is_complete() {
    let budget = ample();
    let mut gate = Gate::new(Client, LIMITS, OWN_PING);
    let one = frame(Client, 0x81, b"one");
    let stream = [one.clone(), one.clone(), one[..5].to_vec()].concat();
    let judged = gate.judge(&stream[..4], &budget);
    assert_eq!((judged.consumed, judged.release.concat().len()), (4, 0));
    let judged = gate.judge(&stream[4..], &budget);
    assert_eq!(judged.release, [&stream[..4], &stream[4..18]]);
    assert_eq!(judged.consumed, 14, "the buffer is taken, so the rest has to wait");
    let judged = gate.judge(&stream[18..], &budget);
    assert_eq!((judged.consumed, judged.release.concat().len()), (5, 0));
    assert!(gate.in_frame() && gate.released_boundary());
}

#[test]
fn frames_up_to_16_kib_are_released_whole_or_not_at_all() {
    let mut stream = largest_held(0x81, b'x');
    let last = stream.len() - 1;
    let outcome = pass(Upstream, &stream[..last], &[1000], &ample());
    assert!(outcome.released.is_empty() && outcome.boundary);
    stream[last] = 0xff;
    let outcome = pass(Upstream, &stream, &[1000], &ample());
    assert!(outcome.released.is_empty() && outcome.boundary);
    assert_eq!(outcome.violation.map(|violation| violation.offset), Some(last as u64));
}

#[test]
fn frames_above_16_kib_are_cut_through() {
    let mut stream = frame(Upstream, 0x81, &vec![b'x'; 16 * 1024 - 3]);
    let outcome = pass(Upstream, &stream[..3], &[1], &ample());
    assert!(outcome.released.is_empty(), "not before the header was judged");
    let outcome = pass(Upstream, &stream[..100], &[7], &ample());
    assert_eq!(outcome.released, &stream[..100]);
    assert!(!outcome.boundary);
    stream[9_000] = 0xff;
    for read in [1, 4096, stream.len()] {
        let outcome = pass(Upstream, &stream, &[read], &ample());
        assert_eq!(outcome.released, &stream[..9_000], "in reads of {read}");
        assert!(!outcome.boundary, "the frame on the other side stays unfinished");
        let rule = outcome.violation.map(|violation| (violation.rule, violation.offset));
        assert_eq!(rule, Some((Rule::Text, 9_000)));
    }
}

#[test]
fn a_large_text_that_ends_inside_a_character() {
    let text = [&vec![b'x'; 20_000], "€".as_bytes().split_last().expect("bytes").1].concat();
    let stream = frame(Client, 0x81, &text);
    for read in [1, 999, stream.len()] {
        let outcome = pass(Client, &stream, &[read], &ample());
        assert_eq!(outcome.released, &stream[..stream.len() - 1]);
        assert_eq!(outcome.flow, Flow { frames: 0, messages: 0, bytes: stream.len() as u64 - 1 });
        assert!(!outcome.boundary);
    }
}

#[test]
fn frames_beyond_the_budget_are_cut_through() {
    let stream = largest_held(0x82, 0);
    let none = HoldBudget::new(0);
    let outcome = pass(Upstream, &stream[..5000], &[5000], &none);
    assert_eq!(outcome.released, &stream[..5000]);
    assert!(!outcome.boundary);
    let outcome = pass(Upstream, &stream[..5000], &[4000, 1000], &none);
    assert_eq!(outcome.released, &stream[..5000], "what was held goes on as well");
    let outcome = pass(Upstream, &stream, &[1], &HoldBudget::new(1_000));
    assert_eq!((outcome.released, outcome.violation), (stream.clone(), None));
    let outcome = pass(Upstream, &stream, &[stream.len()], &none);
    assert_eq!(outcome.released, stream, "a frame that is there needs no buffer");
}

#[test]
fn small_frames_are_held_whatever_the_budget() {
    let none = HoldBudget::new(0);
    let mut stream = frame(Client, 0x81, &[b'x'; 4088]);
    assert_eq!(stream.len(), 4096);
    let last = stream.len() - 1;
    stream[last] = 0xff;
    for read in [1, 1000, last] {
        let outcome = pass(Client, &stream, &[read], &none);
        assert!(outcome.released.is_empty() && outcome.violation.is_some() && outcome.boundary);
    }
}

#[test]
fn control_frames_are_held_whatever_the_budget() {
    let none = HoldBudget::new(0);
    for (sender, first) in [(Client, 0x89), (Upstream, 0x8a), (Client, 0x88)] {
        let payload = [b"\x03\xe8".as_slice(), &[b'x'; 123]].concat();
        let stream = frame(sender, first, &payload);
        let last = stream.len() - 1;
        for read in [1, 50, last] {
            let outcome = pass(sender, &stream[..last], &[read], &none);
            assert!(outcome.released.is_empty() && outcome.boundary);
            let outcome = pass(sender, &stream, &[read], &none);
            assert_eq!(outcome.released, stream);
        }
    }
}

#[test]
fn the_budget_counts_received_bytes_not_declared_ones() {
    let budget = HoldBudget::new(COUNTED);
    let stream = largest_held(0x82, 0);
    let mut gate = Gate::new(Upstream, LIMITS, OWN_PING);
    pass_on(&mut gate, &stream[..4096], &[200], &budget);
    assert_eq!(budget.left(), COUNTED);
    pass_on(&mut gate, &stream[4096..5000], &[300], &budget);
    assert_eq!(budget.left(), COUNTED - 4096);
    pass_on(&mut gate, &stream[5000..16_000], &[1000], &budget);
    assert_eq!(budget.left(), 0);
}

#[test]
fn a_released_frame_returns_its_budget() {
    let budget = HoldBudget::new(COUNTED);
    let stream = largest_held(0x82, 0);
    let mut gate = Gate::new(Upstream, LIMITS, OWN_PING);
    let (most, last) = stream.split_at(stream.len() - 1);
    assert!(pass_on(&mut gate, most, &[1000], &budget).released.is_empty());
    gate.release_memory();
    assert_eq!(budget.left(), 0, "a frame is held, so its buffer stays");
    assert_eq!(pass_on(&mut gate, last, &[1], &budget).released, stream);
    assert_eq!(budget.left(), 0, "the buffer is kept for the next frame");
    gate.release_memory();
    assert_eq!(budget.left(), COUNTED);
    pass_on(&mut gate, most, &[1000], &budget);
    drop(gate);
    assert_eq!(budget.left(), COUNTED);
}

#[test]
fn a_budget_in_use_by_one_session_cuts_through_another() {
    let budget = HoldBudget::new(COUNTED);
    let stream = largest_held(0x82, 0);
    let mut first = Gate::new(Upstream, LIMITS, OWN_PING);
    assert!(pass_on(&mut first, &stream[..9_000], &[9_000], &budget).released.is_empty());
    let second = pass(Upstream, &stream[..9_000], &[9_000], &budget);
    assert_eq!(second.released.len(), 9_000);
    drop(first);
    let third = pass(Upstream, &stream[..9_000], &[9_000], &budget);
    assert!(third.released.is_empty());
}

#[test]
fn pongs_to_the_gateways_pings_are_removed() {
    for sender in [Client, Upstream] {
        let before = frame(sender, 0x81, b"before");
        let after = frames(sender, &[(0x8a, b"ownping?"), (0x8a, b"ownping"), (0x8a, b"")]);
        let pong = frame(sender, 0x8a, &OWN_PING);
        let stream = [before.as_slice(), &pong, &after].concat();
        for read in 1..=stream.len() {
            let outcome = pass(sender, &stream, &[read], &HoldBudget::new(0));
            assert_eq!(outcome.released, [before.as_slice(), &after].concat());
            assert_eq!(outcome.own_pongs, [before.len()]);
            assert_eq!((outcome.flow.frames, outcome.activity), (4, 1));
            assert_eq!(outcome.flow.bytes, outcome.released.len() as u64);
            assert_eq!(outcome.consumed, stream.len());
        }
    }
}

#[test]
fn a_ping_with_the_gateways_payload_is_forwarded() {
    let stream = frame(Upstream, 0x89, &OWN_PING);
    let outcome = pass(Upstream, &stream, &[1], &ample());
    assert_eq!((outcome.released, outcome.own_pongs.len(), outcome.activity), (stream, 0, 1));
}
