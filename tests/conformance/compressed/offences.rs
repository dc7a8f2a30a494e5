//! Compressed messages that are none, or that say what no message may.

use super::super::Case;
use super::super::case::{End, Part, UTF8, Writes, every_way, group};
use super::super::drive::Direction::ToUpstream;
use super::super::support::{Deflater, Frame, zeros};
use super::super::utf8::{BEFORE, Impossible, bytes_with, impossible, up_to};
use super::{HELLO, STORED_HEAD, TAIL, cut, message, noise, packed, stored, words};

/// The last block says that it is, and the empty one that belongs behind it is missing.
const FINAL: [u8; 7] = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];

const TOO_BIG: End = End::Refused(1009, "message.too_big");

pub(super) fn cases() -> Vec<Case> {
    [
        group("12.11", every_way(reserved_bits())),
        group("12.12", every_way(broken().into_iter().flat_map(small).chain(cut_short()))),
        group("12.13", large()),
        group("12.14", impossible().iter().map(not_utf8)),
        group("12.15", impossible().iter().flat_map(withheld)),
        group("12.16", unfinished_characters()),
        group("12.17", too_much()),
    ]
    .concat()
}

/// RSV1 belongs to the first frame of a message, and the other two have no meaning.
fn reserved_bits() -> Vec<Case> {
    let begun = || [message(1, &HELLO[..3]).unfinished()];
    let rest = || Frame::continuation(&HELLO[3..]);
    let mut cases = vec![
        Case::refused("RSV1 on the last fragment", begun(), rest().with_rsv(4)),
        Case::refused("RSV1 on another fragment", begun(), rest().unfinished().with_rsv(4))
            .then(Frame::continuation("")),
        Case::refused("RSV1 on an empty fragment", begun(), Frame::continuation("").with_rsv(4)),
        Case::refused("RSV1 on a fragment's header", begun(), Part::Start(rest().with_rsv(4))),
        Case::refused(
            "RSV1 on a fragment of what is not compressed",
            [Frame::text("one ").unfinished()],
            rest().with_rsv(4),
        ),
        Case::refused("RSV1 on a continuation of nothing", [], rest().with_rsv(4)),
        Case::refused("another message within it", begun(), packed(1, "two")),
        Case::refused("RSV1 on a reserved opcode", [], message(3, HELLO)),
    ];
    for control in [Frame::ping("ping"), Frame::pong("pong"), Frame::close(1000, "")] {
        let what = format!("RSV1 on {:#x}", control.opcode);
        let bad = || control.clone().with_rsv(4);
        let compressed = packed(control.opcode, &control.payload);
        cases.extend([
            Case::refused(&what, [], bad()),
            Case::refused(format!("{what} in a message"), begun(), bad()).then(rest()),
            Case::refused(format!("{what}, the rest withheld"), [], Part::Start(bad())),
            Case::refused(format!("{what}, compressed"), [packed(1, "good")], compressed),
        ]);
    }
    cases.extend([5, 6, 7].map(|rsv| {
        let bad = packed(1, "good otherwise").with_rsv(rsv);
        Case::refused(format!("RSV {rsv:03b}"), [packed(1, "good")], bad).then(Frame::text("late"))
    }));
    cases
}

/// What no inflater reads to the end of a message.
fn broken() -> Vec<(String, Vec<u8>)> {
    let said = |(what, payload): (&str, &[u8])| (what.to_owned(), payload.to_vec());
    let mut broken = [
        ("a reserved block", &[0x06][..]),
        ("a reserved block that calls itself the last", &[0x07]),
        ("a stored block whose lengths disagree", &[0x00, 0x05, 0x00, 0xfa, 0xfe, b'H']),
        ("a dynamic block with too many codes", &[0xfc, 0xff, 0xff]),
        ("a reference to 32 KiB before", &[0x02, 0xde, 0xff, 0x0f, 0x00]),
        ("its tail left on", &[&HELLO[..], &TAIL].concat()),
        ("a final block", &FINAL),
        ("7.2.3.4, a final block and an empty one", &[&FINAL[..], &[0]].concat()),
        ("data behind the last block", &[&FINAL[..], &HELLO].concat()),
        ("two last blocks", &[&FINAL[..], &FINAL, &[0]].concat()),
        ("a reserved block behind a good one", &[&HELLO[..], &TAIL, &[0x06]].concat()),
        ("no data at all", &[]),
    ]
    .map(said)
    .to_vec();
    let ends =
        |end: usize| (format!("the first {end} bytes of the example"), HELLO[..end].to_vec());
    broken.extend([2, 3, 4, 5, 6].map(ends));
    broken
}

/// Behind a good message with another behind it; and in a fragment of its own, behind a block.
fn small((what, payload): (String, Vec<u8>)) -> [Case; 3] {
    let good = [&Deflater::new(false).message("good")[..], &TAIL].concat();
    [
        Case::refused(&what, [packed(1, "good")], message(1, &payload)).then(Frame::text("late")),
        Case::refused(format!("{what}, as a binary"), [], message(2, &payload)),
        Case::refused(
            format!("{what}, in the last fragment"),
            [message(1, good).unfinished(), Frame::ping("between")],
            Frame::continuation(payload),
        ),
    ]
}

/// A stored block takes what is added to every message for its own text, and lacks the rest.
fn cut_short() -> [Case; 2] {
    let payload = [0x00, 0x20, 0x00, 0xdf, 0xff, b'H', b'e'];
    [
        Case::refused("a stored block that is cut short", [], message(2, payload)),
        Case::refused("the same in a text", [], message(1, payload)).ending(UTF8),
    ]
}

