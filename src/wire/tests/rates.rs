//! Rates, as the gate charges them.

use std::time::Duration;

use tokio::time::Instant;

use super::{LIMITS, OWN_PING, ample, frame, frames};
use crate::values::Endpoint::Client;
use crate::values::{Rate, Reason};
use crate::wire::{AboveRate, Allowance, ClientRates, Gate, GateEvent, Verdict};

fn rate(count: u64, burst: u64) -> Rate {
    Rate { count, per: Duration::from_secs(1), burst }
}

/// What a gate with these limits releases of `stream`, and the event that ended it.
struct Driven {
    gate: Gate,
    now: Instant,
}

impl Driven {
    fn new(limits: &ClientRates) -> Self {
        let now = Instant::now() + Duration::from_secs(86_400);
        let mut gate = Gate::new(Client, LIMITS, OWN_PING);
        gate.allow(Allowance::new(limits, None, now));
        Self { gate, now }
    }

    fn pass(&mut self, mut stream: &[u8]) -> (Vec<u8>, Vec<GateEvent>, usize) {
        let (budget, whole) = (ample(), stream.len());
        let (mut released, mut events) = (Vec::new(), Vec::new());
        self.gate.allowance().unwrap().at(self.now);
        while !stream.is_empty() {
            let judged = self.gate.judge(stream, &budget);
            released.extend(judged.release.concat());
            stream = &stream[judged.consumed..];
            let over = matches!(judged.event, Some(GateEvent::Wait(_) | GateEvent::Refused(_)));
            events.extend(judged.event);
            if over {
                break;
            }
        }
        (released, events, whole - stream.len())
    }
}

fn messages(above: AboveRate) -> ClientRates {
    ClientRates { messages: Some(rate(10, 2)), above, ..ClientRates::default() }
}

const HELLO: (u8, &[u8]) = (0x81, b"hello");

#[test]
fn a_message_above_the_rate_ends_the_session_and_none_before_it() {
    let two = frames(Client, &[HELLO, HELLO]);
    let three = frames(Client, &[HELLO, HELLO, HELLO]);
    let mut driven = Driven::new(&messages(AboveRate::Close));
    assert_eq!(driven.pass(&two), (two.clone(), vec![], two.len()), "the burst");
    driven.now += Duration::from_millis(100);
    let (one, rest) = three.split_at(two.len() / 2);
    assert_eq!(driven.pass(one).1, [], "one more after a tenth of a second");
    let (released, events, _) = driven.pass(rest);
    assert_eq!((released, events), (vec![], vec![GateEvent::Refused(Reason::LimitMessages)]));
}

#[test]
fn a_message_is_charged_once_for_all_its_frames() {
    let fragments: Vec<(u8, &[u8])> =
        vec![(0x01, b"a"), (0x89, b""), (0x00, b"b"), (0x00, b""), (0x80, b"c")];
    let stream = [frames(Client, &fragments), frames(Client, &fragments)].concat();
    let mut driven = Driven::new(&messages(AboveRate::Close));
    assert_eq!(driven.pass(&stream), (stream.clone(), vec![], stream.len()));
    let (_, events, _) = driven.pass(&frame(Client, 0x01, b""));
    assert_eq!(events, [GateEvent::Refused(Reason::LimitMessages)]);
}

#[test]
fn a_delayed_message_waits_untouched_until_it_is_within_the_rate() {
    let stream = frames(Client, &[HELLO, HELLO, HELLO, HELLO]);
    let two = stream.len() / 2;
    let mut driven = Driven::new(&messages(AboveRate::Delay));
    let (released, events, consumed) = driven.pass(&stream);
    assert_eq!((released.as_slice(), consumed), (&stream[..two], two));
    let until = driven.now + Duration::from_millis(100);
    assert_eq!(events, [GateEvent::Wait(until)]);
    driven.now = until - Duration::from_millis(1);
    assert_eq!(driven.pass(&stream[two..]), (vec![], vec![GateEvent::Wait(until)], 0), "not yet");
    driven.now = until;
    let (released, events, _) = driven.pass(&stream[two..]);
    assert_eq!(released.len(), stream.len() / 4, "one");
    assert_eq!(events, [GateEvent::Wait(until + Duration::from_millis(100))]);
    assert!(driven.gate.released_boundary());
}

