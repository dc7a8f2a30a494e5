//! The message by which a client hands in a new token.

use super::super::{Endpoint, Event, Gate, HoldBudget};
use super::{LIMITS, frame};
use crate::observe::Flow;

const HANDOVER: &str = r#"{"framewall": {"token": "a.b.c"}}"#;

fn gate() -> Gate {
    let mut gate = Gate::new(Endpoint::Client, LIMITS, *b"ownping!");
    gate.expect_token("framewall".into());
    gate
}

/// What is released of `stream`, cut in two at `cut`, and the tokens in it.
fn released(gate: &mut Gate, stream: &[u8], cut: usize) -> (Vec<u8>, Vec<String>) {
    let budget = HoldBudget::new(1 << 20);
    let (mut released, mut tokens) = (Vec::new(), Vec::new());
    for part in [&stream[..cut], &stream[cut..]] {
        let mut rest = part;
        while !rest.is_empty() {
            let judged = gate.judge(rest, &budget);
            released.extend(judged.release.concat());
            rest = &rest[judged.consumed..];
            if let Some(Event::Token(token)) = judged.event {
                tokens.push(token);
            }
        }
    }
    (released, tokens)
}

#[test]
fn it_is_taken_out_of_the_stream_however_it_is_cut() {
    let before = frame(Endpoint::Client, 0x81, b"before");
    let handover = frame(Endpoint::Client, 0x81, HANDOVER.as_bytes());
    let after = frame(Endpoint::Client, 0x82, b"after");
    let stream = [before.as_slice(), &handover, &after].concat();
    for cut in 0..=stream.len() {
        let mut gate = gate();
        let (released, tokens) = released(&mut gate, &stream, cut);
        assert_eq!(released, [before.as_slice(), &after].concat(), "{cut}");
        assert_eq!(tokens, ["a.b.c"], "{cut}");
        assert_eq!(gate.message_begun(), None);
        let bytes = released.len() as u64;
        assert_eq!(gate.flow(), Flow { frames: 2, messages: 2, bytes }, "what was passed on");
        let budget = HoldBudget::new(1 << 20);
        gate.judge(&before[..1], &budget);
        assert_eq!(gate.message_begun(), Some(4), "each message has a number of its own");
    }
}

#[test]
fn other_messages_are_the_applications() {
    let fragments = [
        frame(Endpoint::Client, 0x01, &HANDOVER.as_bytes()[..10]),
        frame(Endpoint::Client, 0x80, b"{}"),
    ];
    for stream in [
        frame(Endpoint::Client, 0x82, HANDOVER.as_bytes()),
        frame(Endpoint::Client, 0x81, br#"{"framewall": 1}"#),
        frame(Endpoint::Client, 0x89, b"ping"),
        fragments.concat(),
    ] {
        let (released, tokens) = released(&mut gate(), &stream, stream.len());
        assert_eq!((released, tokens), (stream, Vec::new()));
    }
}

#[test]
fn without_a_form_nothing_is_looked_for() {
    let mut gate = Gate::new(Endpoint::Client, LIMITS, *b"ownping!");
    let stream = frame(Endpoint::Client, 0x81, HANDOVER.as_bytes());
    let (released, tokens) = released(&mut gate, &stream, 3);
    assert_eq!((released, tokens), (stream, Vec::new()));
}
