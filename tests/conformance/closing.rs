//! RFC 6455 sections 5.5.1 and 7: the closing handshake, and what a Close may say.

use super::Case;
use super::case::{Part, UTF8, Writes, every_way, group};
use super::family::Family;
use super::support::{Frame, Gateway, RawUpstream, Session};

pub(crate) const FAMILY: Family = Family::new(7, "Closing", cases);

/// Of the RFC and of IANA's registry, those that may be in a frame; and the ends of the ranges that
/// are for libraries and for applications.
const VALID: [u16; 16] = [
    1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999,
];

/// Below every range, not assigned, reserved, never in a frame, above every range.
const INVALID: [u16; 16] =
    [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1099, 1100, 1999, 2000, 2999, 5000, 32768, 65535];

/// The longest reason: 125 bytes without the code.
const LONGEST: usize = 123;

#[test]
fn closes() {
    FAMILY.check();
}

#[test]
fn closes_beside_compressed_messages() {
    FAMILY.check_where_agreed();
}

/// Section 5.5.1 allows one Close an end: whoever was sent the other end's gets no second one with
/// the offence, only the end; and whoever closed is answered.
#[test]
fn a_violation_after_the_close_of_the_other_peer() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    let (close, bad) = (Frame::close(4002, "done"), Frame::text(b"\xff"));

    let mut session = Session::open(&gateway, &upstream);
    session.client.say(close.clone());
    session.upstream.expect_frame(close.clone());
    session.upstream.say(bad.clone());
    session.client.expect_frame(Frame::close(4002, ""));
    session.client.expect_end();
    session.upstream.expect_eof();

    let mut session = Session::open(&gateway, &upstream);
    session.upstream.say(close.clone());
    session.client.expect_frame(close);
    session.client.say(bad);
    session.upstream.expect_frame(Frame::close(4002, ""));
    session.upstream.expect_end();
    session.client.expect_eof();
}

fn cases() -> Vec<Case> {
    [
        group("7.1", every_way(handshakes())),
        group("7.2", every_way(nothing_behind_a_close())),
        group("7.3", every_way(lengths())),
        group("7.4", too_long()),
        group("7.5", every_way(reasons())),
        group("7.6", VALID.into_iter().flat_map(valid)),
        group("7.7", INVALID.into_iter().flat_map(invalid)),
        group("7.8", behind_much()),
    ]
    .concat()
}

fn close() -> Frame {
    Frame::close(1000, "")
}

fn payload(payload: impl AsRef<[u8]>) -> Frame {
    Frame::new(8, payload)
}

fn handshakes() -> Vec<Case> {
    vec![
        Case::closes("at once", [close()], vec![]),
        Case::closes("behind a message", [Frame::text("hello"), close()], vec![]),
        Case::closes("behind a ping", [Frame::ping("hello"), close()], vec![]),
        Case::closes(
            "in the middle of a message",
            [Frame::text("one ").unfinished(), close()],
            vec![],
        ),
        Case::closes(
            "in the middle of a character",
            [Frame::text(b"caf\xc3").unfinished(), close()],
            vec![],
        ),
    ]
}

/// Section 5.5.1: "MUST NOT send any more data frames after sending a Close frame".
fn nothing_behind_a_close() -> Vec<Case> {
    let behind = |what: &str, late: Vec<Part>| {
        Case::closes(format!("behind a Close, {what}"), [Frame::text("hello"), close()], late)
    };
    vec![
        behind("a text", vec![Frame::text("late").into()]),
        behind(
            "a binary in fragments",
            vec![Frame::binary("a").unfinished().into(), Frame::continuation("b").into()],
        ),
        behind("a ping and a pong", vec![Frame::ping("late").into(), Frame::pong("").into()]),
        behind("the same Close again", vec![close().into()]),
        behind("another Close", vec![Frame::close(4000, "and now").into()]),
        behind("the beginning of a frame", vec![Part::Start(Frame::text("late"))]),
        Case::closes(
            "behind a Close in a message, its end",
            [Frame::text("one ").unfinished(), close()],
            vec![Frame::continuation("two").into()],
        ),
    ]
}

fn lengths() -> Vec<Case> {
    let with_reason = |length: usize| Frame::close(1000, &"r".repeat(length));
    vec![
        Case::closes("no payload", [payload("")], vec![]),
        Case::refused("one byte", [], payload([0x03])),
        Case::refused("one byte behind a message", [Frame::text("hello")], payload([0x03])),
        Case::closes("two bytes, a code", [with_reason(0)], vec![]),
        Case::closes("three bytes", [with_reason(1)], vec![]),
        Case::closes("125 bytes", [with_reason(LONGEST)], vec![]),
        Case::refused("126 bytes", [], with_reason(LONGEST + 1)),
    ]
}

fn too_long() -> Vec<Case> {
    let long = || Frame::close(1000, &"r".repeat(LONGEST + 1));
    let large = 65536_u64.to_be_bytes();
    vec![
        Case::refused("the header of 126 bytes", [], Part::Start(long())),
        Case::refused("126 bytes behind a message", [Frame::text("hello")], long()),
        Case::refused("65536 bytes, only declared", [], Part::Length(close(), 127, large.into())),
        Case::refused(
            "126 bytes in the middle of a message",
            [Frame::text("one ").unfinished()],
            long(),
        ),
        Case::refused("the header of one byte", [], Part::Start(payload([0x03]))),
    ]
}

/// Section 5.5.1: the reason is UTF-8, and may be as long as the payload allows.
fn reasons() -> Vec<Case> {
    let bad = |what: &str, reason: &[u8]| {
        let frame = payload([&1000_u16.to_be_bytes(), reason].concat());
        Case::refused(format!("a reason with {what}"), [], frame).ending(UTF8)
    };
    vec![
        Case::closes("a reason in many scripts", [Frame::close(1000, "κόσμε, ü, 😀")], vec![]),
        Case::closes(
            "a reason of two bytes a character",
            [Frame::close(1000, &"ü".repeat(LONGEST / 2))],
            vec![],
        ),
        bad("a byte that is never UTF-8", b"\xff"),
        bad("an overlong slash", b"\xc0\xaf"),
        bad("a surrogate", b"why \xed\xa0\x80"),
        bad("a character beyond U+10FFFF", b"\xf4\x90\x80\x80"),
        bad("an unfinished character", b"caf\xc3"),
        bad("an unfinished character of four bytes", b"\xf0\x9f\x98"),
        bad("a bad byte at its end", &[&[b'r'; LONGEST - 1][..], b"\x80"].concat()),
    ]
}

fn valid(code: u16) -> [Case; 3] {
    let of = |reason: &str, late| {
        let what = format!("code {code}, {} bytes of a reason", reason.len());
        Case::closes(what, [Frame::close(code, reason)], late)
    };
    [of("", vec![]), of("why", vec![]), of("why", vec![Frame::text("late").into()])]
}

fn invalid(code: u16) -> [Case; 3] {
    let of = |reason| Case::refused(format!("code {code}"), [], Frame::close(code, reason));
    let message = Frame::text("one ").unfinished();
    let within = Case::refused(format!("code {code} in a message"), [message], {
        Frame::close(code, "why")
    });
    [of(""), of("why").written(Writes::Chops(1)), within]
}

/// A Close that has to wait for its turn behind a quarter of a megabyte.
fn behind_much() -> Vec<Case> {
    let much = || Frame::text("m".repeat(256 * 1024));
    vec![
        Case::closes("behind 256 KiB", [much(), close()], vec![Frame::ping("late").into()]),
        Case::refused("a bad code behind 256 KiB", [much()], Frame::close(1005, "")),
    ]
}
