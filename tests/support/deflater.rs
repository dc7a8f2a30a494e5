//! Messages as an end compresses them (RFC 7692 section 7.2).

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

use super::Frame;

/// What follows a message when it is inflated, and is taken off when it is sent.
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// One end's compressor.
pub struct Deflater {
    compress: Compress,
    takes_over: bool,
}

impl Deflater {
    /// Each message by itself, or with those before it as its context.
    pub fn new(takes_over: bool) -> Self {
        Self { compress: Compress::new(Compression::default(), false), takes_over }
    }

    /// The same with a window of two to the power of so many bytes: 8 to 15. In one of 8 bits, which
    /// the library does not have, nothing refers to anything.
    pub fn within(bits: u8, takes_over: bool) -> Self {
        let level = if bits > 8 { Compression::default() } else { Compression::none() };
        Self { compress: Compress::new_with_window_bits(level, false, bits.max(9)), takes_over }
    }

    /// The payload of a message.
    pub fn message(&mut self, text: impl AsRef<[u8]>) -> Vec<u8> {
        let mut payload = self.run(text.as_ref(), FlushCompress::Sync);
        // A second flush without anything between has nothing to say.
        if payload.is_empty() {
            payload = [&[0x00], &TAIL[..]].concat();
        }
        assert!(payload.ends_with(&TAIL));
        payload.truncate(payload.len() - TAIL.len());
        if !self.takes_over {
            self.compress.reset();
        }
        payload
    }

    fn run(&mut self, text: &[u8], flush: FlushCompress) -> Vec<u8> {
        let mut payload = Vec::with_capacity(text.len() + 64);
        self.compress.compress_vec(text, &mut payload, flush).unwrap();
        payload
    }
}

/// A text frame with this text compressed.
pub fn packed(text: impl AsRef<[u8]>) -> Frame {
    Frame::text(Deflater::new(false).message(text)).with_rsv(4)
}

/// The payload of a message of so many MiB of zeros: about a thousandth of it.
pub fn bomb(mebibytes: usize) -> Vec<u8> {
    let zeros = Deflater::new(false).run(&vec![0; 1 << 20], FlushCompress::Full);
    let mut payload = zeros.repeat(mebibytes);
    payload.truncate(payload.len() - TAIL.len());
    payload
}

/// The payload of a message of so many zeros in exactly so many bytes: in as few as there may be, and
/// blocks behind them that say nothing.
pub fn zeros(count: usize, packed: usize) -> Vec<u8> {
    let dense = Deflater::new(false).run(&vec![0; count], FlushCompress::Full);
    let rest = packed - dense.len() - 1;
    // A stored block without data has five bytes, a fixed one and a stored one together six.
    let sixes = rest % 5;
    let fives = (rest - 6 * sixes) / 5;
    let fives = [0x00, 0x00, 0x00, 0xff, 0xff].repeat(fives);
    let sixes = [0x02, 0x00, 0x00, 0x00, 0xff, 0xff].repeat(sixes);
    [dense, fives, sixes, vec![0x00]].concat()
}

/// What the payload of a message says, whatever came before it.
pub fn inflated(payload: &[u8]) -> Vec<u8> {
    let whole = [payload, &TAIL].concat();
    let (mut inflater, mut text) = (Decompress::new(false), Vec::new());
    loop {
        text.reserve(64 * 1024);
        let read = usize::try_from(inflater.total_in()).unwrap();
        inflater.decompress_vec(&whole[read..], &mut text, FlushDecompress::None).unwrap();
        if text.len() < text.capacity() {
            return text;
        }
    }
}
