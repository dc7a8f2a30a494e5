//! The first message, where it holds the token.

use std::time::Duration;

use tokio::time::Instant;

use super::super::{FirstMessage, FirstMessageEvent, FirstMessageReader, HoldBudget, Opcode, Rule};
use super::{LIMITS, frame};
use crate::values::{Endpoint, Rate, Reason};

const LONGEST: usize = 9 * 1024;

fn client(first: u8, payload: &[u8]) -> Vec<u8> {
    frame(Endpoint::Client, first, payload)
}

/// What `stream` comes to, cut in two at `cut`, pings left out; and how many pings there were.
fn opened(stream: &[u8], cut: usize) -> (Option<FirstMessageEvent>, usize) {
    opened_within(None, stream, cut)
}

fn reader(
    control_frames: Option<Rate>,
    accepted: Option<Opcode>,
    budget: HoldBudget,
) -> FirstMessageReader {
    let (sender, now) = (Endpoint::Client, Instant::now());
    FirstMessageReader::new(sender, LIMITS, control_frames, LONGEST, accepted, budget, now)
}

#[test]
fn only_the_accepted_kind_opens() {
    for (frame, accepted, opens) in [
        (client(0x81, b"x"), Opcode::Text, true),
        (client(0x82, b"x"), Opcode::Text, false),
        (client(0x81, b"x"), Opcode::Binary, false),
        (client(0x82, b"x"), Opcode::Binary, true),
    ] {
        for (accepted, opens) in [(Some(accepted), opens), (None, true)] {
            let mut reader = reader(None, accepted, HoldBudget::new(1 << 20));
            reader.push(&frame, Instant::now());
            let event = reader.next(Instant::now());
            let message = matches!(event, Some(FirstMessageEvent::Message(_)));
            assert_eq!(message, opens, "{frame:?} {accepted:?}");
        }
    }
}

fn opened_within(
    control_frames: Option<Rate>,
    stream: &[u8],
    cut: usize,
) -> (Option<FirstMessageEvent>, usize) {
    let now = Instant::now();
    let budget = HoldBudget::new(1 << 20);
    let mut reader = reader(control_frames, Some(Opcode::Text), budget);
    let mut pings = 0;
    for part in [&stream[..cut], &stream[cut..]] {
        reader.push(part, now);
        while let Some(opened) = reader.next(now) {
            match opened {
                FirstMessageEvent::Ping(payload) => {
                    assert_eq!(*payload, *b"ping");
                    pings += 1;
                }
                other => return (Some(other), pings),
            }
        }
    }
    (None, pings)
}

#[test]
fn a_fragmented_first_message_is_assembled_at_every_cut() {
    let fragments = [client(0x01, "tok\u{e9}".as_bytes()), client(0x80, b"en")];
    let [ping, answer, after] =
        [client(0x89, b"ping"), client(0x8a, b"pong"), client(0x82, b"after")];
    let stream = [&fragments[0][..], &ping, &answer, &fragments[1], &after].concat();
    for cut in 0..stream.len() {
        let (Some(FirstMessageEvent::Message(message)), pings) = opened(&stream, cut) else {
            panic!("a message expected, cut at {cut}");
        };
        let FirstMessage { opcode, payload, frames, rest, .. } = message;
        assert_eq!(
            (opcode, payload.as_slice(), pings),
            (Opcode::Text, "tok\u{e9}en".as_bytes(), 1)
        );
        assert_eq!(frames, fragments.concat());
        assert!(after.starts_with(&rest), "{cut}");
    }
}

#[test]
fn a_first_message_above_its_bound_is_refused_at_its_header() {
    let large = vec![b'a'; LONGEST + 1];
    let header = &client(0x81, &large)[..8];
    assert!(matches!(opened(header, 3).0, Some(FirstMessageEvent::Refused(Reason::MessageTooBig))));
    let half = vec![b'a'; LONGEST / 2 + 1];
    let stream = [client(0x01, &half), client(0x80, &half)].concat();
    assert!(matches!(
        opened(&stream, 9).0,
        Some(FirstMessageEvent::Refused(Reason::MessageTooBig))
    ));
    let fits = client(0x81, &large[1..]);
    assert!(matches!(opened(&fits, 9).0, Some(FirstMessageEvent::Message(_))));
}

