//! Strings of JSON. Most have no escapes, and are found eight bytes at a time.

use super::{Scanner, StructureFault, StructureRule, Visitor};

/// The string without escapes that `text` begins with, its first quote left out, and the text behind it.
#[inline]
pub(super) fn plain_string(text: &[u8]) -> Option<(&[u8], &[u8])> {
    match text.split_at_checked(plain(text))? {
        (string, [b'"', rest @ ..]) => Some((string, rest)),
        _ => None,
    }
}

/// A name, the mark by which it is compared with others, and the text behind it.
type NameAndMark<'t> = (&'t [u8], u64, &'t [u8]);

/// The same as [`plain_string`] for a name. Equal names have one mark, which is one bit.
#[inline]
pub(super) fn plain_name(text: &[u8]) -> Option<NameAndMark<'_>> {
    let word = first_word(text);
    let found = special(word);
    let (length, known) = match found {
        0 => (plain_of_many(text), word),
        // The bits of the bytes before the one that was found.
        found => (place_of(found), word & ((found & found.wrapping_neg()) >> 7).wrapping_sub(1)),
    };
    match text.split_at_checked(length)? {
        (name, [b'"', rest @ ..]) => Some((name, mark_of(known), rest)),
        _ => None,
    }
}

/// The mark of a name: equal names have one mark, which is one bit.
pub(in crate::message) fn mark(name: &[u8]) -> u64 {
    mark_of(first_word(name))
}

/// The mark of the names that begin with this word, or are it with zeros behind them.
#[inline]
fn mark_of(word: u64) -> u64 {
    // Spreads names over the highest bits of the product.
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    1 << (word.wrapping_mul(FACTOR) >> 58)
}

impl<'t, V: Visitor<'t>> Scanner<'t, '_, V> {
    /// Moves on to a name that is no plain string, its first quote left out. Returns its length without escapes, whether
    /// it is new, and the text behind it.
    #[cold]
    pub(super) fn escaped_name(
        &mut self,
        text: &'t [u8],
    ) -> Result<(usize, bool, &'t [u8]), StructureFault> {
        let (name, rest) = self.escaped_string(text)?;
        let raw = &text[..text.len() - rest.len() - 1];
        Ok((name.len(), self.path.next_escaped_name(raw), rest))
    }

    /// Reads a string that is no plain one, its first quote left out, and unescapes it.
    #[cold]
    pub(super) fn escaped_string(
        &self,
        text: &'t [u8],
    ) -> Result<(Vec<u8>, &'t [u8]), StructureFault> {
        let (mut string, mut rest) = (Vec::new(), text);
        loop {
            let plain;
            (plain, rest) = rest.split_at(self::plain(rest));
            string.extend_from_slice(plain);
            match rest {
                [b'"', rest @ ..] => return Ok((string, rest)),
                [b'\\', escape @ ..] => {
                    let character;
                    (character, rest) = self.escape(escape)?;
                    let mut bytes = [0; 4];
                    string.extend_from_slice(character.encode_utf8(&mut bytes).as_bytes());
                }
                _ => return Err(self.fault(StructureRule::Syntax, rest)),
            }
        }
    }

    /// Reads an escape behind its backslash, with its partner if it is a surrogate.
    fn escape(&self, text: &'t [u8]) -> Result<(char, &'t [u8]), StructureFault> {
        let (character, rest) = match text {
            [byte @ (b'"' | b'\\' | b'/'), rest @ ..] => (char::from(*byte), rest),
            [b'b', rest @ ..] => ('\u{8}', rest),
            [b'f', rest @ ..] => ('\u{c}', rest),
            [b'n', rest @ ..] => ('\n', rest),
            [b'r', rest @ ..] => ('\r', rest),
            [b't', rest @ ..] => ('\t', rest),
            [b'u', rest @ ..] => return self.unicode_escape(text, rest),
            _ => return Err(self.fault(StructureRule::Syntax, text)),
        };
        Ok((character, rest))
    }

    /// Reads the digits of an escape, `text` from its `u` on.
    fn unicode_escape(
        &self,
        text: &'t [u8],
        digits: &'t [u8],
    ) -> Result<(char, &'t [u8]), StructureFault> {
        let mut lone = self.fault(StructureRule::LoneSurrogate, text);
        // The place is that of the backslash.
        lone.offset -= 1;
        let (unit, rest) = self.hex(digits)?;
        match unit {
            0xd800..0xdc00 => {
                let [b'\\', b'u', digits @ ..] = rest else {
                    return Err(lone);
                };
                let (low, rest) = self.hex(digits)?;
                if !(0xdc00..0xe000).contains(&low) {
                    return Err(lone);
                }
                let code = 0x10000 + ((unit - 0xd800) << 10 | (low - 0xdc00));
                Ok((char::from_u32(code).ok_or(lone)?, rest))
            }
            _ => Ok((char::from_u32(unit).ok_or(lone)?, rest)),
        }
    }

