//! RFC 6455 section 10.4: limits on frames and messages, which are exact, and whatever is within
//! them passes in every size of fragments and reads. Only the size of a message is limited in both
//! directions here.

use super::Case;
use super::case::{End, Part, Writes, group};
use super::drive::Direction::ToUpstream;
use super::family::Family;
use super::support::Frame;

pub(crate) const FAMILY: Family = Family {
    settings: "max_message_size = \"256KiB\"\nmax_frame_size = \"64KiB\"\nmax_fragments = 4096\n\
               max_reply_size = \"256KiB\"",
    ..Family::new(9, "Sizes", cases)
};

const MESSAGE: usize = 256 * 1024;
const FRAME: usize = 64 * 1024;
const FRAGMENTS: usize = 4096;

const FRAME_TOO_BIG: End = End::Refused(1009, "frame.too_big");
const MESSAGE_TOO_BIG: End = End::Refused(1009, "message.too_big");
const TOO_MANY: End = End::Refused(1009, "message.fragments");

#[test]
fn sizes_up_to_the_limits_and_beyond() {
    FAMILY.check();
}

#[test]
fn sizes_up_to_the_limits_and_beyond_beside_compressed_messages() {
    FAMILY.check_where_agreed();
}

fn cases() -> Vec<Case> {
    [
        group("9.1", whole_frames(1)),
        group("9.2", whole_frames(2)),
        group("9.3", largest_messages(1)),
        group("9.4", largest_messages(2)),
        group("9.5", chopped()),
        group("9.6", one_frame_too_big()),
        group("9.7", one_message_too_big()),
        group("9.8", one_fragment_too_many()),
    ]
    .concat()
}

fn whole_frames(opcode: u8) -> Vec<Case> {
    let of = |size: usize| {
        Case::passes(format!("{size} bytes of {opcode:#x}"), [Frame::new(opcode, vec![b'a'; size])])
    };
    [1024, 4096, 16 * 1024 - 8, 16 * 1024, 32 * 1024, FRAME - 1, FRAME].map(of).to_vec()
}

/// A message of this many bytes in fragments of that many.
fn message(opcode: u8, bytes: usize, fragment: usize) -> Vec<Frame> {
    let payload = vec![b'b'; bytes];
    let mut frames: Vec<_> = payload.chunks(fragment).map(Frame::continuation).collect();
    frames[0].opcode = opcode;
    let last = frames.len() - 1;
    for frame in &mut frames[..last] {
        frame.fin = false;
    }
    frames
}

/// As large as a message may be, in fragments of each size.
fn largest_messages(opcode: u8) -> Vec<Case> {
    let of = |fragment: usize| {
        let what = format!("{MESSAGE} bytes of {opcode:#x} in fragments of {fragment}");
        Case::passes(what, message(opcode, MESSAGE, fragment))
    };
    [64, 256, 1024, 4096, 16 * 1024, FRAME].map(of).to_vec()
}

fn chopped() -> Vec<Case> {
    let of = |(opcode, chop): (u8, usize)| {
        let what = format!("{FRAME} bytes of {opcode:#x} in chops of {chop}");
        Case::passes(what, [Frame::new(opcode, vec![b'c'; FRAME])]).written(Writes::Chops(chop))
    };
    let chops = [64, 128, 256, 512, 1024, 2048];
    [1, 2].iter().flat_map(|&opcode| chops.map(|chop| of((opcode, chop)))).collect()
}

/// Judged at the header: what it declares need not come.
fn one_frame_too_big() -> Vec<Case> {
    let declared = |length: u64| {
        let part = Part::Length(Frame::binary(""), 127, length.to_be_bytes().into());
        Case::refused(format!("{length} bytes, only declared"), [Frame::text("good")], part)
    };
    let over = |opcode: u8| Frame::new(opcode, vec![b'd'; FRAME + 1]);
    let mut cases = vec![
        Case::refused("a text", [], over(1)),
        Case::refused("a binary", [Frame::binary("good")], over(2)),
        Case::refused("a fragment", [Frame::text("good ").unfinished()], over(0)),
        Case::refused("its header alone", [], Part::Begun(over(2), 0)),
    ];
    let lengths = [FRAME as u64 + 1, 1 << 20, 1 << 32, u64::from(u32::MAX), i64::MAX as u64];
    cases.extend(lengths.map(declared));
    cases.into_iter().map(|case| case.ending(FRAME_TOO_BIG).only(ToUpstream)).collect()
}

/// All fragments but the last cross.
fn one_message_too_big() -> Vec<Case> {
    let of = |fragment: usize| {
        let mut frames = message(1, MESSAGE, fragment);
        frames.last_mut().unwrap().fin = false;
        let what = format!("one byte more than {MESSAGE}, in fragments of {fragment}");
        Case::refused(what, frames, Frame::continuation("e")).ending(MESSAGE_TOO_BIG)
    };
    let mut cases = [256, 4096, FRAME].map(of).to_vec();
    let begun = vec![Frame::binary(vec![1; FRAME]).unfinished(); 1];
    let thrice = vec![Frame::continuation(vec![1; FRAME]).unfinished(); 2];
    let before = [begun, thrice, vec![Frame::continuation("f").unfinished()]].concat();
    let header = Part::Begun(Frame::continuation(vec![1; FRAME]), 0);
    let what = "the header of a fragment that makes it too big";
    cases.push(Case::refused(what, before, header).ending(MESSAGE_TOO_BIG));
    cases
}

fn one_fragment_too_many() -> Vec<Case> {
    let most = |payload: &str| {
        let first = Frame::text(payload).unfinished();
        let more = vec![Frame::continuation(payload).unfinished(); FRAGMENTS - 2];
        [vec![first], more].concat()
    };
    let of = |payload: &str| {
        let last = Frame::continuation(payload);
        let what = format!("{FRAGMENTS} fragments of {} bytes", payload.len());
        let exact = [most(payload), vec![last.clone()]].concat();
        let over = [most(payload), vec![last.clone().unfinished()]].concat();
        [
            Case::passes(&what, exact),
            Case::refused(format!("{what} and one more"), over, last)
                .ending(TOO_MANY)
                .only(ToUpstream),
        ]
    };
    [of(""), of("g")].concat()
}
