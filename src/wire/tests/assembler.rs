//! Messages that are held until they are judged: released as they came or not at all, however they are cut.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;

use super::super::{
    AboveRate, Allowance, ClientRates, Context, Gate, GateEvent, HoldBudget, Judgement,
    MOST_OBSERVED, MessageFollower, MessageJudge, MessageObserver, ObservedMessage, Opcode,
    Outcome,
};
use super::deflater::Deflater;
use crate::values::{Endpoint, Rate, Reason};
use crate::wire::FrameLimits;

/// Refuses every message that contains an `x`; keeps what it has seen. A message that ends with `+` awaits the next.
#[derive(Debug, Clone, Default)]
struct NoX(Arc<Mutex<Vec<Vec<u8>>>>);

impl MessageJudge for NoX {
    fn judge(&mut self, _: bool, payload: &[u8], _: Instant) -> Option<Box<Judgement>> {
        self.0.lock().unwrap().push(payload.to_vec());
        payload.contains(&b'x').then(|| {
            let (reason, detail) = (Reason::MessagePattern, String::new());
            Box::new(Judgement { reason, detail, outcome: Outcome::Drop })
        })
    }

    fn awaits_next(&self) -> bool {
        self.0.lock().unwrap().last().is_some_and(|last| last.ends_with(b"+"))
    }

    fn max_size(&self) -> u64 {
        64 * 1024
    }
}

const LIMITS: FrameLimits = FrameLimits {
    max_frame_size: 1 << 20,
    max_message_size: 1 << 20,
    max_fragments: FrameLimits::ANY_NUMBER,
    max_inflation_ratio: None,
};

fn gate(judge: &NoX, budget: &HoldBudget) -> Gate {
    let mut gate = Gate::new(Endpoint::Client, LIMITS, [7; 8]);
    gate.judge_messages(Some(Box::new(judge.clone())), budget, Instant::now());
    gate
}

