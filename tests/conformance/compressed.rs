//! RFC 7692: messages that are compressed, where the ends agreed on it. Each is judged by what it
//! inflates to and crosses as it is, and what is no such message is refused.

use std::sync::LazyLock;

use super::Case;
use super::agreement::Agreement;
use super::case::{Writes, every_way, group};
use super::family::Family;
use super::support::{Deflater, Frame};
use super::utf8::TEXTS;

mod offences;

pub(crate) const FAMILY: Family = Family {
    settings: "max_message_size = \"256KiB\"\nmax_reply_size = \"256KiB\"\nmax_fragments = 4096",
    ..Family::new(12, "Compressed messages", cases)
};

/// The example of RFC 7692 section 7.2.3.1, and what was taken off its end.
pub(super) const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
pub(super) const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// From no data to more than a frame that is held back.
const SIZES: [usize; 11] = [0, 16, 64, 256, 1024, 4096, 8192, 16_384, 32_768, 65_536, 131_072];

#[test]
fn compressed_messages() {
    FAMILY.check();
}

/// Several tests ask, and compressing them takes a while.
fn cases() -> Vec<Case> {
    static CASES: LazyLock<Vec<Case>> = LazyLock::new(all);
    CASES.clone()
}

fn all() -> Vec<Case> {
    let cases = [
        group("12.1", SIZES.map(|size| in_a_row(1, size, words(size)))),
        group("12.2", SIZES.map(|size| in_a_row(1, size, noise(size)))),
        group("12.3", SIZES.map(|size| in_a_row(2, size, bytes(size)))),
        group("12.4", SIZES.map(chopped)),
        group("12.5", fragments()),
        group("12.6", every_way(empty_fragments())),
        group("12.7", TEXTS.iter().flat_map(|(what, text)| of_a_script(what, text))),
        group("12.8", every_way(beside_others())),
        group("12.9", every_way(forms())),
        group("12.10", large_forms()),
        offences::cases(),
    ];
    cases.concat().into_iter().map(|case| case.agreeing(Agreement::plain())).collect()
}

/// A compressed message in one frame.
pub(super) fn packed(opcode: u8, text: impl AsRef<[u8]>) -> Frame {
    message(opcode, Deflater::new(false).message(text))
}

/// A compressed message with this payload, whatever it is.
pub(super) fn message(opcode: u8, payload: impl AsRef<[u8]>) -> Frame {
    Frame::new(opcode, payload).with_rsv(4)
}

/// Text of so many bytes with characters of every length, that gets about a sixth of it.
pub(super) fn words(size: usize) -> String {
    let mut text = String::new();
    for number in 0.. {
        let entry =
            format!("{{\"number\": {}, \"text\": \"Grüße, 世界 😀\"}}, ", number * 7919 % 1000);
        if text.len() + entry.len() > size {
            break;
        }
        text += &entry;
    }
    let rest = "x".repeat(size - text.len());
    text + &rest
}

/// ASCII that gets little smaller.
pub(super) fn noise(size: usize) -> String {
    bytes(size).into_iter().map(|byte| char::from(byte & 0x7f)).collect()
}

/// Bytes that do not get smaller.
pub(super) fn bytes(size: usize) -> Vec<u8> {
    let mut state = 0x1234_5678_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_be_bytes()[0]
    };
    (0..size).map(|_| next()).collect()
}

/// What a stored block has before its text.
pub(super) const STORED_HEAD: usize = 5;

/// A stored block (RFC 1951 section 3.2.4), in which each byte of the text is a byte of its own.
pub(super) fn stored(text: &[u8]) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap();
    [&[0], &length.to_le_bytes()[..], &(!length).to_le_bytes(), text].concat()
}

/// The frames of a message, its payload cut into pieces.
pub(super) fn cut(frame: &Frame, size: usize) -> Vec<Frame> {
    let mut frames: Vec<_> = frame.payload.chunks(size).map(Frame::continuation).collect();
    let last = frames.len() - 1;
    for fragment in &mut frames[..last] {
        fragment.fin = false;
    }
    (frames[0].opcode, frames[0].rsv) = (frame.opcode, frame.rsv);
    frames
}

/// The same message three times: each stands for itself.
fn in_a_row(opcode: u8, size: usize, text: impl AsRef<[u8]>) -> Case {
    let frame = packed(opcode, text);
    let what = format!("{size} bytes of {opcode:#x} in {}, thrice", frame.payload.len());
    Case::passes(what, [frame.clone(), frame.clone(), frame])
}

fn chopped(size: usize) -> Case {
    let chop = if size <= 4096 { 1 } else { 997 };
    let frames = [packed(1, words(size)), packed(2, bytes(size))];
    Case::passes(format!("{size} bytes in chops of {chop}"), frames).written(Writes::Chops(chop))
}

