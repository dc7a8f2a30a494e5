//! The frame rules alone, without sockets: `cargo bench --bench rules`. A stream of frames as a
//! client sends it goes through the gate; beside it, what tungstenite's public parts make of the
//! same stream: the header, the payload unmasked, and as text. The same texts compressed, counted
//! as they are on the wire.

mod frames;

use std::io::Cursor;
use std::num::NonZeroU16;

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use flate2::{Compress, Compression, FlushCompress};
use frames::{KINDS, Kind, Stream};
use framewall::values::Endpoint;
use framewall::wire::{Context, FrameLimits, Gate, HoldBudget};
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;

/// What a TCP segment on an Ethernet carries.
const SEGMENT: usize = 1460;
const LIMITS: FrameLimits = FrameLimits {
    max_frame_size: 1 << 20,
    max_message_size: 1 << 20,
    max_fragments: 1024,
    max_inflation_ratio: NonZeroU16::new(200),
};

fn main() {
    divan::main();
}

/// The gate, given the stream in one piece.
#[divan::bench(args = KINDS)]
fn gate_whole(bencher: Bencher, kind: Kind) {
    let stream = Stream::new(kind);
    let (bytes, frames) = size(&stream);
    let budget = HoldBudget::new(1 << 26);
    bencher.counter(bytes).counter(frames).bench_local(|| {
        let mut gate = Gate::new(Endpoint::Client, LIMITS, *b"ownping!");
        judge(&mut gate, black_box(&stream.bytes), &budget)
    });
}

/// The gate, given the stream as it comes from a network.
#[divan::bench(args = KINDS)]
fn gate_in_segments(bencher: Bencher, kind: Kind) {
    let stream = Stream::new(kind);
    let (bytes, frames) = size(&stream);
    let budget = HoldBudget::new(1 << 26);
    bencher.counter(bytes).counter(frames).bench_local(|| {
        let mut gate = Gate::new(Endpoint::Client, LIMITS, *b"ownping!");
        let pieces = black_box(&stream.bytes).chunks(SEGMENT);
        pieces.map(|piece| judge(&mut gate, piece, &budget)).sum::<usize>()
    });
}

/// The gate, given the stream with each message compressed by itself.
#[divan::bench(args = KINDS)]
fn gate_compressed(bencher: Bencher, kind: Kind) {
    let stream = compressed(kind);
    let (bytes, frames) = size(&stream);
    let budget = HoldBudget::new(1 << 26);
    bencher.counter(bytes).counter(frames).bench_local(|| {
        let mut gate = Gate::new(Endpoint::Client, LIMITS, *b"ownping!");
        gate.inflate(Context::Anew);
        judge(&mut gate, black_box(&stream.bytes), &budget)
    });
}

/// tungstenite's header, one copy that is unmasked, and the standard library's check of text.
#[divan::bench(args = KINDS)]
fn tungstenite_whole(bencher: Bencher, kind: Kind) {
    let stream = Stream::new(kind);
    let (bytes, frames) = size(&stream);
    let mut scratch = vec![0; kind.size];
    bencher
        .counter(bytes)
        .counter(frames)
        .bench_local(|| parse(black_box(&stream.bytes), kind.text, &mut scratch));
}

/// Judges a piece to its end; how many bytes may go on.
fn judge(gate: &mut Gate, mut piece: &[u8], budget: &HoldBudget) -> usize {
    let mut released = 0;
    while !piece.is_empty() {
        let judged = gate.judge(piece, budget);
        assert!(judged.event.is_none(), "a good stream is refused");
        released += judged.release[0].len() + judged.release[1].len();
        piece = &piece[judged.consumed..];
    }
    released
}

fn parse(bytes: &[u8], text: bool, scratch: &mut [u8]) -> usize {
    let mut cursor = Cursor::new(bytes);
    let mut accepted = 0;
    while let Ok(Some((header, length))) = FrameHeader::parse(&mut cursor) {
        let (Ok(start), Ok(length)) = (usize::try_from(cursor.position()), usize::try_from(length))
        else {
            break;
        };
        let (masked, plain) = (&bytes[start..start + length], &mut scratch[..length]);
        unmask(masked, header.mask.unwrap_or_default(), plain);
        if text && std::str::from_utf8(black_box(plain)).is_err() {
            break;
        }
        accepted += length;
        cursor.set_position((start + length) as u64);
    }
    accepted
}

/// Four bytes at a time, as tungstenite does where it keeps this to itself.
fn unmask(masked: &[u8], key: [u8; 4], plain: &mut [u8]) {
    let wide = u32::from_ne_bytes(key);
    let ((words, rest), (to, tail)) = (masked.as_chunks(), plain.as_chunks_mut());
    for (to, from) in to.iter_mut().zip(words) {
        *to = (u32::from_ne_bytes(*from) ^ wide).to_ne_bytes();
    }
    for ((to, from), key) in tail.iter_mut().zip(rest).zip(key) {
        *to = from ^ key;
    }
}

/// As many messages as an uncompressed stream of the kind has, each compressed by itself.
fn compressed(kind: Kind) -> Stream {
    let mut packed = Vec::with_capacity(kind.size + 64);
    let mut compress = Compress::new(Compression::default(), false);
    // Lines that are all the same would all but vanish.
    let text = frames::payload(kind, |number| format!("{number}: "));
    let flushed = compress.compress_vec(&text, &mut packed, FlushCompress::Sync);
    assert!(flushed.is_ok() && packed.ends_with(&[0, 0, 0xff, 0xff]));
    packed.truncate(packed.len() - 4);
    let frames = Stream::new(kind).frames;
    let opcode = if kind.text { 0xc1 } else { 0xc2 };
    Stream { bytes: frames::frame(opcode, &packed).repeat(frames), frames }
}

/// Counters of what one round goes through.
fn size(stream: &Stream) -> (BytesCount, ItemsCount) {
    (BytesCount::new(stream.bytes.len()), ItemsCount::new(stream.frames))
}
