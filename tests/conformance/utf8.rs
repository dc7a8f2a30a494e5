//! RFC 6455 sections 5.6 and 8.1: a text is UTF-8 (RFC 3629) over all of its frames, and is refused
//! with the first byte that no text could go on with.

use super::Case;
use super::case::{End, Part, UTF8, Writes, group};
use super::family::Family;
use super::support::Frame;

mod sequences;

use sequences::EDGES;
pub(crate) use sequences::{Impossible, TEXTS, impossible};

pub(crate) const FAMILY: Family = Family::new(6, "UTF-8", cases);

/// What stands before an offence: characters of one to three bytes.
pub(crate) const BEFORE: &str = "κόσμε ";
/// Larger than any frame that is held until it is whole (16 KiB).
const LARGE: usize = 32 * 1024;

#[test]
fn texts_good_and_bad() {
    FAMILY.check();
}

#[test]
fn texts_good_and_bad_beside_compressed_messages() {
    FAMILY.check_where_agreed();
}

fn cases() -> Vec<Case> {
    let each = |case: fn(&Impossible) -> Case| impossible().iter().map(case).collect::<Vec<_>>();
    [
        group("6.1", TEXTS.iter().flat_map(|(what, text)| every_cut(what, text))),
        group("6.2", EDGES.map(edge)),
        group("6.3", each(whole)),
        group("6.4", each(withheld)),
        group("6.5", each(in_the_next_fragment)),
        group("6.6", each(in_a_large_frame)),
        group("6.7", unfinished_characters()),
        group("6.8", not_judged()),
    ]
    .concat()
}

/// In one write, byte by byte, in fragments of one byte, and in halves around a ping.
fn every_cut(what: &str, text: &str) -> Vec<Case> {
    let whole = || Case::passes(what, [Frame::text(text)]);
    let (first, second) = text.as_bytes().split_at(text.len() / 2);
    let halves = [Frame::text(first).unfinished(), Frame::ping(""), Frame::continuation(second)];
    vec![
        whole(),
        whole().written(Writes::Chops(1)),
        Case::passes(format!("{what}, fragments of a byte"), bytewise(text.as_bytes())),
        Case::passes(format!("{what}, in halves"), halves).written(Writes::FrameWise),
    ]
}

/// A first fragment that is empty, one of each byte, and a last one that is empty.
fn bytewise(text: &[u8]) -> Vec<Frame> {
    let first = Frame::text("").unfinished();
    let bytes = text.iter().map(|byte| Frame::continuation([*byte]).unfinished());
    [first].into_iter().chain(bytes).chain([Frame::continuation("")]).collect()
}

/// A code point at an edge of RFC 3629's table, alone and cut after each of its bytes.
fn edge(code_point: u32) -> Case {
    let character = char::from_u32(code_point).unwrap().to_string();
    let frames = [vec![Frame::text(&character)], bytewise(character.as_bytes())].concat();
    Case::passes(format!("U+{code_point:04X}"), frames)
}

/// The bytes up to the impossible one, it included.
pub(crate) fn up_to(offence: &Impossible) -> Vec<u8> {
    [BEFORE.as_bytes(), offence.good, &offence.bad[..1]].concat()
}

/// A text with the offence in its middle.
pub(crate) fn bytes_with(offence: &Impossible) -> Vec<u8> {
    [BEFORE.as_bytes(), offence.good, offence.bad, b" and more"].concat()
}

fn text_with(offence: &Impossible) -> Frame {
    Frame::text(bytes_with(offence))
}

fn whole(offence: &Impossible) -> Case {
    Case::refused(offence.what, [Frame::text("good")], text_with(offence))
        .then(Frame::text("late"))
        .ending(UTF8)
}

/// Nothing behind the impossible byte is sent.
fn withheld(offence: &Impossible) -> Case {
    let begun = Part::Begun(text_with(offence), up_to(offence).len());
    Case::refused(format!("{}, the rest withheld", offence.what), [], begun)
        .ending(UTF8)
        .written(Writes::Chops(1))
}

/// What is good is a fragment of its own, which crosses, even where it ends within a character.
fn in_the_next_fragment(offence: &Impossible) -> Case {
    let good = Frame::text([BEFORE.as_bytes(), offence.good].concat()).unfinished();
    let begun = Part::Begun(Frame::continuation([offence.bad, b" and more"].concat()), 1);
    Case::refused(format!("{}, in the next fragment", offence.what), [good], begun).ending(UTF8)
}

/// A frame that is cut through: what was good is at the other end already.
fn in_a_large_frame(offence: &Impossible) -> Case {
    let filling = "ä".repeat(LARGE / 4);
    let good = [filling.as_bytes(), &up_to(offence)].concat();
    let rest = "x".repeat(LARGE / 2);
    let frame = Frame::text([&good, rest.as_bytes()].concat());
    let what = format!("{}, halfway through a large frame", offence.what);
    let End::Refused(code, reason) = UTF8 else { unreachable!() };
    Case::refused(what, [Frame::text("good")], Part::Begun(frame, good.len()))
        .ending(End::Cut(code, reason))
}

/// A message that ends where its last character does not.
fn unfinished_characters() -> Vec<Case> {
    let of = |character: &'static str, length: usize| {
        let cut = &character.as_bytes()[..length];
        let text = [BEFORE.as_bytes(), cut].concat();
        let what = format!("the first {length} bytes of {character} at the end");
        [
            Case::refused(&what, [], Frame::text(&text)),
            Case::refused(format!("{what}, bytewise"), [], Frame::text(&text))
                .written(Writes::Chops(1)),
            Case::refused(
                format!("{what} of the last fragment"),
                [Frame::text(BEFORE).unfinished()],
                Frame::continuation(cut),
            ),
            Case::refused(
                format!("{what}, and an empty last fragment"),
                [Frame::text(&text).unfinished(), Frame::ping("between")],
                Frame::continuation(""),
            ),
        ]
    };
    let cuts = [("ä", 1), ("€", 1), ("€", 2), ("😀", 1), ("😀", 2), ("😀", 3)];
    let cases = cuts.into_iter().flat_map(|(character, length)| of(character, length));
    cases.map(|case| case.ending(UTF8)).collect()
}

/// Only text is judged, and each message anew.
fn not_judged() -> Vec<Case> {
    let bad = b"\xff\xfe\xed\xa0\x80\xc3";
    vec![
        Case::passes("a binary that is not UTF-8", [Frame::binary(bad)]),
        Case::passes(
            "a binary in fragments that is not UTF-8",
            [Frame::binary(bad).unfinished(), Frame::continuation(bad)],
        ),
        Case::passes("pings and pongs that are not", [Frame::ping(bad), Frame::pong(bad)]),
        Case::passes(
            "one within a text",
            [Frame::text(b"caf\xc3").unfinished(), Frame::ping(bad), Frame::continuation(b"\xa9")],
        ),
        Case::passes(
            "a text behind a binary that ends in a first byte",
            [Frame::binary(b"\xc3"), Frame::text("text")],
        ),
    ]
}
