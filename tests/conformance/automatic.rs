//! RFC 6455 section 5.4: a message that its sender, or somebody on the way, cut into fragments of a
//! size of its own choice. They cross as they are: the gateway neither joins nor cuts.

use super::Case;
use super::case::{Writes, group};
use super::family::Family;
use super::support::Frame;

pub(crate) const FAMILY: Family = Family::new(10, "Automatic fragments", cases);

#[test]
fn automatic_fragments() {
    FAMILY.check();
}

#[test]
fn automatic_fragments_beside_compressed_messages() {
    FAMILY.check_where_agreed();
}

/// Sizes that end within a character, at an edge of a length's form, and where a frame is large
/// enough to be cut through.
const SIZES: [usize; 6] = [125, 126, 1300, 4093, 16_385, 65_535];

fn cases() -> Vec<Case> {
    let text = "aä€😀".repeat(6600);
    let binary: Vec<u8> = (0..=255).cycle().take(65_536).collect();
    [
        group("10.1", SIZES.into_iter().flat_map(|size| cut(1, text.as_bytes(), size))),
        group("10.2", SIZES.into_iter().flat_map(|size| cut(2, &binary, size))),
    ]
    .concat()
}

fn cut(opcode: u8, payload: &[u8], size: usize) -> [Case; 2] {
    let last = (payload.len() - 1) / size;
    let frame = |(index, part)| Frame {
        fin: index == last,
        ..Frame::new(if index == 0 { opcode } else { 0 }, part)
    };
    let frames: Vec<_> = payload.chunks(size).enumerate().map(frame).collect();
    let what = format!("{} bytes of {opcode:#x} in fragments of {size}", payload.len());
    let whole = Case::passes(what, frames);
    [whole.clone(), whole.written(Writes::Chops(1460))]
}