/// What is good of them has crossed when the frame turns bad: the other end is cut off.
fn large() -> Vec<Case> {
    let good = [&Deflater::new(false).message(noise(40_000))[..], &TAIL].concat();
    let cut_off = |what: &str, bad: Part, (code, reason)| {
        let of = |writes| {
            Case::refused(format!("{what}, halfway through a large frame"), [], bad.clone())
                .ending(End::Cut(code, reason))
                .written(writes)
        };
        [Writes::Together, Writes::Chops(997)].map(of)
    };
    let (protocol, utf8) = ((1002, "frame.protocol"), (1007, "frame.utf8"));
    let behind = |bad: &[u8]| [&good[..], bad, &vec![0; 20_000]].concat();
    let frame = |bad: &[u8]| message(1, behind(bad));
    let latin = [noise(20_000).as_bytes(), b"caf\xe9", noise(20_000).as_bytes()].concat();
    [
        cut_off("a reserved block", frame(&[0x06]).into(), protocol),
        cut_off(
            "a reserved block, the rest withheld",
            Part::Begun(frame(&[0x06]), good.len() + 1),
            protocol,
        ),
        cut_off(
            "data behind the last block",
            frame(&[&FINAL[..], &HELLO].concat()).into(),
            protocol,
        ),
        cut_off("not UTF-8", packed(1, latin).into(), utf8),
        cut_off("zeros", message(1, behind(&zeros(3 << 20, 4000))).into(), {
            (1009, "message.too_big")
        }),
        cut_off("cut short", message(1, &good[..good.len() - 500]).into(), protocol),
    ]
    .concat()
}

/// A text with an offence as it is compressed, behind one without.
fn not_utf8(offence: &Impossible) -> Case {
    Case::refused(offence.what, [packed(1, "good")], packed(1, bytes_with(offence)))
        .then(Frame::text("late"))
        .ending(UTF8)
}

/// In a stored block, so that it is known which byte is the impossible one: nothing behind that is
/// sent. It is in the first frame, or the first byte of the next one.
fn withheld(offence: &Impossible) -> [Case; 2] {
    let payload = [stored(&bytes_with(offence)), vec![0]].concat();
    let good = STORED_HEAD + up_to(offence).len() - 1;
    let whole = Part::Begun(message(1, &payload), good + 1);
    let (first, rest) = payload.split_at(good);
    let next = Part::Begun(Frame::continuation(rest), 1);
    let what = |how| format!("{}, {how}", offence.what);
    [
        Case::refused(what("the rest withheld"), [], whole).written(Writes::Chops(1)),
        Case::refused(what("in the next fragment"), [message(1, first).unfinished()], next),
    ]
    .map(|case| case.ending(UTF8))
}

/// A text that ends within a character, which no byte of it shows; and what may end there.
fn unfinished_characters() -> Vec<Case> {
    let of = |(character, length): (&str, usize)| {
        let cut_short = &character.as_bytes()[..length];
        let text = [BEFORE.as_bytes(), cut_short].concat();
        let what = format!("the first {length} bytes of {character} at the end");
        let mut fragments = cut(&packed(1, &text), 3);
        let last = fragments.pop().unwrap();
        [
            Case::refused(&what, [], packed(1, &text)).ending(UTF8),
            Case::refused(format!("{what}, in fragments"), fragments, last).ending(UTF8),
            Case::passes(format!("{what} of a binary"), [packed(2, &text), packed(1, "text")]),
        ]
    };
    [("ä", 1), ("€", 1), ("€", 2), ("😀", 1), ("😀", 2), ("😀", 3)]
        .into_iter()
        .flat_map(of)
        .collect()
}

/// `max_message_size` counts what a message inflates to, and so does `max_inflation_ratio` for each
/// of its bytes, once it is more than 64 KiB.
fn too_much() -> Vec<Case> {
    let most = 256 * 1024;
    let in_blocks = |last: &str| {
        let first = [&Deflater::new(false).message(words(most))[..], &TAIL].concat();
        let mut frames = cut(&message(1, first), 5000);
        frames.last_mut().unwrap().fin = false;
        (frames, Frame::continuation(Deflater::new(false).message(last)))
    };
    let (fits, nothing) = in_blocks("");
    let (full, more) = in_blocks("e");
    let zero = |count: usize, bytes: usize| message(2, zeros(count, bytes));
    vec![
        Case::passes("a text of 256 KiB", [packed(1, words(most))]),
        Case::refused("one byte more", [packed(1, "good")], packed(1, words(most + 1)))
            .ending(TOO_BIG),
        Case::passes("a text of 256 KiB in fragments", [fits, vec![nothing]].concat()),
        Case::refused("one byte more in a last fragment", full, more).ending(TOO_BIG),
        Case::passes("64 KiB of zeros", [packed(2, vec![0; 65_536]), packed(2, vec![0; 65_536])]),
        Case::refused("one zero more", [packed(2, vec![0; 65_536])], packed(2, vec![0; 65_537]))
            .ending(TOO_BIG)
            .only(ToUpstream),
        Case::passes("200 zeros for each of 1,000 bytes", [zero(200_000, 1000)]),
        Case::refused("one zero more of them", [zero(200_000, 1000)], zero(200_001, 1000))
            .ending(TOO_BIG)
            .only(ToUpstream),
        Case::refused("one zero more of them, in chops", [], zero(200_001, 1000))
            .ending(TOO_BIG)
            .only(ToUpstream)
            .written(Writes::Chops(7)),
    ]
}
