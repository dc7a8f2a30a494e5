//! Properties over generated streams, valid and mutated, of both senders, cut into reads at
//! random.

use proptest::collection::vec;
use proptest::prelude::*;

use super::model;
use super::*;

/// First byte and payload of a frame.
type Piece = (u8, Vec<u8>);

fn senders() -> impl Strategy<Value = Endpoint> {
    prop_oneof![Just(Endpoint::Client), Just(Endpoint::Upstream)]
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => "[a-z é€𝄞]{0,60}",
        2 => "\\PC{0,300}",
        1 => (5_000..6_000usize).prop_map(|len| "x€".repeat(len)),
    ]
    .prop_map(String::into_bytes)
}

fn binary() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => vec(any::<u8>(), 0..150),
        1 => (16_370..16_400usize).prop_map(|len| vec![0xff; len]),
        1 => (65_530..65_540usize).prop_map(|len| vec![0xfe; len]),
    ]
}

/// A ping, a pong, or the answer to the gateway's own ping.
fn control() -> impl Strategy<Value = Piece> {
    prop_oneof![
        (prop_oneof![Just(0x89), Just(0x8a)], vec(any::<u8>(), 0..=125)),
        Just((0x8a, OWN_PING.to_vec())),
    ]
}

/// One message, in up to three fragments cut anywhere, with control frames between them.
fn message() -> impl Strategy<Value = Vec<Piece>> {
    let payload =
        prop_oneof![text().prop_map(|text| (1, text)), binary().prop_map(|data| (2, data))];
    let cuts = vec((any::<prop::sample::Index>(), prop::option::of(control())), 0..3);
    (payload, cuts).prop_map(|((opcode, mut rest), cuts)| {
        let mut pieces = Vec::new();
        for (cut, control) in cuts {
            let tail = rest.split_off(cut.index(rest.len() + 1));
            let first = if pieces.is_empty() { opcode } else { 0 };
            pieces.push((first, std::mem::replace(&mut rest, tail)));
            pieces.extend(control);
        }
        let first = if pieces.is_empty() { opcode } else { 0 };
        pieces.push((0x80 | first, rest));
        pieces
    })
}

fn close() -> impl Strategy<Value = Vec<Piece>> {
    let code = prop_oneof![Just(1000u16), Just(1001), Just(1014), 3000..5000u16];
    let payload = (code, "[a-zé]{0,40}")
        .prop_map(|(code, reason)| [code.to_be_bytes().as_slice(), reason.as_bytes()].concat());
    prop_oneof![Just(Vec::new()), payload].prop_map(|payload| vec![(0x88, payload)])
}

/// Whole messages and control frames, perhaps a Close at the end.
fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    let part = prop_oneof![4 => message(), 1 => control().prop_map(|control| vec![control])];
    (vec(part, 0..6), prop::option::of(close()))
        .prop_map(|(parts, close)| parts.into_iter().chain(close).flatten().collect())
}

fn valid() -> impl Strategy<Value = (Endpoint, Vec<u8>)> {
    (senders(), pieces()).prop_map(|(sender, pieces)| {
        let stream = pieces.iter().flat_map(|(first, payload)| frame(sender, *first, payload));
        (sender, stream.collect())
    })
}

/// A valid stream of which up to three bytes were changed, taken out, or put in: anywhere, and as
/// often in the header of a frame.
fn mutated() -> impl Strategy<Value = (Endpoint, Vec<u8>)> {
    let place = (any::<prop::sample::Index>(), any::<bool>(), 0..4usize);
    let mutation = (place, 0..4u8, any::<u8>());
    (senders(), pieces(), vec(mutation, 1..=3)).prop_map(|(sender, pieces, mutations)| {
        let mut heads = Vec::new();
        let mut stream = Vec::new();
        for (first, payload) in &pieces {
            heads.push(stream.len());
            stream.extend(frame(sender, *first, payload));
        }
        for ((index, in_header, within), how, byte) in mutations {
            if stream.is_empty() {
                break;
            }
            let at = if in_header {
                (heads[index.index(heads.len())] + within).min(stream.len() - 1)
            } else {
                index.index(stream.len())
            };
            match how {
                0 => stream[at] = byte,
                1 => stream[at] ^= 1 << (byte % 8),
                2 => stream.insert(at, byte),
                _ => drop(stream.remove(at)),
            }
        }
        (sender, stream)
    })
}

/// Frames of any kind, in no order.
fn wild() -> impl Strategy<Value = (Endpoint, Vec<u8>)> {
    let first = prop_oneof![
        4 => prop::sample::select(vec![0x81u8, 0x01, 0x80, 0x00, 0x82, 0x02, 0x88, 0x89, 0x8a]),
        1 => any::<u8>(),
    ];
    let payload = prop_oneof![text(), vec(any::<u8>(), 0..20), Just(OWN_PING.to_vec())];
    (senders(), vec((first, payload), 0..12)).prop_map(|(sender, pieces)| {
        let stream = pieces.iter().flat_map(|(first, payload)| frame(sender, *first, payload));
        (sender, stream.collect())
    })
}

