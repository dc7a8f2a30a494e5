//! RFC 6455 sections 5.5.2 and 5.5.3: pings and pongs cross, and each end answers for itself.

use super::Case;
use super::case::{Part, Writes, every_way, group};
use super::family::Family;
use super::support::Frame;

pub(crate) const FAMILY: Family = Family::new(2, "Pings and pongs", cases);

/// The longest payload of a control frame.
const LONGEST: usize = 125;

#[test]
fn pings_and_pongs() {
    FAMILY.check();
}

#[test]
fn pings_and_pongs_beside_compressed_messages() {
    FAMILY.check_where_agreed();
}

fn cases() -> Vec<Case> {
    [
        group("2.1", every_way(payloads())),
        group("2.2", every_way(in_a_row())),
        group("2.3", too_long()),
    ]
    .concat()
}

fn payloads() -> Vec<Case> {
    let payloads: [(&str, &[u8]); 5] = [
        ("nothing", b""),
        ("text", b"Hello, world!"),
        ("what is not UTF-8", &[0x00, 0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0x00, 0xff]),
        ("eight bytes, as the gateway's own", &[0; 8]),
        ("125 bytes", &[0xfe; LONGEST]),
    ];
    let both = |(what, payload): (&str, &[u8])| {
        [
            Case::passes(format!("a ping with {what}"), [Frame::ping(payload)]),
            Case::passes(
                format!("a pong with {what} that nobody asked for"),
                [Frame::pong(payload)],
            ),
        ]
    };
    payloads.into_iter().flat_map(both).collect()
}

fn in_a_row() -> Vec<Case> {
    let pings: Vec<_> = (0..10).map(|i| Frame::ping(format!("ping {i}"))).collect();
    let among: Vec<_> = (0..10)
        .flat_map(|i| [Frame::ping(format!("ping {i}")), Frame::text(format!("text {i}"))])
        .collect();
    vec![
        Case::passes("ten pings", pings),
        Case::passes("pings between texts", among),
        Case::passes("an unasked pong, then a ping", [Frame::pong("pong"), Frame::ping("ping")]),
        Case::passes(
            "pongs between texts",
            [Frame::text("one"), Frame::pong("unasked"), Frame::pong(""), Frame::text("two")],
        ),
    ]
}

/// Section 5.5: refused at the length, whether it is one of 7, of 16 or of 64 bits.
fn too_long() -> Vec<Case> {
    let of = |opcode: u8| {
        let long = |size: usize| Frame::new(opcode, vec![0xfe; size]);
        let megabyte = (1_u64 << 20).to_be_bytes();
        [
            Case::refused(format!("126 bytes of {opcode:#x}"), [], long(126)),
            Case::refused(format!("126 bytes of {opcode:#x}, bytewise"), [], long(126))
                .written(Writes::Chops(1)),
            Case::refused(
                format!("126 bytes of {opcode:#x}, withheld"),
                [],
                Part::Start(long(126)),
            ),
            Case::refused(format!("65536 bytes of {opcode:#x}"), [], long(65536)),
            Case::refused(format!("a megabyte of {opcode:#x}, only declared"), [], {
                Part::Length(long(0), 127, megabyte.into())
            }),
            Case::refused(format!("126 bytes of {opcode:#x} behind a good one"), [long(125)], {
                Part::Start(long(126))
            }),
        ]
    };
    [of(0x9), of(0xa)].concat()
}
