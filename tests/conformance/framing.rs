//! RFC 6455 sections 5.1, 5.2 and 5.6: lengths in each of their forms, and masks.

use std::collections::HashSet;

use super::Case;
use super::case::{Part, Writes, group};
use super::family::Family;
use super::support::{Frame, Gateway, RawUpstream, Session};

pub(crate) const FAMILY: Family = Family::new(1, "Framing", cases);

/// The edges of the three forms of a length.
const SIZES: [usize; 7] = [0, 125, 126, 127, 128, 65535, 65536];

#[test]
fn lengths_and_masks() {
    FAMILY.check();
}

#[test]
fn lengths_and_masks_beside_compressed_messages() {
    FAMILY.check_where_agreed();
}

/// Section 5.7, and the key that tests mask with.
#[test]
fn the_examples_of_the_rfc() {
    let hello: [u8; 7] = [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f];
    let masked: [u8; 11] = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    assert_eq!(Frame::text("Hello").encode(), hello);
    assert_eq!(Frame::text("Hello").masked(true).encode(), masked);
    assert_eq!(Frame::text("Hel").unfinished().encode(), *b"\x01\x03Hel");
    assert_eq!(Frame::continuation("lo").encode(), *b"\x80\x02lo");
    assert_eq!(Frame::ping("Hello").encode()[..2], [0x89, 0x05]);
    let pong = Frame { opcode: 0xa, ..Frame::text("Hello") };
    assert_eq!(pong.masked(true).encode()[..2], [0x8a, 0x85]);
    assert_eq!(Frame::binary([0; 256]).encode()[..4], [0x82, 0x7e, 0x01, 0x00]);
    let large = Frame::binary(vec![0; 65536]).encode();
    assert_eq!(large[..10], [0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0]);
}

/// Section 5.3: strong entropy, a new key each frame; and section 5.1: none towards the client.
#[test]
fn the_gateway_masks_with_a_new_key() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    let key = |_| {
        let mut session = Session::open(&gateway, &upstream);
        session.client.send(&Part::WrongMask(Frame::text("hello")).encode(true));
        session.client.expect_closing(1002, "frame.protocol");
        let close = session.upstream.read_frame();
        close.mask.expect("the gateway is a client to the upstream")
    };
    let keys: HashSet<_> = (0..8).map(key).collect();
    assert!(keys.len() > 6, "{keys:x?}");
}

fn cases() -> Vec<Case> {
    [
        group("1.1", of_every_size(1, b'*')),
        group("1.2", of_every_size(2, 0xfe)),
        group("1.3", mixed()),
        group("1.4", wrong_masks()),
        group("1.5", wrong_lengths()),
        group("1.6", examples()),
    ]
    .concat()
}

/// Each size in one write, and in chops; small ones byte by byte.
fn of_every_size(opcode: u8, fill: u8) -> Vec<Case> {
    let of = |size: usize, writes| {
        let frame = Frame::new(opcode, vec![fill; size]);
        Case::passes(format!("{size} bytes of {opcode:#x}"), [frame]).written(writes)
    };
    let chops = |size| if size < 1000 { 1 } else { 997 };
    let whole = SIZES.map(|size| of(size, Writes::Together));
    let chopped = SIZES.map(|size| of(size, Writes::Chops(chops(size))));
    [whole, chopped].concat()
}

/// One message behind another, so that a header begins wherever a read may end.
fn mixed() -> Vec<Case> {
    let frames = || SIZES.map(|size| Frame::binary(vec![7; size]));
    let kinds = || [Frame::text("one"), Frame::binary([0xff]), Frame::text(""), Frame::text("two")];
    vec![
        Case::passes("every size behind the other", frames()),
        Case::passes("every size behind the other", frames()).written(Writes::Chops(1021)),
        Case::passes("texts and binaries in turn", kinds()),
        Case::passes("texts and binaries in turn", kinds()).written(Writes::Chops(1)),
    ]
}

/// Section 5.1: a client masks every frame, a server none.
fn wrong_masks() -> Vec<Case> {
    let frame = |opcode| match opcode {
        8 => Frame::close(1000, ""),
        _ => Frame::new(opcode, "hello"),
    };
    let alone = [1, 2, 8, 9, 0xa].map(|opcode| {
        let what = format!("the wrong mask on {opcode:#x}");
        Case::refused(what, [], Part::WrongMask(frame(opcode)))
    });
    let more = [
        Case::refused("the wrong mask on a continuation", [Frame::text("a").unfinished()], {
            Part::WrongMask(Frame::continuation("b"))
        }),
        Case::refused("the wrong mask on an empty text", [], Part::WrongMask(Frame::text(""))),
        Case::refused("the wrong mask on the second text", [Frame::text("one")], {
            Part::WrongMask(Frame::text("two"))
        })
        .then(Frame::text("three")),
    ];
    [alone.to_vec(), more.to_vec()].concat()
}

/// Section 5.2: the shortest form, and no more than 63 bits.
fn wrong_lengths() -> Vec<Case> {
    let in_16 = |size: u16| {
        let frame = Frame::binary(vec![1; size.into()]);
        let what = format!("{size} bytes said in 16 bits");
        Case::refused(what, [], Part::Length(frame, 126, size.to_be_bytes().into()))
    };
    let in_64 = |size: u16| {
        let frame = Frame::binary(vec![1; size.into()]);
        let length = u64::from(size).to_be_bytes().into();
        Case::refused(format!("{size} bytes said in 64 bits"), [], Part::Length(frame, 127, length))
    };
    let top = |length: u64| {
        let what = format!("a length of {length:#x}");
        let bytes = length.to_be_bytes().into();
        Case::refused(what, [Frame::text("one")], Part::Length(Frame::binary(""), 127, bytes))
    };
    [
        [0, 1, 125].map(in_16).to_vec(),
        [0, 125, 126, 127, 128, 65535].map(in_64).to_vec(),
        [1 << 63, u64::MAX, (1 << 63) + 5].map(top).to_vec(),
    ]
    .concat()
}

/// Section 5.7, in its order.
fn examples() -> Vec<Case> {
    vec![
        Case::passes("a text of one frame", [Frame::text("Hello")]),
        Case::passes("a text in fragments", {
            [Frame::text("Hel").unfinished(), Frame::continuation("lo")]
        }),
        Case::passes("a ping and its answer", [Frame::ping("Hello"), Frame::pong("Hello")]),
        Case::passes("a binary of 256 bytes", [Frame::binary([0; 256])]),
        Case::passes("a binary of 64 KiB", [Frame::binary(vec![0; 65536])]),
    ]
}
