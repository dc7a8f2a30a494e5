//! RFC 6455 section 5.2: the reserved bits, which no extension was negotiated for; and where
//! permessage-deflate was, which gives one of them a meaning on one kind of frame.

use super::Case;
use super::case::{End, Part, Writes, every_way, group};
use super::family::Family;
use super::support::Frame;

pub(crate) const FAMILY: Family =
    Family { where_agreed: Some(where_agreed), ..Family::new(3, "Reserved bits", cases) };

#[test]
fn reserved_bits() {
    FAMILY.check();
}

#[test]
fn reserved_bits_beside_compressed_messages() {
    FAMILY.check_where_agreed();
}

const RSV1: u8 = 4;

/// Every set of RSV1 (4), RSV2 (2) and RSV3 (1) but the empty one.
fn each(case: impl Fn(u8) -> Case) -> Vec<Case> {
    (1..8).map(case).collect()
}

fn cases() -> Vec<Case> {
    [
        group("3.1", every_way(each(alone))),
        group("3.2", every_way(each(behind_a_good_message))),
        group("3.3", each(in_chops)),
        group("3.4", each(withheld)),
        group("3.5", on_other_frames()),
        group("3.6", each(in_a_continuation)),
    ]
    .concat()
}

/// RSV1 says of a message's first frame that the message is compressed, and these are not. What is
/// no compressed message is refused for its data, as soon as that is there: a frame that is cut
/// through has begun to cross, and two bytes of a header are nothing wrong yet.
fn where_agreed() -> Vec<Case> {
    let large = |rsv| match rsv {
        RSV1 => in_chops(rsv).ending(End::Cut(1002, "frame.protocol")),
        _ => in_chops(rsv),
    };
    [
        group("3.1", every_way(each(alone))),
        group("3.2", every_way(each(behind_a_good_message))),
        group("3.3", each(large)),
        group("3.4", (1..8).filter(|rsv| *rsv != RSV1).map(withheld)),
        group("3.5", on_other_frames()),
        group("3.6", each(in_a_continuation)),
    ]
    .concat()
}

fn bits(rsv: u8) -> String {
    format!("RSV {rsv:03b}")
}

fn alone(rsv: u8) -> Case {
    Case::refused(bits(rsv), [], Frame::text("hello").with_rsv(rsv))
}

fn behind_a_good_message(rsv: u8) -> Case {
    let what = format!("{} behind a good text, a ping behind it", bits(rsv));
    Case::refused(what, [Frame::text("good")], Frame::text("bad").with_rsv(rsv))
        .then(Frame::ping("late"))
}

fn in_chops(rsv: u8) -> Case {
    let large = Frame::binary(vec![rsv; 20_000]).with_rsv(rsv);
    Case::refused(format!("{} on 20,000 bytes", bits(rsv)), [], large).written(Writes::Chops(997))
}

fn withheld(rsv: u8) -> Case {
    let what = format!("{}, the rest of the frame withheld", bits(rsv));
    Case::refused(what, [Frame::text("good")], Part::Start(Frame::text("bad").with_rsv(rsv)))
}

/// A binary, and the control frames.
fn on_other_frames() -> Vec<Case> {
    let frames = [Frame::binary(""), Frame::close(1000, ""), Frame::ping("a"), Frame::pong("a")];
    let of = |frame: Frame| {
        each(move |rsv| {
            let what = format!("{} on {:#x}", bits(rsv), frame.opcode);
            Case::refused(what, [], frame.clone().with_rsv(rsv))
        })
    };
    frames.into_iter().flat_map(of).collect()
}

fn in_a_continuation(rsv: u8) -> Case {
    let start = [Frame::text("one ").unfinished(), Frame::ping("between")];
    let what = format!("{} on a continuation", bits(rsv));
    Case::refused(what, start, Frame::continuation("two").with_rsv(rsv))
}
