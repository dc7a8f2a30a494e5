//! Validates UTF-8 (RFC 3629) in a text that arrives in pieces.

use super::mask;

/// Bytes that are unmasked at a time, on the stack. The smaller buffer costs less to clear, for a text that
/// fits it.
const BLOCK: usize = 1024;
const SMALL_BLOCK: usize = 128;

/// Below this length the standard library's check is faster.
const TINY: usize = 64;

/// Checks a text as it arrives. Fails at the first byte that no valid text could have there, however the
/// text is cut into pieces.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Utf8 {
    /// The bytes of an incomplete character.
    tail: [u8; 3],
    tail_len: u8,
}

impl Utf8 {
    /// Whether the text so far ends between two characters.
    pub(super) fn is_whole(self) -> bool {
        self.tail_len == 0
    }

    /// Checks the next piece of the text. The error is the position in `text` of the byte that made it
    /// invalid.
    #[inline]
    pub(super) fn push(&mut self, text: &[u8]) -> Result<(), usize> {
        let done = self.push_tail(text)?;
        let rest = &text[done..];
        if rest.is_empty() {
            return Ok(());
        }
        match check(rest) {
            Utf8Check::Valid => Ok(()),
            Utf8Check::Cut(valid) => {
                self.keep(&rest[valid..]);
                Ok(())
            }
            Utf8Check::Invalid(at) => Err(done + at),
        }
    }

    /// Checks the next piece of a masked text; `key` belongs to the piece's first byte.
    #[inline]
    pub(super) fn push_masked(&mut self, text: &[u8], key: [u8; 4]) -> Result<(), usize> {
        if self.is_whole() && mask::is_ascii(text, key) {
            return Ok(());
        }
        if text.len() <= SMALL_BLOCK {
            self.push_blocks::<SMALL_BLOCK>(text, key)
        } else {
            self.push_blocks::<BLOCK>(text, key)
        }
    }

    /// `SIZE` is a multiple of four bytes, so that the key need not be rotated.
    #[inline]
    fn push_blocks<const SIZE: usize>(&mut self, text: &[u8], key: [u8; 4]) -> Result<(), usize> {
        let mut scratch = [0; SIZE];
        for (i, block) in text.chunks(SIZE).enumerate() {
            let plain = &mut scratch[..block.len()];
            mask::unmask(block, key, plain);
            self.push(plain).map_err(|at| i * SIZE + at)?;
        }
        Ok(())
    }

    /// Completes the character in progress; returns how many bytes that took.
    fn push_tail(&mut self, text: &[u8]) -> Result<usize, usize> {
        for (at, &byte) in text.iter().enumerate() {
            if self.is_whole() {
                return Ok(at);
            }
            let len = usize::from(self.tail_len);
            let mut character = [0; 4];
            character[..len].copy_from_slice(&self.tail[..len]);
            character[len] = byte;
            match check(&character[..=len]) {
                Utf8Check::Valid => self.tail_len = 0,
                Utf8Check::Cut(_) => self.keep(&character[..=len]),
                Utf8Check::Invalid(_) => return Err(at),
            }
        }
        Ok(text.len())
    }

    fn keep(&mut self, cut: &[u8]) {
        self.tail[..cut.len()].copy_from_slice(cut);
        #[expect(clippy::cast_possible_truncation, reason = "a cut character has 1 to 3 bytes")]
        let len = cut.len() as u8;
        self.tail_len = len;
    }
}

enum Utf8Check {
    Valid,
    /// Valid up to this position, where an incomplete character begins.
    Cut(usize),
    /// The position of the first byte that no valid text has there.
    Invalid(usize),
}

fn check(text: &[u8]) -> Utf8Check {
    let (valid, error_len) = if text.len() < TINY {
        match std::str::from_utf8(text) {
            Ok(_) => return Utf8Check::Valid,
            Err(error) => (error.valid_up_to(), error.error_len()),
        }
    } else {
        match simdutf8::compat::from_utf8(text) {
            Ok(_) => return Utf8Check::Valid,
            Err(error) => (error.valid_up_to(), error.error_len()),
        }
    };
    match error_len {
        None => Utf8Check::Cut(valid),
        // A byte that may begin a character is valid; the byte that fails to continue it is invalid.
        Some(len) if matches!(text[valid], 0xc2..=0xf4) => Utf8Check::Invalid(valid + len),
        Some(_) => Utf8Check::Invalid(valid),
    }
}

#[cfg(test)]
mod tests {
    use super::Utf8;

    /// Every text of a valid one and up to three bytes of a small alphabet around the edges of
    /// RFC 3629's table, in every pair of pieces, against the library's verdict on each prefix.
    #[test]
    fn utf_8_fails_at_the_first_invalid_byte() {
        let edges = [0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0];
        let leads = [0xe1, 0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff];
        let alphabet: Vec<u8> = edges.into_iter().chain(leads).collect();
        for &a in &alphabet {
            for &b in &alphabet {
                for &c in &alphabet {
                    for pad in [0, 3, 64] {
                        compare(&[vec![b'x'; pad], vec![a, b, c, 0x80]].concat());
                    }
                }
            }
        }
    }

    fn compare(text: &[u8]) {
        let broken = (1..=text.len()).find(|&end| {
            let error = std::str::from_utf8(&text[..end]).err();
            error.is_some_and(|error| error.error_len().is_some())
        });
        let expected = match broken {
            Some(end) => Err(end - 1),
            None => Ok(std::str::from_utf8(text).is_ok()),
        };
        for cut in [0, 1, text.len() - 3, text.len() - 2, text.len() - 1] {
            assert_eq!(push(text, cut, Utf8::push), expected, "{text:x?} cut at {cut}");
            let key = [0x5a, 0xff, 0x00, 0x81];
            let masked: Vec<u8> = text.iter().zip(key.iter().cycle()).map(|(b, k)| b ^ k).collect();
            let mut done = 0;
            let unmask = |utf8: &mut Utf8, piece: &[u8]| {
                let key = super::mask::key_at(key, done);
                done += piece.len() as u64;
                utf8.push_masked(piece, key)
            };
            assert_eq!(push(&masked, cut, unmask), expected, "{text:x?} masked, cut at {cut}");
        }
    }

    /// The verdict on a text in two pieces: whether it is complete, or the position of the invalid byte.
    fn push(
        text: &[u8],
        cut: usize,
        mut push: impl FnMut(&mut Utf8, &[u8]) -> Result<(), usize>,
    ) -> Result<bool, usize> {
        let mut utf8 = Utf8::default();
        push(&mut utf8, &text[..cut])?;
        push(&mut utf8, &text[cut..]).map_err(|at| cut + at)?;
        Ok(utf8.is_whole())
    }

    #[test]
    fn a_break_in_a_later_block() {
        let key = [1, 2, 3, 4];
        let plain = "€uro".repeat(1000);
        let mut masked: Vec<u8> =
            plain.bytes().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
        assert_eq!(Utf8::default().push_masked(&masked, key), Ok(()));
        masked[4001] ^= 0x80;
        let broken = Utf8::default().push_masked(&masked, key);
        let mut unmasked = plain.into_bytes();
        unmasked[4001] ^= 0x80;
        assert_eq!(broken, Utf8::default().push(&unmasked));
        assert!(broken.is_err());
    }
}
