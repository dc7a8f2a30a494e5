//! The message by which a client hands in a new token.

use super::super::{Gate, GateEvent, HoldBudget};
use super::{LIMITS, frame};
use crate::values::{Endpoint, Flow, Reason};

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
            if let Some(GateEvent::Token(token)) = judged.event {
                tokens.push(token);
            }
        }
    }
    (released, tokens)
}

#[test]
fn a_token_message_is_removed_at_every_cut() {
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

/// What a stream comes to when it is read in pieces of this many bytes: what was released, and the
/// last event.
fn judged(stream: &[u8], read: usize, budget: &HoldBudget) -> (Vec<u8>, Option<GateEvent>) {
    let mut gate = gate();
    let mut released = Vec::new();
    for mut part in stream.chunks(read) {
        while !part.is_empty() {
            let judged = gate.judge(part, budget);
            released.extend(judged.release.concat());
            part = &part[judged.consumed..];
            if judged.event.is_some() {
                return (released, judged.event);
            }
        }
    }
    (released, None)
}

const READS: [usize; 5] = [1, 3, 1000, 5000, 100_000];

#[test]
fn malformed_token_messages_are_removed_too() {
    for message in [
        r#"{"framewall": {"token": "a", "x": 1}}"#,
        r#"{"framewall": {"token": "a"}, "x": 1}"#,
        r#"{"framewall": {"token": "a"}, "framewall": {"token": "b"}}"#,
        r#"{"framewall": {"token": "a"}} x"#,
        r#"{"framewall": {"token": "a"#,
    ] {
        let stream = frame(Endpoint::Client, 0x81, message.as_bytes());
        for cut in 0..=stream.len() {
            let outcome = released(&mut gate(), &stream, cut);
            assert_eq!(outcome, (Vec::new(), vec![String::new()]), "{message}, {cut}");
        }
    }
}

#[test]
fn a_fragmented_token_ends_the_session_before_any_byte_is_forwarded() {
    let value = HANDOVER.find("a.b.c").expect("a token");
    let ping = frame(Endpoint::Client, 0x89, b"");
    for cut in 0..HANDOVER.len() {
        let (first, second) = HANDOVER.as_bytes().split_at(cut);
        let first = frame(Endpoint::Client, 0x01, first);
        let stream = [&first[..], &ping, &frame(Endpoint::Client, 0x80, second)].concat();
        for read in READS {
            let (released, event) = judged(&stream, read, &HoldBudget::new(1 << 20));
            assert_eq!(event, Some(GateEvent::Refused(Reason::MessageFragments)));
            // Fragments before the value hold none of it.
            let before = if cut < value { [&first[..], &ping].concat() } else { Vec::new() };
            assert_eq!(released, before, "{cut}");
        }
    }
}

#[test]
fn a_token_in_a_message_above_16_kib_ends_the_session() {
    let member = HANDOVER.split_once("a.b.c").expect("a token").0;
    let blanks = " ".repeat(17_000);
    for (text, most) in [
        (format!("{member}{}", "x".repeat(17_000)), 16 * 1024),
        (format!("{blanks}{HANDOVER}"), 17_000),
        (blanks.clone(), 17_000),
    ] {
        let stream = frame(Endpoint::Client, 0x81, text.as_bytes());
        for read in READS {
            let (released, event) = judged(&stream, read, &HoldBudget::new(1 << 20));
            assert_eq!(event, Some(GateEvent::Refused(Reason::MessageTooBig)));
            assert_eq!(released, b"", "in reads of {read}");
        }
        // The bytes that prove it are enough.
        let (_, event) = judged(&stream[..most.min(stream.len())], 999, &HoldBudget::new(1 << 20));
        assert_eq!(event, Some(GateEvent::Refused(Reason::MessageTooBig)));
    }
}

#[test]
fn a_token_without_budget_ends_the_session() {
    let long = HANDOVER.replace("a.b.c", &"x".repeat(9_000));
    let blanks = format!("{}{HANDOVER}", " ".repeat(9_000));
    for text in [long, blanks] {
        let stream = frame(Endpoint::Client, 0x81, text.as_bytes());
        for read in [1, 3, 1000, 5000] {
            let (released, event) = judged(&stream, read, &HoldBudget::new(0));
            assert_eq!((released, event), (Vec::new(), Some(GateEvent::Refused(Reason::Capacity))));
        }
        let (_, event) = judged(&stream, stream.len(), &HoldBudget::new(0));
        assert!(matches!(event, Some(GateEvent::Token(_))), "a frame that is there needs no room");
    }
    let small = HANDOVER.replace("a.b.c", &"x".repeat(4_000));
    let stream = frame(Endpoint::Client, 0x81, small.as_bytes());
    for read in READS {
        let (released, event) = judged(&stream, read, &HoldBudget::new(0));
        assert_eq!((released, event), (Vec::new(), Some(GateEvent::Token("x".repeat(4_000)))));
    }
}

#[test]
fn ordinary_messages_pass_at_every_size_and_budget() {
    for start in [
        "",
        "{",
        "{\"",
        "{\"framewall\"",
        "{\"framewall\":{\"x\":\"",
        "[\"framewall\"",
        "  {\"a\":",
    ] {
        let text = format!("{start}-{}", "x".repeat(20_000));
        let whole = frame(Endpoint::Client, 0x81, text.as_bytes());
        let binary = frame(Endpoint::Client, 0x82, HANDOVER.repeat(600).as_bytes());
        let (first, second) = text.as_bytes().split_at(start.len());
        let fragments = [
            frame(Endpoint::Client, 0x01, first),
            frame(Endpoint::Client, 0x00, b""),
            frame(Endpoint::Client, 0x80, second),
        ];
        for stream in [whole, binary, fragments.concat()] {
            for (read, room) in READS.into_iter().flat_map(|read| [(read, 0), (read, 1 << 20)]) {
                let outcome = judged(&stream, read, &HoldBudget::new(room));
                assert!(outcome == (stream.clone(), None), "{start}, in reads of {read}");
            }
        }
    }
}

#[test]
fn the_place_of_a_refusal_does_not_depend_on_reads() {
    let text = format!("{{\"a\":\"{}", "x".repeat(20_000));
    for bad in [1, 2, 3, 1000, 19_000] {
        let mut stream = frame(Endpoint::Client, 0x81, text.as_bytes());
        stream[8 + bad] = 0xff ^ super::KEY[bad % 4];
        let outcomes: Vec<_> = READS
            .into_iter()
            .map(|read| judged(&stream, read, &HoldBudget::new(1 << 20)))
            .collect();
        let (released, event) = &outcomes[0];
        assert!(matches!(event, Some(GateEvent::Violation(_))));
        // Up to `{"a` it could be a token.
        let expected = if bad < 3 { 0 } else { 8 + bad };
        assert_eq!(released.len(), expected);
        assert!(outcomes.iter().all(|outcome| *outcome == outcomes[0]), "{bad}");
    }
}

#[test]
fn other_messages_are_forwarded() {
    let fragments = [
        frame(Endpoint::Client, 0x01, &HANDOVER.as_bytes()[..10]),
        frame(Endpoint::Client, 0x80, b"{}"),
    ];
    for stream in [
        frame(Endpoint::Client, 0x82, HANDOVER.as_bytes()),
        frame(Endpoint::Client, 0x81, br#"{"framewall": 1}"#),
        frame(Endpoint::Client, 0x81, br#"{"framewall": ["a.b.c"]}"#),
        frame(Endpoint::Client, 0x81, br#"["framewall", ["a.b.c"]]"#),
        frame(Endpoint::Client, 0x89, b"ping"),
        fragments.concat(),
    ] {
        let (released, tokens) = released(&mut gate(), &stream, stream.len());
        assert_eq!((released, tokens), (stream, Vec::new()));
    }
}

#[test]
fn without_refresh_no_message_is_inspected() {
    let mut gate = Gate::new(Endpoint::Client, LIMITS, *b"ownping!");
    let stream = frame(Endpoint::Client, 0x81, HANDOVER.as_bytes());
    let (released, tokens) = released(&mut gate, &stream, 3);
    assert_eq!((released, tokens), (stream, Vec::new()));
}