fn frame(opcode: u8, fin: bool, payload: &[u8]) -> Vec<u8> {
    let key = [1, 2, 3, 4];
    let mut frame = vec![opcode | u8::from(fin) << 7];
    match u8::try_from(payload.len()) {
        Ok(length) if length < 126 => frame.push(0x80 | length),
        _ => {
            frame.push(0xfe);
            frame.extend_from_slice(&u16::try_from(payload.len()).unwrap().to_be_bytes());
        }
    }
    frame.extend_from_slice(&key);
    frame.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// Judges a stream that is read in pieces of these sizes; returns what is released, and the number of refused messages.
fn pass(gate: &mut Gate, budget: &HoldBudget, sent: &[u8], cuts: &[usize]) -> (Vec<u8>, usize) {
    let (mut released, mut dropped) = (Vec::new(), 0);
    let mut cuts = cuts.iter().cycle();
    let mut stream = sent;
    while !stream.is_empty() {
        let (mut input, rest) = stream.split_at(stream.len().min(*cuts.next().unwrap()));
        stream = rest;
        while !input.is_empty() {
            let judged = gate.judge(input, budget);
            released.extend(judged.release.concat());
            input = &input[judged.consumed..];
            match judged.event {
                None | Some(GateEvent::Dropped) => {}
                Some(GateEvent::Judged(_)) => dropped += 1,
                other => panic!("{other:?}"),
            }
        }
    }
    (released, dropped)
}

/// A message in fragments, with pings between them.
#[derive(Debug, Clone)]
struct Message {
    fragments: Vec<(Vec<u8>, bool)>,
}

impl Message {
    fn payload(&self) -> Vec<u8> {
        self.fragments.iter().flat_map(|(payload, _)| payload.clone()).collect()
    }

    fn data(&self) -> Vec<Vec<u8>> {
        let last = self.fragments.len() - 1;
        let frames = self
            .fragments
            .iter()
            .enumerate()
            .map(|(index, (payload, _))| frame(u8::from(index == 0), index == last, payload));
        frames.collect()
    }
}

fn messages() -> impl Strategy<Value = Vec<Message>> {
    let size = prop_oneof![9 => 0..200_usize, 1 => 15_000..25_000_usize];
    let payload = (size, any::<bool>()).prop_map(|(size, bad)| {
        let mut payload = vec![b'a'; size];
        if bad && let Some(byte) = payload.get_mut(size / 2) {
            *byte = b'x';
        }
        payload
    });
    let message = prop::collection::vec((payload, any::<bool>()), 1..4);
    prop::collection::vec(message.prop_map(|fragments| Message { fragments }), 1..6)
        .prop_filter("within max_size", |all| all.iter().all(|one| one.payload().len() < 64 * 1024))
}

proptest! {
    #[test]
    fn what_is_released_does_not_depend_on_cuts(
        messages in messages(),
        cuts in prop::collection::vec(1..40_000_usize, 1..20),
    ) {
        let (mut sent, mut expected, mut pings) = (Vec::new(), Vec::new(), 0);
        for message in &messages {
            let bad = message.payload().contains(&b'x');
            for (data, (_, ping)) in message.data().into_iter().zip(&message.fragments) {
                sent.extend(&data);
                if !bad {
                    expected.push(data);
                }
                if *ping {
                    sent.extend(frame(9, true, b"p"));
                    pings += 1;
                }
            }
        }
        let (judge, budget) = (NoX::default(), HoldBudget::new(1 << 20));
        let mut gate = gate(&judge, &budget);
        let (released, dropped) = pass(&mut gate, &budget, &sent, &cuts);
        let bad = |message: &&Message| message.payload().contains(&b'x');
        prop_assert_eq!(dropped, messages.iter().filter(bad).count());
        // Pings may pass between held fragments; the data frames are released in their order.
        let (data, found) = split(&released);
        prop_assert_eq!(data, expected);
        prop_assert_eq!(found, pings);
        let seen: Vec<_> = judge.0.lock().unwrap().clone();
        prop_assert_eq!(seen, messages.iter().map(Message::payload).collect::<Vec<_>>());
        let good = messages.len() - dropped;
        prop_assert_eq!(gate.flow().messages, good as u64);
        prop_assert_eq!(gate.flow().bytes, released.len() as u64);
        gate.release_memory();
        drop(gate);
        prop_assert_eq!(budget.left(), 1 << 20, "every byte of the budget is given back");
    }
}

/// A text, whether it is compressed, and where it is cut into fragments.
fn texts() -> impl Strategy<Value = Vec<(String, bool, Vec<prop::sample::Index>)>> {
    let text = prop_oneof!["[a-fx ]{0,40}", "[a-f]{0,40}x?", "(abc){0,4000}x?"];
    let cuts = prop::collection::vec(any::<prop::sample::Index>(), 0..4);
    prop::collection::vec((text, any::<bool>(), cuts), 1..6)
}

/// The frames of a message whose payload is cut at `cuts`.
fn fragments(payload: &[u8], compressed: bool, cuts: &[prop::sample::Index]) -> Vec<Vec<u8>> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(payload.len() + 1)).collect();
    cuts.extend([0, payload.len()]);
    cuts.sort_unstable();
    let last = cuts.len() - 2;
    let frames = cuts.windows(2).enumerate().map(|(index, ends)| {
        let mut frame = frame(u8::from(index == 0), index == last, &payload[ends[0]..ends[1]]);
        if compressed && index == 0 {
            frame[0] |= 0x40;
        }
        frame
    });
    frames.collect()
}

proptest! {
    /// A message is judged by its text, whether it is compressed or not and however it is cut into fragments and reads.
    #[test]
    fn the_verdict_does_not_depend_on_compression(
        texts in texts(),
        takes_over: bool,
        cuts in prop::collection::vec(1..400_usize, 1..20),
    ) {
        let (judge, budget) = (NoX::default(), HoldBudget::new(1 << 20));
        let mut gate = gate(&judge, &budget);
        gate.inflate(if takes_over { Context::TakenOver(15) } else { Context::Anew });
        let mut deflater = Deflater::new(15, takes_over);
        let (mut sent, mut expected) = (Vec::new(), Vec::new());
        for (text, compressed, cuts) in &texts {
            let payload = match compressed {
                true => deflater.message(text.as_bytes()),
                false => text.clone().into_bytes(),
            };
            let frames = fragments(&payload, *compressed, cuts);
            sent.extend(frames.concat());
            if !text.contains('x') {
                expected.extend(frames.concat());
            }
        }
        let (released, dropped) = pass(&mut gate, &budget, &sent, &cuts);
        let seen = judge.0.lock().unwrap().clone();
        let wanted: Vec<_> = texts.iter().map(|(text, ..)| text.clone().into_bytes()).collect();
        prop_assert_eq!(seen, wanted);
        prop_assert_eq!(dropped, texts.iter().filter(|(text, ..)| text.contains('x')).count());
        prop_assert_eq!(released, expected);
    }
}

