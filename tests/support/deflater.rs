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

    /// The payload of a message.
    pub fn message(&mut self, text: impl AsRef<[u8]>) -> Vec<u8> {
        let mut payload = self.run(text.as_ref(), FlushCompress::Sync);
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
