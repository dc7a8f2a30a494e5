//! What a compressed message may inflate to for each of its bytes.

use std::num::NonZeroU16;

use flate2::{Decompress, FlushCompress, FlushDecompress};
use proptest::collection::vec;
use proptest::prelude::*;

use super::super::{Context, Rule};
use super::deflate::{BINARY, FIN, compressed, fragments, noise};
use super::*;
use crate::values::Endpoint::{Client, Upstream};

/// What any message may inflate to.
const UNRATED: usize = 64 * 1024;

/// More than the ratios of these tests let anything be.
const ROOMY: FrameLimits =
    FrameLimits { max_frame_size: 1 << 30, max_message_size: 1 << 30, ..LIMITS };

fn limited(ratio: u16) -> FrameLimits {
    FrameLimits { max_inflation_ratio: NonZeroU16::new(ratio), ..ROOMY }
}

fn gate(sender: Endpoint, limits: FrameLimits, context: Context) -> Gate {
    let mut gate = Gate::new(sender, limits, OWN_PING);
    gate.inflate(context);
    gate
}

fn read(sender: Endpoint, limits: FrameLimits, stream: &[u8], reads: &[usize]) -> Outcome {
    pass_on(&mut gate(sender, limits, Context::Anew), stream, reads, &ample())
}

/// The rule that is broken, and where; the same however the stream arrives.
#[track_caller]
fn verdict(sender: Endpoint, ratio: u16, stream: &[u8]) -> Option<(Rule, u64)> {
    let whole = read(sender, limited(ratio), stream, &[stream.len()]);
    for reads in [&[1][..], &[5, 1000], &[1023], &[1024], &[1025], &[1460], &[20_000, 1]] {
        let outcome = read(sender, limited(ratio), stream, reads);
        assert_eq!(outcome.violation, whole.violation, "{reads:?}");
        assert_eq!(outcome.released, whole.released, "{reads:?}");
        let poor = HoldBudget::new(0);
        let hurried = &mut gate(sender, limited(ratio), Context::Anew);
        let hurried = pass_on(hurried, stream, reads, &poor);
        assert_eq!(hurried.violation, whole.violation, "{reads:?}");
    }
    whole.violation.map(|violation| (violation.rule, violation.offset))
}

/// The payload of a message of so many zeros in exactly so many bytes: in as few as there may be, and
/// blocks behind them that say nothing.
fn payload(zeros: usize, packed: usize) -> Vec<u8> {
    let dense = Deflater::new(15, false).flushed(&vec![0; zeros], FlushCompress::Full);
    let rest = packed - dense.len() - 1;
    // A stored block without data has five bytes, a fixed one and a stored one together six.
    let sixes = rest % 5;
    let fives = (rest - 6 * sixes) / 5;
    let fives = [0x00, 0x00, 0x00, 0xff, 0xff].repeat(fives);
    let sixes = [0x02, 0x00, 0x00, 0x00, 0xff, 0xff].repeat(sixes);
    [dense, fives, sixes, vec![0x00]].concat()
}

#[test]
fn a_message_may_inflate_up_to_the_ratio() {
    for sender in [Client, Upstream] {
        let of = |zeros| frame(sender, FIN | BINARY, &payload(zeros, 5000));
        assert_eq!(verdict(sender, 20, &of(100_000)), None);
        let above = of(100_001);
        // All zeros are in the first of its blocks, but the frame is weighed as a whole.
        let block = above.len() - 5000 + 1024;
        let refused = Some((Rule::InflationRatio, block as u64 - 1));
        assert_eq!(verdict(sender, 20, &above), refused);
        let outcome = read(sender, limited(20), &above, &[100]);
        assert!(outcome.released.is_empty() && outcome.boundary);
        assert_eq!(read(sender, ROOMY, &above, &[100]).violation, None, "there is no ratio");
    }
}

#[test]
fn small_messages_are_exempt_from_the_ratio() {
    let of = |zeros| frame(Client, FIN | BINARY, &compressed(&vec![0; zeros]));
    assert!(of(UNRATED).len() < 100);
    assert_eq!(verdict(Client, 1, &of(UNRATED)), None);
    let above = of(UNRATED + 1);
    assert_eq!(verdict(Client, 1, &above), Some((Rule::InflationRatio, above.len() as u64 - 1)));
    let stream = [of(UNRATED), of(UNRATED), of(UNRATED)].concat();
    assert_eq!(verdict(Client, 1, &stream), None, "each message by itself");
}

/// The limit that is lower is the one that is named.
#[test]
fn the_size_of_a_message_is_limited_too() {
    let stream = frame(Client, FIN | BINARY, &payload(110_001, 1000));
    for (most, ratio, rule) in [
        (100_000, 100, Rule::MessageSize),
        (100_001, 100, Rule::InflationRatio),
        (110_000, 110, Rule::MessageSize),
        (UNRATED, 1, Rule::MessageSize),
        (UNRATED + 1, 1, Rule::InflationRatio),
    ] {
        let limits = FrameLimits { max_message_size: most as u64, ..limited(ratio) };
        let outcome = read(Client, limits, &stream, &[333]);
        assert_eq!(outcome.violation.map(|violation| violation.rule), Some(rule), "{most}");
    }
}

