//! The framing of a chunked body, checked byte for byte before the HTTP library reads it. The library takes white
//! space behind a size, control characters in an extension and any number of leading zeros. Servers read these in
//! different ways, which is how one body is taken for a body and a request.

/// The most digits of a size: those of 64 bits.
const MAX_DIGITS: u8 = 16;

/// The body is not chunked as RFC 9112 section 7.1 says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the chunked body is not well-formed")]
pub(super) struct MalformedChunk;

/// The state of a check of one body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunks {
    expected: Expected,
    /// The size of the present chunk, and then the bytes of it that have not come.
    left: u64,
}

/// The part of the body that the next byte belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// A digit of a size, with the number of those before it.
    Size(u8),
    /// An extension.
    Extension,
    /// The line feed behind a size.
    SizeEnd,
    /// The data of a chunk.
    Data,
    /// The carriage return and the line feed behind a chunk.
    DataReturn,
    DataEnd,
    /// The first byte of a trailer, or the carriage return of the last line.
    Trailer,
    /// A later byte of a trailer.
    TrailerRest,
    /// The line feed behind a trailer.
    TrailerEnd,
    /// The line feed of the last line.
    BodyEnd,
    /// Nothing: the body has ended. Further bytes are not part of it.
    Nothing,
}

impl Default for Chunks {
    fn default() -> Self {
        Self { expected: Expected::Size(0), left: 0 }
    }
}

impl Chunks {
    /// Checks the next bytes of the body.
    pub(super) fn check(&mut self, mut bytes: &[u8]) -> Result<(), MalformedChunk> {
        while let Some((byte, rest)) = bytes.split_first() {
            if self.expected == Expected::Data {
                let data = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
                bytes = &bytes[data..];
                self.left -= data as u64;
                if self.left == 0 {
                    self.expected = Expected::DataReturn;
                }
            } else {
                self.expected = self.next(*byte).ok_or(MalformedChunk)?;
                bytes = rest;
            }
        }
        Ok(())
    }

    fn next(&mut self, byte: u8) -> Option<Expected> {
        use Expected::{
            BodyEnd, Data, DataEnd, DataReturn, Extension, Nothing, Size, SizeEnd, Trailer,
            TrailerEnd, TrailerRest,
        };
        let is_text = matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
        let next = match (self.expected, byte) {
            (Size(1..), b';') => Extension,
            (Size(1..) | Extension, b'\r') => SizeEnd,
            (Size(digits @ 0..MAX_DIGITS), _) => {
                let digit = char::from(byte).to_digit(16)?;
                self.left = self.left << 4 | u64::from(digit);
                Size(digits + 1)
            }
            (Extension, _) if is_text => Extension,
            (SizeEnd, b'\n') if self.left > 0 => Data,
            (SizeEnd | TrailerEnd, b'\n') => Trailer,
            (DataReturn, b'\r') => DataEnd,
            (DataEnd, b'\n') => Size(0),
            (Trailer, b'\r') => BodyEnd,
            (TrailerRest, b'\r') => TrailerEnd,
            (Trailer, b' ' | b'\t') => return None,
            (Trailer | TrailerRest, _) if is_text => TrailerRest,
            (BodyEnd, b'\n') | (Nothing, _) => Nothing,
            _ => return None,
        };
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::{Chunks, Expected};

    /// Whether the body is well-formed and complete, read at once and byte by byte.
    fn is_whole(body: &str) -> bool {
        let mut at_once = Chunks::default();
        let whole = at_once.check(body.as_bytes());
        let mut bytewise = Chunks::default();
        let single = body.as_bytes().chunks(1).try_for_each(|byte| bytewise.check(byte));
        assert_eq!(whole, single, "{body:?}");
        whole.is_ok() && at_once.expected == Expected::Nothing
    }

    #[test]
    fn a_body_is_checked_to_its_end() {
        for good in [
            "0\r\n\r\n",
            "000\r\n\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
            "5;a=\"b\t;c\"\r\nhello\r\n1\r\n\r\r\n0;x\r\n\r\n",
            "a\r\n0123456789\r\n00F\r\n0123456789\r\n012\r\n0\r\nA: b\r\nC:\u{e9}\r\n\r\n",
            "0000000000000002\r\nhi\r\n0\r\n\r\nnext",
        ] {
            assert!(is_whole(good), "{good:?}");
        }
        for bad in ["", "5\r\nhel", "5\r\nhello\r\n", "5\r\nhello\r\n0\r\n", "0\r\n\r"] {
            assert!(!is_whole(bad), "{bad:?}");
        }
    }

    #[test]
    fn nothing_else_is_a_chunked_body() {
        for bad in [
            "\r\n",
            ";a\r\n",
            " 5",
            "5 \r\n",
            "5\t;a\r\n",
            "+5",
            "0x5",
            "5\n",
            "5;a\n",
            "5;\0",
            "5;a\rb",
            "00000000000000005",
            "5\r\nhello0",
            "5\r\nhello\n",
            "5\r\nhello\r\r",
            "0\r\n\n",
            "0\r\n A: b\r\n",
            "0\r\nA: b\n",
            "0\r\nA: b\rC",
            "0\r\nA: \u{1}",
        ] {
            assert_eq!(Chunks::default().check(bad.as_bytes()).ok(), None, "{bad:?}");
        }
    }
}
