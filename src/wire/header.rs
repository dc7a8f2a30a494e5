//! The header of a frame (RFC 6455 section 5.2): its bytes as they arrived, and its decoded fields.

use std::fmt;

use super::Opcode;

/// The longest header: two bytes, a 64-bit length, a masking key.
const LONGEST: usize = 14;
/// The bytes that every header has; they determine its length.
const START: usize = 2;

/// The header of a frame, or the part of it that was read so far.
#[derive(Clone, Copy, Default)]
pub struct HeaderBytes {
    /// The first `len` bytes are the header's; the others have any value.
    bytes: [u8; LONGEST],
    len: u8,
}

impl HeaderBytes {
    /// The bytes read so far, at most 14.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len()]
    }

    /// Decodes the fields. Fields that have not arrived are zero, or `None`.
    #[must_use]
    pub fn decoded(&self) -> Header {
        Header {
            fin: self.fin(),
            rsv: self.rsv(),
            opcode: self.opcode(),
            masked: self.masked(),
            length: self.length(),
        }
    }

    pub(super) fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Reads the header at the front of `bytes`, as far as it has arrived.
    pub(super) fn read(bytes: &[u8]) -> Self {
        let mut head = Self::default();
        if head.fill(bytes, 2) == 2 {
            head.fill(&bytes[2..], head.size());
        }
        head
    }

    /// Takes bytes from the front of `input` until the header has `size`; returns how many it took.
    #[inline]
    pub(super) fn fill(&mut self, input: &[u8], size: usize) -> usize {
        let have = self.len();
        let taken = input.len().min(size - have);
        // A copy of a fixed length compiles to a few moves, any other to a call. Almost every header takes
        // one of these two branches.
        match (have, input) {
            (0, [first, second, ..]) if size == START => {
                self.bytes[0] = *first;
                self.bytes[1] = *second;
            }
            (START, _) if input.len() >= LONGEST - START => {
                self.bytes[START..].copy_from_slice(&input[..LONGEST - START]);
            }
            _ => self.append(&input[..taken]),
        }
        #[expect(clippy::cast_possible_truncation, reason = "never above LONGEST")]
        let len = (have + taken) as u8;
        self.len = len;
        taken
    }

    /// Writes `bytes` behind those that were read. Not inlined: the compiler would merge this copy with the
    /// ones of a fixed length.
    #[cold]
    #[inline(never)]
    fn append(&mut self, bytes: &[u8]) {
        let have = self.len();
        self.bytes[have..have + bytes.len()].copy_from_slice(bytes);
    }

    /// The length of the whole header; known once it has two bytes.
    #[inline]
    pub(super) fn size(&self) -> usize {
        2 + self.length_size() + if self.masked() { 4 } else { 0 }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.len >= 2 && self.len() == self.size()
    }

    pub(super) fn fin(&self) -> bool {
        self.bytes[0] & 0x80 != 0
    }

    pub(super) fn rsv(&self) -> u8 {
        (self.bytes[0] >> 4) & 0x07
    }

    #[inline]
    pub(super) fn opcode(&self) -> Opcode {
        Opcode::new(self.bytes[0])
    }

    /// Whether the opcode is 0x8 to 0xF, including reserved ones.
    pub(super) fn is_control(&self) -> bool {
        self.bytes[0] & 0x08 != 0
    }

    pub(super) fn masked(&self) -> bool {
        self.bytes[1] & 0x80 != 0
    }

    /// The seven bits of the second byte: a length up to 125, or 126 and 127 for the long forms.
    pub(super) fn short_length(&self) -> u8 {
        self.bytes[1] & 0x7f
    }

    /// The declared payload length, not checked; `None` until all its bytes have arrived.
    #[inline]
    pub(super) fn length(&self) -> Option<u64> {
        (self.len() >= 2 + self.length_size()).then(|| self.declared())
    }

    /// The declared payload length of a complete header.
    #[inline]
    pub(super) fn declared(&self) -> u64 {
        let b = &self.bytes;
        match self.short_length() {
            126 => u64::from(u16::from_be_bytes([b[2], b[3]])),
            127 => u64::from_be_bytes([b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9]]),
            short => u64::from(short),
        }
    }

    /// The masking key of a complete header; all zeroes if it has none.
    #[inline]
    pub(super) fn key(&self) -> [u8; 4] {
        if !self.masked() {
            return [0; 4];
        }
        let at = 2 + self.length_size();
        [self.bytes[at], self.bytes[at + 1], self.bytes[at + 2], self.bytes[at + 3]]
    }

    fn length_size(&self) -> usize {
        match self.short_length() {
            126 => 2,
            127 => 8,
            _ => 0,
        }
    }
}

impl PartialEq for HeaderBytes {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for HeaderBytes {}

/// Hexadecimal, a space between bytes: `81 fe 00 7e`.
impl fmt::Display for HeaderBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.as_slice().iter().enumerate() {
            let space = if i == 0 { "" } else { " " };
            write!(f, "{space}{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for HeaderBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HeaderBytes({self})")
    }
}

/// The decoded fields of a header. The masking key is left out: it would unmask a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Whether this is the last frame of its message.
    pub fin: bool,
    /// RSV1, RSV2 and RSV3, the first as the highest of three bits.
    pub rsv: u8,
    /// The kind of the frame.
    pub opcode: Opcode,
    /// Whether a masking key follows.
    pub masked: bool,
    /// The declared payload length in bytes; `None` until it has arrived.
    pub length: Option<u64>,
}

/// `fin=1 rsv=000 opcode=0x1 (text) mask=1 length=5`; an incomplete length is `?`.
impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "fin={} rsv={:03b} opcode={:#x} ({}) mask={} length=",
            u8::from(self.fin),
            self.rsv,
            self.opcode.number(),
            self.opcode.name(),
            u8::from(self.masked),
        )?;
        match self.length {
            Some(length) => write!(f, "{length}"),
            None => f.write_str("?"),
        }
    }
}