/// The data frames, and the number of pings.
fn split(mut bytes: &[u8]) -> (Vec<Vec<u8>>, usize) {
    let (mut data, mut pings) = (Vec::new(), 0);
    while !bytes.is_empty() {
        let head = crate::wire::HeaderBytes::read(bytes);
        let size = head.size() + usize::try_from(head.declared()).unwrap();
        if head.opcode() == Opcode::Ping {
            pings += 1;
        } else {
            data.push(bytes[..size].to_vec());
        }
        bytes = &bytes[size..];
    }
    (data, pings)
}

#[test]
fn a_message_without_room_in_the_budget_ends_the_session() {
    let (judge, budget) = (NoX::default(), HoldBudget::new(8 * 1024));
    let mut gate = gate(&judge, &budget);
    let sent = frame(1, true, &vec![b'a'; 30_000]);
    let judged = gate.judge(&sent[..20_000], &budget);
    assert_eq!(judged.event, Some(GateEvent::Refused(Reason::Capacity)));
    assert!(judged.release.concat().is_empty());
}

#[test]
fn a_judge_that_is_taken_away_lets_the_message_in_progress_pass() {
    let (judge, budget) = (NoX::default(), HoldBudget::new(1 << 20));
    let mut gate = gate(&judge, &budget);
    let (first, last) = (frame(1, false, b"x"), frame(0, true, b"y"));
    assert_eq!(gate.judge(&first, &budget).event, Some(GateEvent::Dropped));
    gate.judge_messages(None, &budget, Instant::now());
    let judged = gate.judge(&last, &budget);
    assert_eq!((judged.event.clone(), judged.release.concat()), (None, [first, last].concat()));
    let next = frame(2, true, b"x");
    assert_eq!(gate.judge(&next, &budget).release.concat(), next);
}

/// The text of a message that a rate discards is not part of the next one.
#[test]
fn a_message_that_a_rate_discards_leaves_nothing_behind() {
    let (judge, budget) = (NoX::default(), HoldBudget::new(1 << 20));
    let mut gate = gate(&judge, &budget);
    gate.inflate(Context::Anew);
    let now = Instant::now();
    let rate = Rate { count: 1, per: Duration::from_secs(1), burst: 1 };
    let rates =
        ClientRates { messages: Some(rate), above: AboveRate::Drop, ..ClientRates::default() };
    gate.allow(Allowance::new(&rates, None, now));
    let mut deflater = Deflater::new(15, false);
    let mut packed = |text: &[u8]| {
        let mut frame = frame(1, true, &deflater.message(text));
        frame[0] |= 0x40;
        frame
    };
    gate.at(now);
    for text in [&b"one"[..], b"dropped x"] {
        let frame = packed(text);
        gate.judge(&frame, &budget);
    }
    gate.at(now + Duration::from_secs(2));
    let frame = packed(b"two");
    let judged = gate.judge(&frame, &budget);
    assert_eq!((judged.event.clone(), judged.release.concat()), (None, frame.clone()));
    assert_eq!(*judge.0.lock().unwrap(), [b"one".to_vec(), b"two".to_vec()]);
}

/// A text message begins a packet of so many messages as its first byte says.
#[derive(Debug, Default)]
struct Packets(u8);

impl MessageJudge for Packets {
    fn judge(&mut self, binary: bool, payload: &[u8], _: Instant) -> Option<Box<Judgement>> {
        self.begin(binary);
        self.read(payload);
        None
    }

    fn is_incomplete(&self) -> bool {
        self.0 > 0
    }

    fn max_size(&self) -> u64 {
        64 * 1024
    }
}

impl MessageFollower for Packets {
    fn begin(&mut self, binary: bool) {
        self.0 = if binary { self.0.saturating_sub(1) } else { u8::MAX };
    }

    fn read(&mut self, piece: &[u8]) {
        if let (u8::MAX, Some(first)) = (self.0, piece.first()) {
            self.0 = first - b'0';
        }
    }

    fn is_incomplete(&self) -> bool {
        self.0 > 0
    }
}

