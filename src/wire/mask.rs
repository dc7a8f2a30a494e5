//! Masking (RFC 6455 section 5.3), to read a payload; forwarded bytes keep their mask.

/// The key, rotated for a piece that starts `done` bytes into the payload.
#[inline]
pub(super) fn key_at(key: [u8; 4], done: u64) -> [u8; 4] {
    // Rotated as one number, since rotating a slice takes some forty instructions.
    u32::from_be_bytes(key).rotate_left((done % 4) as u32 * u8::BITS).to_be_bytes()
}

/// Writes `block` to `out` with `key` applied, eight bytes at a time. Both have the same length; the key's
/// first byte belongs to the block's first byte.
#[inline]
pub(super) fn unmask(block: &[u8], key: [u8; 4], out: &mut [u8]) {
    debug_assert_eq!(block.len(), out.len());
    let wide = widen(key);
    let mut from = block.chunks_exact(8);
    let mut to = out.chunks_exact_mut(8);
    for (from, to) in from.by_ref().zip(to.by_ref()) {
        to.copy_from_slice(&(word(from) ^ wide).to_ne_bytes());
    }
    let tail = from.remainder().iter().zip(to.into_remainder());
    for ((from, to), key) in tail.zip(key.iter().cycle()) {
        *to = from ^ key;
    }
}

/// Whether `block`, with `key` applied, is ASCII; nothing is written.
#[inline]
pub(super) fn is_ascii(block: &[u8], key: [u8; 4]) -> bool {
    let wide = widen(key);
    let words = block.chunks_exact(8);
    let tail = words.remainder().iter().zip(key.iter().cycle());
    let tail = tail.fold(0, |high, (byte, key)| high | (byte ^ key));
    let high = words.fold(0, |high, bytes| high | (word(bytes) ^ wide));
    high & 0x8080_8080_8080_8080 == 0 && tail < 0x80
}

fn widen(key: [u8; 4]) -> u64 {
    let [a, b, c, d] = key;
    u64::from_ne_bytes([a, b, c, d, a, b, c, d])
}

/// Eight bytes in the order of memory.
fn word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(bytes);
    u64::from_ne_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::{is_ascii, key_at, unmask};

    fn byte_by_byte(block: &[u8], key: [u8; 4]) -> Vec<u8> {
        block.iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]).collect()
    }

    #[test]
    fn rfc_6455_section_5_7_hello() {
        let mut out = [0; 5];
        unmask(&[0x7f, 0x9f, 0x4d, 0x51, 0x58], [0x37, 0xfa, 0x21, 0x3d], &mut out);
        assert_eq!(&out, b"Hello");
    }

    #[test]
    fn every_length_around_the_word() {
        let key = [0x81, 0x02, 0xf3, 0x44];
        for len in 0..40u8 {
            let block: Vec<u8> = (0..len).map(|i| i.wrapping_mul(37)).collect();
            let mut out = vec![0; block.len()];
            unmask(&block, key, &mut out);
            assert_eq!(out, byte_by_byte(&block, key));
        }
    }

    #[test]
    fn ascii_sees_each_single_high_byte() {
        let key = [0x81, 0x02, 0xf3, 0x44];
        for len in 0..40usize {
            let block = byte_by_byte(&vec![b'a'; len], key);
            assert!(is_ascii(&block, key), "{len}");
            for high in 0..len {
                let mut block = block.clone();
                block[high] ^= 0x80;
                assert!(!is_ascii(&block, key), "{high} of {len}");
            }
        }
    }

    #[test]
    fn a_payload_may_be_unmasked_in_two_parts() {
        let key = [1, 2, 3, 4];
        let block = [9u8; 23];
        for cut in 0..block.len() {
            let mut out = [0; 23];
            unmask(&block[..cut], key, &mut out[..cut]);
            unmask(&block[cut..], key_at(key, cut as u64), &mut out[cut..]);
            assert_eq!(out.to_vec(), byte_by_byte(&block, key));
        }
    }
}
