//! Whatever is said, and however it is cut, compressed messages go on unchanged.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
struct Said {
    text: String,
    compressed: bool,
    /// How often the compressor flushes within the message, and where its frames are cut.
    flushes: usize,
    cuts: Vec<prop::sample::Index>,
    pings: bool,
}

fn said() -> impl Strategy<Value = Said> {
    let text = prop_oneof![
        6 => "[a-c é€𝄞]{0,200}",
        2 => "\\PC{0,2000}",
        1 => (0..40_000usize).prop_map(|length| String::from_utf8(noise(length)).unwrap()),
    ];
    let cuts = vec(any::<prop::sample::Index>(), 0..4);
    (text, prop::bool::weighted(0.8), 0..3usize, cuts, any::<bool>()).prop_map(
        |(text, compressed, flushes, cuts, pings)| Said { text, compressed, flushes, cuts, pings },
    )
}

/// The frames of messages, as a sender with such a window sends them.
fn spoken(sender: Endpoint, bits: u8, takes_over: bool, messages: &[Said]) -> Vec<u8> {
    let mut deflater = Deflater::new(bits, takes_over);
    let mut stream = Vec::new();
    for Said { text, compressed, flushes, cuts, pings } in messages {
        let (opcode, payload) = if *compressed {
            let (mut payload, mut rest) = (Vec::new(), text.as_bytes());
            for _ in 0..*flushes {
                let (part, later) = rest.split_at(rest.len() / 2);
                payload.extend(deflater.flushed(part, flate2::FlushCompress::Sync));
                rest = later;
            }
            payload.extend(deflater.message(rest));
            (TEXT, payload)
        } else {
            (0x01, text.clone().into_bytes())
        };
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(payload.len() + 1)).collect();
        cuts.sort_unstable();
        for fragment in fragments(sender, opcode, &payload, &cuts) {
            stream.extend(fragment);
            if *pings {
                stream.extend(frame(sender, 0x89, b"between"));
            }
        }
    }
    stream
}

fn reads() -> impl Strategy<Value = Vec<usize>> {
    vec(prop_oneof![4 => 1..12usize, 1 => 1..400usize, 1 => 1..20_000usize], 1..60)
}

fn conversations() -> impl Strategy<Value = (Endpoint, u8, bool, Vec<Said>)> {
    let sender = prop_oneof![Just(Client), Just(Upstream)];
    (sender, 9..=15_u8, any::<bool>(), vec(said(), 1..8))
}

fn context(bits: u8, takes_over: bool) -> Context {
    if takes_over { Context::TakenOver(bits) } else { Context::Anew }
}

/// Three hundred cases of each property, or more if `PROPTEST_CASES` asks for more.
fn thorough() -> ProptestConfig {
    let config = ProptestConfig::default();
    ProptestConfig { cases: config.cases.max(300), ..config }
}

proptest! {
    #![proptest_config(thorough())]

    /// Whatever the window, and whether or not it is taken over, what another program compresses
    /// goes on unchanged.
    #[test]
    fn conversations_go_on_unchanged(
        (sender, bits, takes_over, messages) in conversations(),
        reads in reads(),
    ) {
        let stream = spoken(sender, bits, takes_over, &messages);
        let outcome = read(sender, context(bits, takes_over), &stream, &reads);
        prop_assert_eq!(outcome.violation, None);
        prop_assert!(outcome.released == stream);
        prop_assert_eq!(outcome.flow.messages, messages.len() as u64);
    }

    /// A byte that was changed somewhere is judged the same however it arrives.
    #[test]
    fn the_verdict_does_not_depend_on_reads(
        (sender, bits, takes_over, messages) in conversations(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        reads in reads(),
    ) {
        let mut stream = spoken(sender, bits, takes_over, &messages);
        for (at, byte) in changes {
            let at = at.index(stream.len());
            stream[at] = byte;
        }
        let context = context(bits, takes_over);
        let whole = read(sender, context, &stream, &[stream.len()]);
        let cut = read(sender, context, &stream, &reads);
        let ended = whole.violation.is_some();
        let consumed = if ended { cut.consumed } else { whole.consumed };
        prop_assert_eq!(&Outcome { consumed, ..whole.clone() }, &cut);
        let hurried = pass_on(&mut gate(sender, context), &stream, &reads, &HoldBudget::new(300));
        prop_assert_eq!(hurried.violation, whole.violation);
        prop_assert!(hurried.released.starts_with(&whole.released));
    }
}
