//! Frames as RFC 6455 section 5.2 lays them out, right or wrong as the test wants them.

use std::fmt;

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// One frame. `payload` is never masked here; `mask` is the key it has on the wire.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    pub fin: bool,
    pub rsv: u8,
    pub opcode: u8,
    pub mask: Option<[u8; 4]>,
    pub payload: Vec<u8>,
}

impl Frame {
    /// A whole, unmasked frame.
    pub fn new(opcode: u8, payload: impl AsRef<[u8]>) -> Self {
        Self { fin: true, rsv: 0, opcode, mask: None, payload: payload.as_ref().to_vec() }
    }

    pub fn continuation(payload: impl AsRef<[u8]>) -> Self {
        Self::new(0x0, payload)
    }

    pub fn text(payload: impl AsRef<[u8]>) -> Self {
        Self::new(0x1, payload)
    }

    pub fn binary(payload: impl AsRef<[u8]>) -> Self {
        Self::new(0x2, payload)
    }

    pub fn ping(payload: impl AsRef<[u8]>) -> Self {
        Self::new(0x9, payload)
    }

    pub fn pong(payload: impl AsRef<[u8]>) -> Self {
        Self::new(0xa, payload)
    }

    pub fn close(code: u16, reason: &str) -> Self {
        Self::new(0x8, [&code.to_be_bytes(), reason.as_bytes()].concat())
    }

    /// The same with FIN clear.
    pub fn unfinished(self) -> Self {
        Self { fin: false, ..self }
    }

    /// The same with these of RSV1 (4), RSV2 (2) and RSV3 (1).
    pub fn with_rsv(self, rsv: u8) -> Self {
        Self { rsv, ..self }
    }

    /// The same with a masking key, or without one.
    pub fn masked(self, masked: bool) -> Self {
        let mask = masked.then_some(MASK);
        Self { mask, ..self }
    }

    /// The bytes on the wire, the length in its shortest form.
    pub fn encode(&self) -> Vec<u8> {
        let length = self.payload.len();
        match (u8::try_from(length), u16::try_from(length)) {
            (Ok(length @ 0..=125), _) => self.encode_with(length, &[]),
            (_, Ok(length)) => self.encode_with(126, &length.to_be_bytes()),
            _ => self.encode_with(127, &(length as u64).to_be_bytes()),
        }
    }

    /// The bytes on the wire with the length field (7 bits) and extended length that are given.
    pub fn encode_with(&self, length: u8, extended: &[u8]) -> Vec<u8> {
        let first = u8::from(self.fin) << 7 | self.rsv << 4 | self.opcode;
        let mut bytes = vec![first, u8::from(self.mask.is_some()) << 7 | length];
        bytes.extend_from_slice(extended);
        bytes.extend_from_slice(self.mask.as_ref().map_or(&[][..], |mask| mask));
        bytes.extend_from_slice(&masked(&self.payload, self.mask));
        bytes
    }

    /// The frame at the front of some bytes, and what follows it; `None` if it is not whole.
    pub fn decode(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (&[first, second], rest) = bytes.split_first_chunk()?;
        let (length, rest) = match second & 0x7f {
            126 => {
                let (length, rest) = rest.split_first_chunk()?;
                (u64::from(u16::from_be_bytes(*length)), rest)
            }
            127 => {
                let (length, rest) = rest.split_first_chunk()?;
                (u64::from_be_bytes(*length), rest)
            }
            short => (u64::from(short), rest),
        };
        let (mask, rest) = match rest.split_first_chunk() {
            Some((mask, rest)) if second & 0x80 != 0 => (Some(*mask), rest),
            _ => (None, rest),
        };
        let (payload, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        let (fin, rsv, opcode) = (first & 0x80 != 0, first >> 4 & 0x7, first & 0x0f);
        Some((Self { fin, rsv, opcode, mask, payload: masked(payload, mask) }, rest))
    }

    /// The code and reason of a Close frame; `None` if it has no payload.
    pub fn close_code(&self) -> Option<(u16, String)> {
        assert_eq!(self.opcode, 0x8, "a Close frame was expected, got {self:?}");
        let (code, reason) = self.payload.split_first_chunk()?;
        let reason = String::from_utf8(reason.to_vec()).unwrap();
        Some((u16::from_be_bytes(*code), reason))
    }
}

/// Masking is its own inverse (RFC 6455 section 5.3).
pub(super) fn masked(payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let mask = mask.unwrap_or_default();
    let key = mask.iter().cycle();
    payload.iter().zip(key).map(|(byte, key)| byte ^ key).collect()
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.payload[..self.payload.len().min(80)];
        write!(
            f,
            "Frame(fin {}, rsv {}, opcode {:#x}, masked {}, {} bytes {:?})",
            self.fin,
            self.rsv,
            self.opcode,
            self.mask.is_some(),
            self.payload.len(),
            String::from_utf8_lossy(shown)
        )
    }
}