    /// Reads four hexadecimal digits.
    fn hex(&self, mut text: &'t [u8]) -> Result<(u32, &'t [u8]), StructureFault> {
        let mut value = 0;
        for _ in 0..4 {
            let digit = text
                .split_first()
                .and_then(|(byte, rest)| char::from(*byte).to_digit(16).map(|digit| (digit, rest)));
            let Some((digit, rest)) = digit else {
                return Err(self.fault(StructureRule::Syntax, text));
            };
            value = value << 4 | digit;
            text = rest;
        }
        Ok((value, text))
    }
}

/// The number of bytes before the first one that ends a string or its plain part: a quote, a backslash, or a control
/// character; all of them, if there is none.
#[inline]
fn plain(bytes: &[u8]) -> usize {
    // Most names end here.
    match bytes.first_chunk().map(|word| special(u64::from_le_bytes(*word))) {
        Some(0) | None => plain_of_many(bytes),
        Some(found) => place_of(found),
    }
}

#[inline(never)]
fn plain_of_many(bytes: &[u8]) -> usize {
    let mut at = 0;
    for chunk in bytes.as_chunks::<CHUNK>().0 {
        if has_special(chunk) {
            break;
        }
        at += CHUNK;
    }
    let (words, rest) = bytes[at..].as_chunks();
    for word in words {
        let found = special(u64::from_le_bytes(*word));
        if found != 0 {
            return at + place_of(found);
        }
        at += WORD;
    }
    // A word that ends with the rest; the zeros behind it are special, too.
    match bytes.last_chunk() {
        Some(last) if !rest.is_empty() => {
            let passed = (WORD - rest.len()) * u8::BITS as usize;
            at + place_of(special(u64::from_le_bytes(*last) >> passed))
        }
        _ => at + rest.iter().position(|byte| is_special(*byte)).unwrap_or(rest.len()),
    }
}

/// The first eight bytes of a text. If it has fewer, zeros are behind them.
#[inline]
fn first_word(text: &[u8]) -> u64 {
    text.first_chunk().map_or_else(|| last_word(text), |word| u64::from_le_bytes(*word))
}

/// The last bytes of a text, fewer than a word, and zeros behind them.
#[cold]
fn last_word(text: &[u8]) -> u64 {
    let mut word = [0; WORD];
    word.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
    u64::from_le_bytes(word)
}

/// The number of bytes before the first one that [`special`] found.
#[inline]
fn place_of(found: u64) -> usize {
    (found.trailing_zeros() / u8::BITS) as usize
}

/// So many bytes are compared at once.
const CHUNK: usize = 32;
const WORD: usize = size_of::<u64>();

#[inline]
fn has_special(chunk: &[u8; CHUNK]) -> bool {
    // Without branches, so that the compiler compares many bytes at once.
    let is = |found: bool| u8::from(found);
    chunk
        .iter()
        .fold(0, |found, &byte| found | is(byte == b'"') | is(byte == b'\\') | is(byte < 0x20))
        != 0
}

fn is_special(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | 0..0x20)
}

/// The highest bit of the first byte, from the lowest on, that is special; those of later bytes mean nothing. A
/// subtraction of 1 makes 0, and one of 0x20 a control character, borrow from the bit above.
#[inline]
fn special(word: u64) -> u64 {
    const EACH: u64 = u64::MAX / 0xff;
    let zero_at = |byte: u8| (word ^ (EACH * u64::from(byte))).wrapping_sub(EACH);
    let control = word.wrapping_sub(EACH * 0x20);
    // A byte that is not ASCII is none of them.
    (zero_at(b'"') | zero_at(b'\\') | control) & !word & (EACH * 0x80)
}

#[cfg(test)]
mod tests {
    use super::{is_special, plain};

    #[test]
    fn every_byte_is_found_at_every_place_of_a_word() {
        for byte in 0..=u8::MAX {
            for filler in [b'a', 0x21, 0x23, 0x5b, 0x5d, 0x7f, 0x80, 0xa2, 0xff] {
                for at in 0..20 {
                    let mut bytes = [filler; 21];
                    bytes[at] = byte;
                    bytes[20] = b'"';
                    let expected = if is_special(byte) { at } else { 20 };
                    assert_eq!(plain(&bytes), expected, "{byte} after {at} of {filler}");
                    assert_eq!(plain(&bytes[..20]), expected, "{byte} after {at} of {filler}");
                }
            }
        }
        assert_eq!(plain(&[]), 0);
    }
}