/// Of sizes that end within a code of the compressed data, of 1,024 bytes, and of more than is held
/// back; once more with a ping behind each.
fn fragments() -> Vec<Case> {
    let of = |(what, frame): &(&str, Frame), size: usize| {
        let pinged = |fragment| [fragment, Frame::ping("between")];
        let what = format!("{what} in fragments of {size}");
        let with_pings: Vec<_> = cut(frame, size).into_iter().flat_map(pinged).collect();
        [
            Case::passes(&what, cut(frame, size)),
            Case::passes(what + ", pings between them", with_pings).written(Writes::FrameWise),
        ]
    };
    let small = ("4 KiB of text", packed(1, words(4096)));
    let text = ("128 KiB of text", packed(1, words(131_072)));
    let binary = ("128 KiB of binary", packed(2, bytes(131_072)));
    let small = [1, 3, 100].into_iter().flat_map(|size| of(&small, size));
    let large = [64, 256, 1023, 1024, 4096, 20_000].into_iter();
    small.chain(large.flat_map(|size| [of(&text, size), of(&binary, size)].concat())).collect()
}

fn empty_fragments() -> Vec<Case> {
    let first = || message(1, HELLO).unfinished();
    let none = || Frame::continuation("").unfinished();
    vec![
        Case::passes("the example in fragments", {
            [message(1, &HELLO[..3]).unfinished(), Frame::continuation(&HELLO[3..])]
        }),
        Case::passes("an empty first fragment", {
            [message(1, "").unfinished(), Frame::continuation(HELLO)]
        }),
        Case::passes("an empty last fragment", [first(), Frame::continuation("")]),
        Case::passes("empty fragments in the middle", {
            [
                message(1, &HELLO[..3]).unfinished(),
                none(),
                Frame::ping(""),
                none(),
                Frame::continuation(&HELLO[3..]),
            ]
        }),
    ]
}

/// Whole, byte by byte, and in fragments of a byte, so that characters end within others.
fn of_a_script(what: &str, text: &str) -> Vec<Case> {
    let frame = packed(1, text);
    vec![
        Case::passes(what, [frame.clone()]),
        Case::passes(what, [frame.clone()]).written(Writes::Chops(1)),
        Case::passes(format!("{what}, fragments of a byte"), cut(&frame, 1)),
        Case::passes(format!("{what}, not compressed"), [packed(1, ""), Frame::text(text)]),
    ]
}

/// RSV1 says of each message by itself whether it is compressed.
fn beside_others() -> Vec<Case> {
    let start = |frame: Frame| frame.unfinished();
    vec![
        Case::passes("compressed and not in turn", {
            [packed(1, "one"), Frame::text("two"), packed(2, "three"), Frame::binary("four")]
        }),
        Case::passes("compressed and not in turn, in fragments", {
            [
                start(Frame::text("not ")),
                Frame::continuation("compressed"),
                start(message(1, &HELLO[..3])),
                Frame::continuation(&HELLO[3..]),
                start(Frame::binary("not ")),
                Frame::continuation("compressed"),
            ]
        }),
        Case::passes("control frames between them", {
            [Frame::ping("one"), packed(1, "two"), Frame::pong("unasked"), packed(1, "three")]
        }),
        Case::closes(
            "a Close behind it",
            [packed(1, "one"), Frame::close(1000, "done")],
            vec![packed(1, "late").into()],
        ),
        Case::closes(
            "a Close in the middle of it",
            [start(message(1, &HELLO[..3])), Frame::close(1000, "enough")],
            vec![Frame::continuation(&HELLO[3..]).into()],
        ),
    ]
}

/// RFC 7692 section 7.2.3, and other data that says the same.
fn forms() -> Vec<Case> {
    let of = |what: &str, payload: &[u8]| Case::passes(what, [message(1, payload), packed(2, "")]);
    vec![
        of("7.2.3.1, one block", &HELLO),
        of("7.2.3.3, a stored block", &[&stored(b"Hello")[..], &[0]].concat()),
        of(
            "7.2.3.5, two blocks",
            &[&[0xf2, 0x48, 0x05, 0x00], &TAIL[..], &[0xca, 0xc9, 0xc9, 0x07, 0x00]].concat(),
        ),
        of("7.2.3.6, an empty message", &[0x00]),
        of("an empty message of another form", &[0x02, 0x00]),
        of(
            "many blocks without data",
            &[&HELLO[..], &TAIL, &[0, 0, 0, 0xff, 0xff].repeat(50), &[0x00]].concat(),
        ),
        of("a stored block and another", &[stored(b"Hel"), stored(b"lo"), vec![0]].concat()),
        of("stored blocks without data", &[stored(b""), stored(b""), vec![0]].concat()),
    ]
}

/// More than is held back, which is cut through.
fn large_forms() -> Vec<Case> {
    let plain = [stored(&vec![b'a'; 40_000]), stored(&vec![b'b'; 65_535]), vec![0]].concat();
    let flushed = (0..10).flat_map(|_| [Deflater::new(false).message(noise(5000)), TAIL.to_vec()]);
    let flushed = [flushed.flatten().collect(), HELLO.to_vec()].concat();
    let of = |what: &str, payload: &[u8]| {
        [Writes::Together, Writes::Chops(997), Writes::Chops(1024)]
            .map(|writes| Case::passes(what, [message(1, payload)]).written(writes))
    };
    [of("large stored blocks", &plain), of("a block for each 5,000 bytes", &flushed)].concat()
}