/// What is above the ratio is not looked at; what is before it is.
#[test]
fn the_first_violation_decides() {
    let text = |bad: usize| {
        let mut text = vec![b'a'; 80_000];
        text[bad] = 0xff;
        frame(Client, FIN | 0x41, &compressed(&text))
    };
    let rule = |bad| verdict(Client, 1, &text(bad)).map(|(rule, _)| rule);
    assert_eq!(rule(UNRATED - 1), Some(Rule::Text));
    assert_eq!(rule(UNRATED), Some(Rule::InflationRatio));
}

#[test]
fn the_bytes_of_all_fragments_count() {
    let dense = payload(100_000, 1000);
    let parts = fragments(Client, BINARY, &dense, &[20, 20, 700]);
    let ping = frame(Client, 0x89, &[0; 125]);
    let with_ping = [&parts[0], &ping, &ping, &parts[1], &parts[2], &ping, &parts[3]];
    let stream: Vec<u8> = with_ping.into_iter().flatten().copied().collect();
    assert_eq!(verdict(Client, 100, &frame(Client, FIN | BINARY, &dense)), None);
    // Of the whole it is right; 700 bytes are not enough for what they say.
    let end = stream.len() - parts[3].len() - ping.len();
    assert_eq!(verdict(Client, 100, &stream), Some((Rule::InflationRatio, end as u64 - 1)));
    assert_eq!(verdict(Client, 200, &stream), None);
    // Pings are not part of the message.
    assert_eq!(verdict(Client, 130, &stream), Some((Rule::InflationRatio, end as u64 - 1)));
    // A first fragment that says little makes room for a second one.
    let light = [&noise(2000)[..], &vec![0; 200_000]].concat();
    let parts = fragments(Client, BINARY, &compressed(&light), &[1700]);
    assert_eq!(verdict(Client, 110, &parts.concat()), None);
    assert!(verdict(Client, 10, &parts.concat()).is_some());
    // The next message has none of that room.
    let dense = frame(Client, FIN | BINARY, &compressed(&vec![0; 100_000]));
    let stream = [&parts.concat()[..], &dense].concat();
    let refused = Some((Rule::InflationRatio, stream.len() as u64 - 1));
    assert_eq!(verdict(Client, 110, &stream), refused);
}

/// A frame that is cut through is weighed up to the end of each of its blocks.
#[test]
fn a_large_frame_is_refused_with_its_block() {
    let before = compressed(&noise(20_000));
    let (blocks, start) = (before.len() / 1024, before.len() % 1024);
    // Between the two is what ends a message, so that the next block of data follows.
    let dense = |zeros| {
        let payload = [&before[..], &[0, 0, 0xff, 0xff], &payload(zeros, 30_000)].concat();
        frame(Client, FIN | BINARY, &payload)
    };
    let room = 10 * 1024 * (blocks + 1) - 20_000;
    assert!(start < 500 && room > 100_000, "the zeros are all in one block");
    assert_eq!(verdict(Client, 10, &dense(room)), None);
    let above = verdict(Client, 10, &dense(room + 1));
    let end = 8 + 1024 * (blocks + 1) - 1;
    assert_eq!(above, Some((Rule::InflationRatio, end as u64)));
    let outcome = read(Client, limited(10), &dense(room + 1), &[1460]);
    assert_eq!(outcome.released.len(), 8 + 1024 * blocks, "nothing of the block goes on");
}

/// An application whose messages refer to each other: what they referred to is not theirs.
#[test]
fn the_ratio_ignores_the_context_window() {
    let said = noise(30_000);
    let mut deflater = Deflater::new(15, true);
    let first = deflater.message(&said);
    let again = deflater.message(&said.repeat(8));
    assert!(first.len() > 20_000 && again.len() < 2400, "{} {}", first.len(), again.len());
    let stream =
        [frame(Upstream, FIN | BINARY, &first), frame(Upstream, FIN | BINARY, &again)].concat();
    let context = Context::TakenOver(15);
    let judged = |ratio| {
        let gate = &mut gate(Upstream, limited(ratio), context);
        let outcome = pass_on(gate, &stream, &[999], &ample());
        outcome.violation.map(|violation| (violation.rule, violation.frame_offset))
    };
    let refused = Some((Rule::InflationRatio, (stream.len() - again.len() - 4) as u64));
    assert_eq!(judged(100), refused);
    assert_eq!(judged(120), None);
}