#[test]
fn the_messages_of_a_packet_are_in_progress_as_one() {
    let budget = HoldBudget::new(1 << 20);
    let now = Instant::now();
    let mut gate = Gate::new(Endpoint::Client, LIMITS, [7; 8]);
    gate.judge_messages(Some(Box::<Packets>::default()), &budget, now);
    let mut step = |bytes: &[u8]| {
        gate.judge(bytes, &budget);
        (gate.message_begun(), gate.awaits_message())
    };
    assert_eq!(step(&frame(1, true, b"0")), (None, false));
    assert_eq!(step(&frame(1, true, b"2")), (Some(2), true));
    assert_eq!(step(&frame(9, true, b"")), (Some(2), true));
    let (begin, end) = (frame(2, false, b"a"), frame(0, true, b"b"));
    assert_eq!(step(&begin), (Some(2), false));
    assert_eq!(step(&end), (Some(2), true));
    assert_eq!(step(&frame(2, true, b"")), (None, false));
    assert_eq!(step(&frame(1, true, b"1")), (Some(5), true));
    gate.judge_messages(None, &budget, now);
    assert_eq!(gate.message_begun(), None, "nobody knows of packets");
}

/// Also if the messages are compressed.
#[test]
fn a_follower_reads_along_with_what_is_forwarded() {
    let budget = HoldBudget::new(1 << 20);
    for compressed in [false, true] {
        let mut gate = Gate::new(Endpoint::Client, LIMITS, [7; 8]);
        gate.inflate(Context::Anew);
        gate.follow_messages(Some(Box::<Packets>::default()));
        let mut deflater = Deflater::new(15, false);
        let mut step = |opcode: u8, payload: &[u8]| {
            let bytes = if compressed {
                let mut frame = frame(opcode, true, &deflater.message(payload));
                frame[0] |= 0x40;
                frame
            } else {
                frame(opcode, true, payload)
            };
            // Every read ends within the frame, too.
            let mut released = Vec::new();
            for piece in bytes.chunks(7) {
                let judged = gate.judge(piece, &budget);
                assert_eq!((judged.consumed, &judged.event), (piece.len(), &None));
                released.extend(judged.release.concat());
            }
            assert_eq!(released, bytes);
            // As a reload does: a second follower does not replace the first.
            gate.judge_messages(None, &budget, Instant::now());
            gate.follow_messages(Some(Box::<Packets>::default()));
            gate.message_begun().is_some()
        };
        assert!(!step(1, b"0 and more"));
        assert!(step(1, b"2 and more"));
        assert!(step(2, b"an attachment"));
        assert!(!step(2, &vec![b'1'; 30_000]));
        assert!(!step(2, b"1"));
        assert!(step(1, b"1"));
        gate.follow_messages(None);
        assert_eq!(gate.message_begun(), None);
    }
}

/// A reload takes the rules of one peer away, while the other one may still get answers.
#[test]
fn a_follower_comes_after_a_judge() {
    let budget = HoldBudget::new(1 << 20);
    let mut gate = gate(&NoX::default(), &budget);
    gate.judge(&frame(1, true, b"judged"), &budget);
    gate.judge_messages(None, &budget, Instant::now());
    gate.follow_messages(Some(Box::<Packets>::default()));
    gate.judge(&frame(1, true, b"1"), &budget);
    assert!(gate.message_begun().is_some());
}

/// Discards an `x`, and every `y` as its continuation.
#[derive(Debug)]
struct Continued;

impl MessageJudge for Continued {
    fn judge(&mut self, _: bool, payload: &[u8], _: Instant) -> Option<Box<Judgement>> {
        let outcome = match payload {
            b"x" => Outcome::Drop,
            b"y" => Outcome::Discard,
            _ => return None,
        };
        let (reason, detail) = (Reason::MessagePattern, String::new());
        Some(Box::new(Judgement { reason, detail, outcome }))
    }

    fn max_size(&self) -> u64 {
        1
    }
}

/// A client gets one strike for a packet, however many messages it has.
#[test]
fn what_continues_a_discarded_message_is_no_violation_of_its_own() {
    let budget = HoldBudget::new(1 << 20);
    let mut gate = gate(&NoX::default(), &budget);
    gate.judge_messages(Some(Box::new(Continued)), &budget, Instant::now());
    let sent = ["a", "x", "y", "y", "b"].map(|text| frame(1, true, text.as_bytes()));
    let released = [frame(1, true, b"a"), frame(1, true, b"b")].concat();
    assert_eq!(pass(&mut gate, &budget, &sent.concat(), &[3]), (released, 1));
    assert_eq!(gate.flow().messages, 2);
}