#[test]
fn other_first_frames_are_refused_closed_or_violations() {
    assert!(matches!(
        opened(&client(0x82, b"bytes"), 1).0,
        Some(FirstMessageEvent::Refused(Reason::TokenInvalid))
    ));
    assert!(matches!(opened(&client(0x88, b""), 1).0, Some(FirstMessageEvent::Closed)));
    let Some(FirstMessageEvent::Violation(violation)) = opened(b"\x81\x01a", 1).0 else {
        panic!("a violation expected");
    };
    assert_eq!(violation.rule, Rule::ClientUnmasked);
    assert!(opened(&client(0x81, b"half")[..7], 3).0.is_none());
}

/// A reader that has read this much of a first message of 9,000 bytes, in reads of 500.
fn half_opened(read: usize, budget: &HoldBudget) -> Option<FirstMessageReader> {
    let now = Instant::now();
    let mut reader = reader(None, Some(Opcode::Text), budget.clone());
    let message = client(0x81, &[b'a'; 9000]);
    for part in message[..read].chunks(500) {
        reader.push(part, now);
        match reader.next(now) {
            None => {}
            Some(FirstMessageEvent::Refused(Reason::Capacity)) => return None,
            Some(other) => panic!("it is not whole: {other:?}"),
        }
    }
    Some(reader)
}

#[test]
fn a_first_message_takes_its_budget_once() {
    let total = 1 << 20;
    for (read, taken) in [(4096, 0), (4097, 4096), (8192, 4096), (8999, 12 * 1024)] {
        let budget = HoldBudget::new(total);
        let reader = half_opened(read, &budget).expect("there is room");
        assert_eq!(total - budget.left(), taken, "{read} bytes");
        drop(reader);
        assert_eq!(budget.left(), total);
    }
}

#[test]
fn a_first_message_returns_its_budget_after_use() {
    let budget = HoldBudget::new(1 << 20);
    let mut reader = half_opened(8999, &budget).expect("there is room");
    reader.push(&client(0x81, &[b'a'; 9000])[8999..], Instant::now());
    let Some(FirstMessageEvent::Message(message)) = reader.next(Instant::now()) else {
        panic!("a message expected");
    };
    drop(reader);
    assert_eq!((1 << 20) - budget.left(), 12 * 1024, "it is still held");
    drop(message);
    assert_eq!(budget.left(), 1 << 20);
}

#[test]
fn a_token_of_usual_length_needs_no_budget() {
    let none = HoldBudget::new(0);
    assert!(half_opened(4096, &none).is_some());
    assert!(half_opened(4097, &none).is_none());
}

#[test]
fn pings_have_a_rate_before_the_first_message_too() {
    let rate = Rate { count: 1, per: Duration::from_secs(60), burst: 2 };
    let ping = client(0x89, b"ping");
    let (none, pings) = opened_within(Some(rate), &ping.repeat(2), 1);
    assert!(none.is_none() && pings == 2);
    let (over, pings) = opened_within(Some(rate), &ping.repeat(3), 1);
    assert!(matches!(over, Some(FirstMessageEvent::Refused(Reason::LimitControl))), "{over:?}");
    assert_eq!(pings, 2);
}

#[test]
fn violations_are_reported_at_the_first_invalid_byte() {
    let large = vec![b'a'; LONGEST + 1];
    let broken = [
        (client(0xc1, &large), 2, Rule::ReservedBits),
        (client(0x83, &large), 2, Rule::ReservedOpcode),
        (client(0x89, &large), 2, Rule::ControlLength),
        (client(0x80, b"alone"), 2, Rule::ContinuationAlone),
        (client(0x81, b"tok\xc3\x28en"), 11, Rule::Text),
        ([client(0x01, b"tok\xc3"), client(0x80, b"\x28en")].concat(), 17, Rule::Text),
    ];
    for (stream, enough, rule) in broken {
        for cut in 0..=enough {
            let Some(FirstMessageEvent::Violation(violation)) = opened(&stream[..enough], cut).0
            else {
                panic!("{rule:?} expected, cut at {cut}");
            };
            assert_eq!(violation.rule, rule);
        }
        assert!(opened(&stream[..enough - 1], 0).0.is_none(), "{rule:?}");
    }
}
