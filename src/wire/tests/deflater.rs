//! Compresses messages as other programs do.

use flate2::{Compress, Compression, FlushCompress};

pub(crate) struct Deflater {
    compress: Compress,
    takes_over: bool,
}

impl Deflater {
    /// With a window of so many bits, 9 to 15, taken over or not.
    pub(crate) fn new(bits: u8, takes_over: bool) -> Self {
        let compress = Compress::new_with_window_bits(Compression::default(), false, bits);
        Self { compress, takes_over }
    }

    /// The payload of a message (RFC 7692 section 7.2.1).
    pub(crate) fn message(&mut self, text: &[u8]) -> Vec<u8> {
        let mut payload = self.flushed(text, FlushCompress::Sync);
        // A second flush without anything between has nothing to say.
        if payload.is_empty() {
            payload.extend([0, 0, 0, 0xff, 0xff]);
        }
        assert!(payload.ends_with(&[0, 0, 0xff, 0xff]));
        payload.truncate(payload.len() - 4);
        if !self.takes_over {
            self.compress.reset();
        }
        payload
    }

    /// All that comes out when `text` is put in and flushed.
    pub(crate) fn flushed(&mut self, text: &[u8], flush: FlushCompress) -> Vec<u8> {
        let start = self.compress.total_in();
        let mut payload = Vec::new();
        loop {
            payload.reserve(text.len() + 64);
            let read = usize::try_from(self.compress.total_in() - start).unwrap();
            self.compress.compress_vec(&text[read..], &mut payload, flush).unwrap();
            if payload.len() < payload.capacity() {
                return payload;
            }
        }
    }
}