/// Keeps what it is shown.
#[derive(Debug, Clone, Default)]
struct Watcher(Arc<Mutex<Vec<Watched>>>);

/// Whether a message is binary, and its payload if it was shown.
type Watched = (bool, Option<Vec<u8>>);

impl MessageObserver for Watcher {
    fn begin(&mut self, _: Instant) -> bool {
        true
    }

    fn reserve(&mut self, _: usize) -> bool {
        true
    }

    fn end(&mut self, message: &ObservedMessage<'_>) {
        assert!(message.payload.is_none_or(|payload| payload.len() as u64 == message.size));
        self.0.lock().unwrap().push((message.binary, message.payload.map(<[u8]>::to_vec)));
    }

    fn forget(&mut self) {}
}

proptest! {
    /// An observer sees each message once, however it is cut, fragmented and compressed, and the gate releases the same
    /// bytes with it and without it, judged or not.
    #[test]
    fn an_observer_sees_each_message_and_changes_nothing(
        messages in prop::collection::vec((any::<bool>(), any::<bool>(), prop_oneof!["[a-z]{0,40}", "[a-z]{0,40}",
            (60_000..70_000_usize).prop_map(|length| "w".repeat(length))], 1..4_usize), 1..8),
        cuts in prop::collection::vec(1..30_000_usize, 1..5),
        judged: bool,
    ) {
        let mut messages = messages;
        if judged {
            // The judge refuses larger ones.
            for (.., text, _) in &mut messages {
                text.truncate(64 * 1024);
            }
        }
        let mut sent = Vec::new();
        for (binary, packed, text, parts) in &messages {
            let opcode = if *binary { 2 } else { 1 };
            let payload = match packed {
                true => Deflater::new(15, false).message(text.as_bytes()),
                false => text.as_bytes().to_vec(),
            };
            let size = payload.len().div_ceil(*parts).clamp(1, 60_000);
            let pieces: Vec<&[u8]> = if payload.is_empty() { vec![&[]] } else { payload.chunks(size).collect() };
            for (index, piece) in pieces.iter().enumerate() {
                let first = if index > 0 { 0 } else { opcode | if *packed { 0x40 } else { 0 } };
                sent.extend(frame(first, index + 1 == pieces.len(), piece));
                sent.extend(frame(9, true, b"ping"));
            }
        }
        let budget = HoldBudget::new(1 << 20);
        let run = |watcher: Option<&Watcher>| {
            let mut gate = gate(&NoX::default(), &budget);
            gate.inflate(Context::Anew);
            if !judged {
                gate.judge_messages(None, &budget, Instant::now());
            }
            let observer = watcher.map(|watcher| Box::new(watcher.clone()) as Box<dyn MessageObserver>);
            gate.observe_messages(observer, Instant::now());
            pass(&mut gate, &budget, &sent, &cuts)
        };
        let watcher = Watcher::default();
        prop_assert_eq!(run(Some(&watcher)), run(None));
        let seen = watcher.0.lock().unwrap().clone();
        let wanted: Vec<_> = messages
            .iter()
            .map(|(binary, _, text, _)| {
                (*binary, (text.len() <= MOST_OBSERVED).then(|| text.clone().into_bytes()))
            })
            .collect();
        prop_assert_eq!(&seen, &wanted);
    }
}

#[test]
fn messages_that_await_others_are_released_or_dropped_with_them() {
    let (judge, budget) = (NoX::default(), HoldBudget::new(1 << 20));
    let mut gate = gate(&judge, &budget);
    let good = [frame(2, true, b"a+"), frame(2, false, b"b"), frame(0, true, b"+")].concat();
    let end = frame(2, true, b"c");
    assert_eq!(pass(&mut gate, &budget, &good, &[3]), (vec![], 0));
    let ping = frame(9, true, b"p");
    assert_eq!(pass(&mut gate, &budget, &ping, &[3]), (ping, 0));
    assert_eq!(pass(&mut gate, &budget, &end, &[100]), ([good, end.clone()].concat(), 0));
    let flow = gate.flow();
    assert_eq!((flow.frames, flow.messages), (5, 3));
    let bad = [frame(2, true, b"a+"), frame(2, true, b"b+"), frame(2, true, b"x")].concat();
    assert_eq!(pass(&mut gate, &budget, &bad, &[5]), (vec![], 1));
    let flow = gate.flow();
    assert_eq!((flow.frames, flow.messages), (5, 3), "what is dropped does not count");
    assert_eq!(pass(&mut gate, &budget, &end, &[100]), (end.clone(), 0));
    let seen = judge.0.lock().unwrap().clone();
    let expected: [&[u8]; 7] = [b"a+", b"b+", b"c", b"a+", b"b+", b"x", b"c"];
    assert_eq!(seen, expected, "each message is judged by itself");
    // Without a judge the next message releases what was held.
    let held = frame(2, true, b"a+");
    assert_eq!(pass(&mut gate, &budget, &held, &[100]), (vec![], 0));
    gate.judge_messages(None, &budget, Instant::now());
    assert_eq!(pass(&mut gate, &budget, &end, &[100]), ([held, end.clone()].concat(), 0));
    assert_eq!(gate.flow().frames, 8);
}