#[test]
fn a_message_is_dropped_whole_without_the_control_frames_inside() {
    let dropped: Vec<(u8, &[u8])> = vec![(0x01, b"lost "), (0x89, b"kept"), (0x80, b"too")];
    let start = frames(Client, &[HELLO, HELLO]);
    let stream = [start.clone(), frames(Client, &dropped)].concat();
    for cut in 1..=stream.len() {
        let mut driven = Driven::new(&messages(AboveRate::Drop));
        let mut released = Vec::new();
        for piece in stream.chunks(cut) {
            let (bytes, events, _) = driven.pass(piece);
            assert!(events.iter().all(|event| *event == GateEvent::Dropped), "{events:?}");
            released.extend(bytes);
        }
        let ping = frame(Client, 0x89, b"kept");
        assert_eq!(released, [start.clone(), ping].concat(), "cut at {cut}");
        assert_eq!(driven.gate.flow().messages, 2, "a dropped message is not one that passed");
        driven.now += Duration::from_millis(100);
        let next = frames(Client, &[HELLO]);
        assert_eq!(driven.pass(&next).0, next, "the next one is within the rate");
    }
}

#[test]
fn lifting_the_limit_inside_a_dropped_message_drops_its_rest() {
    let mut driven = Driven::new(&messages(AboveRate::Drop));
    driven.pass(&frames(Client, &[HELLO, HELLO, (0x01, b"lost ")]));
    driven.gate.allow(None);
    let next = frame(Client, 0x81, b"next");
    let rest = [frame(Client, 0x80, b"too"), next.clone()].concat();
    assert_eq!(driven.pass(&rest).0, next);
}

#[test]
fn a_dropped_message_is_still_held_to_the_rules() {
    let mut driven = Driven::new(&messages(AboveRate::Drop));
    driven.pass(&frames(Client, &[HELLO, HELLO]));
    let (_, events, _) = driven.pass(&frame(Client, 0x81, b"\xff"));
    assert!(matches!(events.as_slice(), [GateEvent::Violation(_)]), "{events:?}");
}

#[test]
fn a_frame_too_large_to_hold_is_not_dropped_but_ends_the_session() {
    let mut driven = Driven::new(&messages(AboveRate::Drop));
    driven.pass(&frames(Client, &[HELLO, HELLO]));
    let large = frame(Client, 0x82, &vec![0; 17 * 1024]);
    let (released, events, _) = driven.pass(&large);
    assert_eq!((released, events), (vec![], vec![GateEvent::Refused(Reason::LimitMessages)]));
}

#[test]
fn pings_and_pongs_have_a_rate_of_their_own_and_closes_none() {
    let limits =
        |above| ClientRates { control_frames: Some(rate(10, 2)), above, ..ClientRates::default() };
    let ping = frame(Client, 0x89, b"p");
    let burst = [ping.clone(), frame(Client, 0x8a, b"q")].concat();
    let more = [burst.clone(), ping.clone()].concat();
    let (released, events, _) = Driven::new(&limits(AboveRate::Close)).pass(&more);
    assert_eq!((released, events), (burst.clone(), vec![GateEvent::Refused(Reason::LimitControl)]));

    let (released, events, _) = Driven::new(&limits(AboveRate::Drop)).pass(&more);
    assert_eq!((released, events), (burst.clone(), vec![GateEvent::Dropped]));

    let mut driven = Driven::new(&limits(AboveRate::Delay));
    let (released, events, _) = driven.pass(&more);
    assert_eq!(released, more, "it is whole, and what follows waits");
    assert_eq!(events, [GateEvent::Wait(driven.now + Duration::from_millis(100))]);

    let mut driven = Driven::new(&limits(AboveRate::Close));
    driven.pass(&burst);
    let close = frame(Client, 0x88, b"");
    assert_eq!(driven.pass(&close).0, close);
    let mut driven = Driven::new(&limits(AboveRate::Close));
    driven.pass(&burst);
    let (_, events, _) = driven.pass(&frame(Client, 0x8a, &OWN_PING));
    assert_eq!(
        events,
        [GateEvent::OwnPong],
        "the answer to a ping of the gateway's is not charged"
    );
}

#[test]
fn bytes_above_the_rate_delay_the_next_read() {
    let limits = ClientRates {
        bytes: Some(rate(1000, 2000)),
        above: AboveRate::Delay,
        ..ClientRates::default()
    };
    let now = Instant::now() + Duration::from_secs(86_400);
    let mut allowance = Allowance::new(&limits, None, now).unwrap();
    assert_eq!(allowance.bytes(2000, now), Verdict::Pass);
    let until = now + Duration::from_secs(3);
    assert_eq!(allowance.bytes(3000, now), Verdict::Wait(until));
    assert_eq!(allowance.bytes(0, until), Verdict::Pass);
}

