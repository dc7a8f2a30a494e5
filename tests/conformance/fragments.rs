//! RFC 6455 section 5.4: messages in fragments, and control frames in between.

use super::Case;
use super::case::{Part, Writes, every_way, group};
use super::family::Family;
use super::support::Frame;

pub(crate) const FAMILY: Family = Family::new(5, "Fragments", cases);

#[test]
fn fragments() {
    FAMILY.check();
}

#[test]
fn fragments_beside_compressed_messages() {
    FAMILY.check_where_agreed();
}

fn cases() -> Vec<Case> {
    [
        group("5.1", every_way(messages())),
        group("5.2", every_way(between_fragments())),
        group("5.3", every_way(fragmented_control_frames())),
        group("5.4", every_way(continuations_of_nothing())),
        group("5.5", every_way(a_message_within_another())),
        group("5.6", large()),
    ]
    .concat()
}

fn start(text: &str) -> Frame {
    Frame::text(text).unfinished()
}

fn more(text: &str) -> Frame {
    Frame::continuation(text).unfinished()
}

fn last(text: &str) -> Frame {
    Frame::continuation(text)
}

fn messages() -> Vec<Case> {
    let bytes = |opcode, payload: &[u8]| Frame::new(opcode, payload);
    vec![
        Case::passes("a text in two", [start("one "), last("two")]),
        Case::passes("a text in three", [start("one "), more("two "), last("three")]),
        Case::passes("a text in three, all empty", [start(""), more(""), last("")]),
        Case::passes("a text, empty but in the middle", [start(""), more("middle"), last("")]),
        Case::passes("a text, empty in the middle", [start("one "), more(""), last("two")]),
        Case::passes("a binary in two", [bytes(2, &[0xff]).unfinished(), bytes(0, &[0xfe])]),
        Case::passes("fragments of one byte", {
            let parts = (0..20).map(|_| more("a"));
            [vec![start("")], parts.collect(), vec![last("")]].concat()
        }),
        Case::passes("two messages behind each other", {
            [start("one "), last("two"), start("three "), last("four"), Frame::text("five")]
        }),
    ]
}

/// Section 5.4: "control frames MAY be injected in the middle of a fragmented message".
fn between_fragments() -> Vec<Case> {
    let ping = || Frame::ping("between");
    vec![
        Case::passes("a ping", [start("one "), ping(), last("two")]),
        Case::passes("a pong", [start("one "), Frame::pong(""), last("two")]),
        Case::passes("pings everywhere", {
            [ping(), start("one "), ping(), ping(), more("two "), ping(), last("three"), ping()]
        }),
        Case::passes(
            "a ping in a character",
            [Frame::text(b"caf\xc3").unfinished(), ping(), Frame::continuation(b"\xa9")],
        ),
        Case::passes("an empty ping between empty fragments", {
            [start(""), Frame::ping(""), more(""), Frame::pong(""), last("")]
        }),
        Case::closes(
            "a Close, and the message never ends",
            [start("one "), Frame::close(1000, "enough")],
            vec![last("two").into()],
        ),
    ]
}

/// Section 5.5: "all control frames [...] MUST NOT be fragmented".
fn fragmented_control_frames() -> Vec<Case> {
    let close = Frame::new(8, 1000_u16.to_be_bytes());
    let of = |frame: Frame| {
        let what = format!("{:#x}", frame.opcode);
        let fragment = || frame.clone().unfinished();
        [
            Case::refused(format!("a fragment of {what}, and its end"), [], fragment())
                .then(last("")),
            Case::refused(format!("a fragment of {what} alone"), [], fragment()),
            Case::refused(format!("the header of a fragment of {what}"), [], {
                Part::Start(fragment())
            }),
            Case::refused(format!("a fragment of {what} in a message"), [start("a")], fragment())
                .then(last("b")),
        ]
    };
    [of(Frame::ping("ping")), of(Frame::pong("pong")), of(close)].concat()
}

fn continuations_of_nothing() -> Vec<Case> {
    let over = || [start("one "), last("two")];
    let late = || Frame::text("late");
    vec![
        Case::refused("a last fragment", [], last("a")).then(late()),
        Case::refused("a fragment that is to go on", [], more("a")).then(late()),
        Case::refused("an empty one", [], last("")).then(late()),
        Case::refused("its header", [], Part::Start(last("a"))),
        Case::refused("behind a whole message", [Frame::text("one")], last("two")),
        Case::refused("behind a message in fragments", over(), last("three")),
        Case::refused("behind a message in fragments, to go on", over(), more("three"))
            .then(last("four")),
        Case::refused("behind a ping", [Frame::ping("")], last("a")),
    ]
}

fn a_message_within_another() -> Vec<Case> {
    let open = || [start("one ")];
    vec![
        Case::refused("a text", open(), Frame::text("two")),
        Case::refused("a binary", open(), Frame::binary("two")),
        Case::refused("an empty text", open(), Frame::text("")),
        Case::refused("a text's first fragment", open(), start("two ")).then(last("three")),
        Case::refused("its header", open(), Part::Start(Frame::text("two"))),
        Case::refused("behind a ping", [start("one "), Frame::ping("")], Frame::text("two")),
        Case::refused("behind a second fragment", [start("one "), more("two ")], {
            Frame::text("three")
        }),
        Case::refused("a binary in a binary", [Frame::binary("a").unfinished()], {
            Frame::binary("b")
        }),
    ]
}

/// Fragments that are cut through as they arrive, with control frames between them.
fn large() -> Vec<Case> {
    let size = 40_000;
    let part = |frame: Frame| Frame { payload: vec![b'x'; size], ..frame };
    let message = || {
        [part(start("")), Frame::ping("between"), part(more("")), Frame::pong(""), part(last(""))]
    };
    let begun = || [part(start("")), Frame::ping("between")];
    let ways = [Writes::Together, Writes::FrameWise, Writes::Chops(1009)];
    let of = |writes| {
        [
            Case::passes("fragments of 40,000 bytes", message()).written(writes),
            Case::refused("a text behind one of 40,000 bytes", begun(), part(Frame::text("")))
                .written(writes),
        ]
    };
    ways.into_iter().flat_map(of).collect()
}