/// The held messages are neither discarded with the token nor read as a part of it.
#[test]
fn a_token_between_held_messages_is_taken_alone() {
    let token = frame(1, true, b"{\"framewall\":{\"token\":\"a.b.c\"}}");
    let (first, last) = (frame(2, true, b"a+"), frame(2, true, b"b"));
    for size in [1, 7, 1000] {
        let (judge, budget) = (NoX::default(), HoldBudget::new(1 << 20));
        let mut gate = Gate::new(Endpoint::Client, LIMITS, [7; 8]);
        gate.expect_token("framewall".into());
        gate.judge_messages(Some(Box::new(judge.clone())), &budget, Instant::now());
        let (mut released, mut tokens) = (Vec::new(), Vec::new());
        let stream = [&first[..], &token, &token, &last].concat();
        for piece in stream.chunks(size) {
            let mut rest = piece;
            while !rest.is_empty() {
                let judged = gate.judge(rest, &budget);
                released.extend(judged.release.concat());
                if let Some(GateEvent::Token(token)) = judged.event {
                    tokens.push(token);
                }
                rest = &rest[judged.consumed..];
            }
        }
        assert_eq!(released, [&first[..], &last].concat(), "in reads of {size}");
        assert_eq!(tokens, ["a.b.c", "a.b.c"]);
        assert_eq!(*judge.0.lock().unwrap(), [b"a+".to_vec(), b"b".to_vec()]);
    }
}

/// A reload takes the rules away while a message is held.
#[test]
fn a_token_after_a_message_that_was_held_is_taken_alone() {
    let (judge, budget) = (NoX::default(), HoldBudget::new(1 << 20));
    let mut gate = Gate::new(Endpoint::Client, LIMITS, [7; 8]);
    gate.expect_token("framewall".into());
    gate.judge_messages(Some(Box::new(judge)), &budget, Instant::now());
    let (first, last) = (frame(2, true, b"a+"), frame(2, true, b"b"));
    assert_eq!(pass(&mut gate, &budget, &first, &[100]), (vec![], 0));
    gate.judge_messages(None, &budget, Instant::now());
    let token = frame(1, true, b"{\"framewall\":{\"token\":\"a.b.c\"}}");
    let event = gate.judge(&token, &budget).event;
    assert!(matches!(&event, Some(GateEvent::Token(token)) if token == "a.b.c"), "{event:?}");
    assert_eq!(pass(&mut gate, &budget, &last, &[100]), ([first, last.clone()].concat(), 0));
}

/// Counts the bytes that a follower gets.
#[derive(Debug, Clone, Default)]
struct Counter(Arc<Mutex<Vec<u8>>>);

impl MessageFollower for Counter {
    fn begin(&mut self, _: bool) {}

    fn read(&mut self, piece: &[u8]) {
        self.0.lock().unwrap().extend_from_slice(piece);
    }

    fn is_incomplete(&self) -> bool {
        false
    }
}

#[test]
fn a_follower_gets_every_byte_of_a_message() {
    let (budget, counter) = (HoldBudget::new(1 << 20), Counter::default());
    let mut gate = Gate::new(Endpoint::Client, LIMITS, [7; 8]);
    gate.follow_messages(Some(Box::new(counter.clone())));
    let payload: Vec<u8> = (0..=255).cycle().take(1000).collect();
    for piece in frame(2, true, &payload).chunks(333) {
        assert_eq!(gate.judge(piece, &budget).consumed, piece.len());
    }
    assert_eq!(*counter.0.lock().unwrap(), payload);
}