/// The zeros of a GiB in one MiB, in a frame that is cut through and in frames that are held.
#[test]
fn a_bomb_is_inflated_at_most_to_the_ratio() {
    let zeros = Deflater::new(15, false).flushed(&vec![0; 1 << 20], FlushCompress::Full);
    let bomb = zeros.repeat(1024);
    for sender in [Client, Upstream] {
        let mut large = gate(sender, limited(200), Context::Anew);
        let stream = frame(sender, FIN | BINARY, &bomb);
        let outcome = pass_on(&mut large, &stream, &[1 << 16], &ample());
        assert_eq!(outcome.violation.map(|violation| violation.rule), Some(Rule::InflationRatio));
        assert!(large.inflated() <= 200 * 1024 + 4096, "{}", large.inflated());
        let mut small = gate(sender, limited(200), Context::Anew);
        let stream = frame(sender, FIN | BINARY, &bomb[..4096]);
        let outcome = pass_on(&mut small, &stream, &[100], &ample());
        assert!(outcome.violation.is_some() && outcome.released.is_empty());
        assert!(small.inflated() <= 200 * 4096 + 4096, "{}", small.inflated());
        let mut tiny = gate(sender, limited(200), Context::Anew);
        let stream = fragments(sender, BINARY, &bomb[..200], &[10, 20, 30, 40]).concat();
        assert!(pass_on(&mut tiny, &stream, &[7], &ample()).violation.is_some());
        assert!(tiny.inflated() <= UNRATED as u64 + 4096, "{}", tiny.inflated());
    }
}

#[test]
fn a_ratio_that_is_lowered_holds_for_the_message_in_progress() {
    let text = [&noise(2000)[..], &vec![0; 200_000]].concat();
    let parts = fragments(Client, BINARY, &compressed(&text), &[1000]);
    for (ratio, rule) in [(500, None), (80, Some(Rule::InflationRatio))] {
        let (mut gate, budget) = (gate(Client, limited(500), Context::Anew), ample());
        assert_eq!(pass_on(&mut gate, &parts[0], &[90], &budget).violation, None);
        gate.limit(limited(ratio));
        let outcome = pass_on(&mut gate, &parts[1], &[90], &budget);
        assert_eq!(outcome.violation.map(|violation| violation.rule), rule);
    }
}

/// What is said, in runs that are dense and runs that are not.
fn texts() -> impl Strategy<Value = Vec<u8>> {
    let run = prop_oneof![
        2 => (0..90_000_usize).prop_map(|length| vec![b'r'; length]),
        1 => (0..25_000_usize).prop_map(noise),
    ];
    vec(run, 1..5).prop_map(|runs| runs.concat())
}

/// The frames of a message, with the payload as it is without them.
fn messages() -> impl Strategy<Value = (Endpoint, Vec<u8>, Vec<usize>)> {
    let cuts = vec(any::<prop::sample::Index>(), 0..4);
    (prop_oneof![Just(Client), Just(Upstream)], texts(), cuts).prop_map(|(sender, text, cuts)| {
        let payload = compressed(&text);
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(payload.len() + 1)).collect();
        cuts.sort_unstable();
        (sender, payload, cuts)
    })
}

/// Whether a message is refused, read plainly: at the end of each frame, or of each block of one
/// that is larger than 16 KiB, it may have come to so much.
fn is_above(sender: Endpoint, payload: &[u8], cuts: &[usize], ratio: usize) -> bool {
    let mut inflater = Decompress::new(false);
    let mut text = Vec::with_capacity(1 << 20);
    let mut read = 0;
    let mut is_above = |end: usize| {
        inflater.decompress_vec(&payload[read..end], &mut text, FlushDecompress::None).unwrap();
        read = end;
        text.len() > UNRATED.max(ratio * end)
    };
    let starts = [0].into_iter().chain(cuts.iter().copied());
    let ends = cuts.iter().copied().chain([payload.len()]);
    starts.zip(ends).any(|(start, end)| {
        let length = frame(sender, BINARY, &payload[start..end]).len();
        let step = if length > 16 * 1024 { 1024 } else { end - start };
        let blocks = (start..end).step_by(step.max(1)).skip(1);
        blocks.chain([end]).any(&mut is_above)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(300), ..ProptestConfig::default() })]

    /// As a plain reading has it, however it arrives and whether or not frames can be held.
    #[test]
    fn the_gate_and_a_plain_reading_agree(
        (sender, payload, cuts) in messages(),
        ratio in prop_oneof![1..12_u16, 12..400_u16],
        reads in vec(prop_oneof![1..12_usize, 1..2000_usize, 1..20_000_usize], 1..30),
        budget in prop_oneof![Just(1 << 20), 0..2000_usize],
    ) {
        let stream = fragments(sender, BINARY, &payload, &cuts).concat();
        let whole = read(sender, limited(ratio), &stream, &[stream.len()]);
        let above = is_above(sender, &payload, &cuts, ratio.into());
        let rule = whole.violation.as_ref().map(|violation| violation.rule);
        prop_assert_eq!(rule, above.then_some(Rule::InflationRatio));
        let cut = read(sender, limited(ratio), &stream, &reads);
        prop_assert_eq!(&cut.violation, &whole.violation);
        prop_assert!(cut.released == whole.released);
        let poor = &mut gate(sender, limited(ratio), Context::Anew);
        let poor = pass_on(poor, &stream, &reads, &HoldBudget::new(budget));
        prop_assert_eq!(poor.violation, whole.violation);
        prop_assert!(poor.released.starts_with(&whole.released));
    }
}