#[test]
fn report_mode_passes_every_message_and_reports_each_reason_once() {
    let limits = ClientRates {
        messages: Some(rate(10, 1)),
        control_frames: Some(rate(10, 1)),
        above: AboveRate::Report,
        ..ClientRates::default()
    };
    let mut driven = Driven::new(&limits);
    let stream = frames(Client, &[HELLO, HELLO, HELLO, (0x89, b""), (0x89, b"")]);
    assert_eq!(driven.pass(&stream), (stream.clone(), vec![], stream.len()));
    let allowance = driven.gate.allowance().unwrap();
    assert_eq!(allowance.let_through(), 3);
    let reported: Vec<_> = std::iter::from_fn(|| allowance.take_unreported()).collect();
    assert_eq!(reported, [Reason::LimitMessages, Reason::LimitControl]);
}

#[test]
fn changed_limits_keep_the_usage_of_unchanged_rates() {
    let mut driven = Driven::new(&messages(AboveRate::Close));
    driven.pass(&frames(Client, &[HELLO, HELLO]));
    let more = ClientRates { control_frames: Some(rate(1, 1)), ..messages(AboveRate::Close) };
    driven.gate.allow(Allowance::new(&more, None, driven.now));
    let (_, events, _) = driven.pass(&frames(Client, &[HELLO]));
    assert_eq!(events, [GateEvent::Refused(Reason::LimitMessages)], "as used up as before");

    let higher = ClientRates { messages: Some(rate(10, 4)), ..messages(AboveRate::Close) };
    let mut driven = Driven::new(&messages(AboveRate::Close));
    driven.pass(&frames(Client, &[HELLO, HELLO]));
    driven.gate.allow(Allowance::new(&higher, None, driven.now));
    assert_eq!(driven.pass(&frames(Client, &[HELLO])).1, [], "another rate begins anew");
    driven.gate.allow(None);
    assert!(driven.gate.allowance().is_none());
}

#[test]
fn let_through_counts_survive_changed_and_removed_limits() {
    let limits = ClientRates {
        above: AboveRate::Report,
        messages: Some(rate(10, 1)),
        ..messages(AboveRate::Close)
    };
    let mut driven = Driven::new(&limits);
    driven.pass(&frames(Client, &[HELLO, HELLO, HELLO]));
    assert_eq!(driven.gate.allowance().unwrap().take_unreported(), Some(Reason::LimitMessages));
    let more = ClientRates { control_frames: Some(rate(10, 1)), ..limits };
    driven.gate.allow(Allowance::new(&more, None, driven.now));
    driven.pass(&frames(Client, &[HELLO, (0x89, b""), (0x89, b"")]));
    let allowance = driven.gate.allowance().unwrap();
    assert_eq!(allowance.let_through(), 4);
    let reported: Vec<_> = std::iter::from_fn(|| allowance.take_unreported()).collect();
    assert_eq!(reported, [Reason::LimitControl], "each once a session");
    driven.gate.allow(None);
    let stream = frames(Client, &[HELLO, HELLO]);
    assert_eq!(driven.pass(&stream), (stream.clone(), vec![], stream.len()), "no rates any more");
    assert_eq!(driven.gate.allowance().unwrap().let_through(), 4);
}

#[test]
fn report_mode_accumulates_no_debt() {
    let limits = ClientRates {
        bytes: Some(rate(1000, 2000)),
        above: AboveRate::Report,
        ..ClientRates::default()
    };
    let mut driven = Driven::new(&limits);
    let verdict =
        |driven: &mut Driven, count, now| driven.gate.allowance().unwrap().bytes(count, now);
    let now = driven.now;
    for _ in 0..100 {
        assert_eq!(verdict(&mut driven, 5000, now), Verdict::Pass);
    }
    assert_eq!(driven.gate.allowance().unwrap().let_through(), 100);
    let enforced = ClientRates { above: AboveRate::Close, ..limits };
    driven.gate.allow(Allowance::new(&enforced, None, now));
    let rested = now + Duration::from_secs(2);
    assert_eq!(verdict(&mut driven, 2000, rested), Verdict::Pass, "a burst, as after any other");
    assert_eq!(verdict(&mut driven, 1, rested), Verdict::Refuse(Reason::LimitBytes));
}