/// A message around the limits: its frames, and their sizes.
fn large() -> impl Strategy<Value = (Endpoint, Vec<u8>)> {
    let len = prop_oneof![
        6 => 0..10usize,
        1 => prop::sample::select(vec![50_000usize, 99_999, 100_000, 100_001]),
    ];
    (senders(), vec(len, 1..12)).prop_map(|(sender, lens)| {
        let last = lens.len() - 1;
        let first = |i| (if i == 0 { 0x02 } else { 0 }) | (if i == last { 0x80 } else { 0 });
        let frames = lens.iter().enumerate();
        (sender, frames.flat_map(|(i, len)| frame(sender, first(i), &vec![0; *len])).collect())
    })
}

/// A frame whose length is in one of the long forms, right or wrong, behind a valid one.
fn long_form() -> impl Strategy<Value = (Endpoint, Vec<u8>)> {
    let edges = vec![0u64, 1, 125, 126, 127, 0xffff, 0x1_0000, 100_000, 100_001, 1 << 63, u64::MAX];
    let form = (any::<bool>(), prop::sample::select(edges), vec(any::<u8>(), 0..300));
    (senders(), control(), form).prop_map(|(sender, (first, payload), (wide, length, rest))| {
        let mask = if sender == Endpoint::Client { 0x80 } else { 0 };
        let mut stream = frame(sender, first, &payload);
        stream.extend([0x82, mask | if wide { 0x7f } else { 0x7e }]);
        stream.extend(&length.to_be_bytes()[if wide { 0 } else { 6 }..]);
        stream.extend(rest);
        (sender, stream)
    })
}

fn streams() -> impl Strategy<Value = (Endpoint, Vec<u8>)> {
    prop_oneof![2 => valid(), 6 => mutated(), 4 => wild(), 1 => large(), 1 => long_form()]
}

/// Lengths of reads: mostly tiny, so that headers and characters are cut.
fn reads() -> impl Strategy<Value = Vec<usize>> {
    vec(prop_oneof![4 => 1..12usize, 1 => 1..400usize, 1 => 1..20_000usize], 1..60)
}

/// A thousand cases of each property, or more if `PROPTEST_CASES` asks for more.
fn thorough() -> ProptestConfig {
    let config = ProptestConfig::default();
    ProptestConfig { cases: config.cases.max(1000), ..config }
}

proptest! {
    #![proptest_config(thorough())]

    #[test]
    fn the_verdict_does_not_depend_on_reads((sender, stream) in streams(), reads in reads()) {
        let whole = pass(sender, &stream, &[stream.len()], &ample());
        prop_assert_eq!(&whole, &pass(sender, &stream, &reads, &ample()));
    }

    #[test]
    fn the_gate_and_the_model_agree((sender, stream) in streams(), reads in reads()) {
        let outcome = pass(sender, &stream, &reads, &ample());
        let model = model::read(sender, &stream);
        let place = |violation: Violation| {
            let at = |offset| usize::try_from(offset).expect("a place in the stream");
            (violation.rule, at(violation.frame_offset), at(violation.offset))
        };
        prop_assert_eq!(outcome.violation.map(place), model.verdict);
        prop_assert!(outcome.released == model.released, "released bytes");
        prop_assert_eq!(outcome.flow.bytes, model.released.len() as u64);
        prop_assert_eq!((outcome.flow.frames, outcome.flow.messages), (model.frames, model.messages));
    }

    #[test]
    fn a_valid_stream_is_forwarded_without_pongs_to_the_gateway((sender, stream) in valid(), reads in reads()) {
        let outcome = pass(sender, &stream, &reads, &HoldBudget::new(0));
        prop_assert_eq!(outcome.violation, None);
        let pong = frame(sender, 0x8a, &OWN_PING);
        let mut expected = outcome.released.clone();
        for at in outcome.own_pongs.iter().rev() {
            expected.splice(at..at, pong.iter().copied());
        }
        prop_assert!(expected == stream, "the stream is what was released and the own pongs");
        prop_assert!(outcome.boundary);
    }

    #[test]
    fn nothing_of_a_refused_small_frame_is_released(
        (sender, stream) in streams(),
        reads in reads(),
    ) {
        let outcome = pass(sender, &stream, &reads, &ample());
        if let Some(violation) = outcome.violation {
            let own = outcome.own_pongs.len() * frame(sender, 0x8a, &OWN_PING).len();
            let header = violation.header;
            let large = header.is_complete()
                && header.declared() > 16 * 1024 - header.size() as u64
                && violation.offset >= violation.frame_offset + header.size() as u64;
            let end = if large { violation.offset } else { violation.frame_offset };
            prop_assert_eq!((outcome.released.len() + own) as u64, end);
            prop_assert_eq!(outcome.boundary, !large);
        }
    }

    /// The budget decides what was already forwarded, never the verdict.
    #[test]
    fn the_budget_does_not_matter_to_the_verdict(
        (sender, stream) in streams(),
        reads in reads(),
        total in 0..3000usize,
    ) {
        let rich = pass(sender, &stream, &reads, &ample());
        let budget = HoldBudget::new(total);
        let poor = pass(sender, &stream, &reads, &budget);
        prop_assert_eq!(budget.left(), total);
        prop_assert!(poor.released.starts_with(&rich.released));
        if rich.violation.is_none() && rich.boundary && rich.message.is_none() {
            prop_assert!(poor.released == rich.released, "an accepted stream goes on whole");
        }
        prop_assert_eq!(rich.violation, poor.violation);
        prop_assert_eq!(rich.close, poor.close);
        prop_assert_eq!(rich.own_pongs, poor.own_pongs);
        prop_assert_eq!(rich.activity, poor.activity);
    }
}
