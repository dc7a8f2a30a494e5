//! RFC 6455 section 5.2: the opcodes that mean nothing.

use super::Case;
use super::case::{Part, every_way, group};
use super::family::Family;
use super::support::Frame;

pub(crate) const FAMILY: Family = Family::new(4, "Opcodes", cases);

/// Reserved for further data frames, and for further control frames.
const RESERVED: [u8; 10] = [3, 4, 5, 6, 7, 0xb, 0xc, 0xd, 0xe, 0xf];

#[test]
fn reserved_opcodes() {
    FAMILY.check();
}

#[test]
fn reserved_opcodes_beside_compressed_messages() {
    FAMILY.check_where_agreed();
}

fn cases() -> Vec<Case> {
    [
        group("4.1", every_way(RESERVED.map(empty))),
        group("4.2", every_way(RESERVED.map(with_payload))),
        group("4.3", every_way(RESERVED.map(behind_good_messages))),
        group("4.4", RESERVED.map(within_a_message)),
        group("4.5", RESERVED.map(withheld)),
        group("4.6", RESERVED.map(unfinished)),
    ]
    .concat()
}

fn empty(opcode: u8) -> Case {
    Case::refused(format!("{opcode:#x} without a payload"), [], Frame::new(opcode, ""))
}

fn with_payload(opcode: u8) -> Case {
    Case::refused(format!("{opcode:#x} with a payload"), [], Frame::new(opcode, "reserved"))
}

fn behind_good_messages(opcode: u8) -> Case {
    let good = [Frame::text("good"), Frame::binary([0; 200]), Frame::ping("")];
    Case::refused(format!("{opcode:#x} behind good frames"), good, Frame::new(opcode, "bad"))
        .then(Frame::text("late"))
}

fn within_a_message(opcode: u8) -> Case {
    let what = format!("{opcode:#x} between two fragments");
    Case::refused(what, [Frame::text("one ").unfinished()], Frame::new(opcode, ""))
        .then(Frame::continuation("two"))
}

fn withheld(opcode: u8) -> Case {
    let what = format!("{opcode:#x}, the rest of the frame withheld");
    Case::refused(what, [], Part::Start(Frame::new(opcode, [0; 100])))
}

fn unfinished(opcode: u8) -> Case {
    Case::refused(format!("{opcode:#x} as a fragment"), [], Frame::new(opcode, "a").unfinished())
}
