//! The Close frame (RFC 6455 section 5.5.1), and the control frames that the gateway itself sends.

use super::{Opcode, Rule, mask};
use crate::values::Endpoint;

/// The longest payload of a control frame (RFC 6455 section 5.5).
pub(super) const LONGEST_PAYLOAD: usize = 125;

/// The longest control frame: two bytes, a masking key, the payload.
const LONGEST: usize = 2 + 4 + LONGEST_PAYLOAD;

/// The contents of a valid Close frame. Its reason text is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CloseFrame {
    /// `None`: the payload was empty.
    pub code: Option<u16>,
}

impl CloseFrame {
    /// Checks the unmasked payload. The error is the rule, and the position in the payload of the byte that
    /// broke it.
    pub(super) fn check(payload: &[u8]) -> Result<Self, (Rule, usize)> {
        let Some((code, reason)) = payload.split_first_chunk() else {
            return if payload.is_empty() {
                Ok(Self { code: None })
            } else {
                Err((Rule::CloseLength, 0))
            };
        };
        let code = u16::from_be_bytes(*code);
        if !may_be_sent(code) {
            return Err((Rule::CloseCode, 1));
        }
        check_reason(reason).map_err(|at| (Rule::CloseReason, 2 + at))?;
        Ok(Self { code: Some(code) })
    }
}

fn check_reason(reason: &[u8]) -> Result<(), usize> {
    let mut utf8 = super::utf8::Utf8::default();
    utf8.push(reason)?;
    if utf8.is_whole() { Ok(()) } else { Err(reason.len() - 1) }
}

/// Whether a code may be in a Close frame: RFC 6455 section 7.4 and the IANA registry. 1004 is
/// reserved; 1005, 1006 and 1015 are never on the wire; 1016 to 2999 are not assigned.
fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// A control frame of the gateway, ready to be written; at most 131 bytes, held inline.
#[derive(Debug, Clone, Copy)]
pub struct ControlFrame {
    bytes: [u8; LONGEST],
    len: u8,
}

impl AsRef<[u8]> for ControlFrame {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// Builds a control frame for one of the peers: masked with `mask` for the upstream, to which the gateway
/// is a client, and not masked for the client (RFC 6455 section 5.1). A payload is cut to 125 bytes.
#[must_use]
pub fn control_frame(to: Endpoint, opcode: Opcode, payload: &[u8], mask: [u8; 4]) -> ControlFrame {
    debug_assert!(payload.len() <= LONGEST_PAYLOAD);
    let payload = &payload[..payload.len().min(LONGEST_PAYLOAD)];
    let masked = to == Endpoint::Upstream;
    let start = if masked { 6 } else { 2 };
    let end = start + payload.len();
    let mut bytes = [0; LONGEST];
    bytes[0] = 0x80 | opcode.number();
    bytes[1] = short(payload.len()) | if masked { 0x80 } else { 0 };
    if masked {
        bytes[2..6].copy_from_slice(&mask);
        mask::unmask(payload, mask, &mut bytes[start..end]);
    } else {
        bytes[start..end].copy_from_slice(payload);
    }
    ControlFrame { bytes, len: short(end) }
}

/// Builds a Close frame with a code and a reason. The reason is cut to as many whole characters as fit into
/// 123 bytes.
#[must_use]
pub fn close_frame(to: Endpoint, code: u16, reason: &str, mask: [u8; 4]) -> ControlFrame {
    debug_assert!(may_be_sent(code), "{code} may not be on the wire");
    let mut end = reason.len().min(LONGEST_PAYLOAD - 2);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let mut payload = [0; LONGEST_PAYLOAD];
    payload[..2].copy_from_slice(&code.to_be_bytes());
    payload[2..2 + end].copy_from_slice(&reason.as_bytes()[..end]);
    control_frame(to, Opcode::Close, &payload[..2 + end], mask)
}

/// Builds a frame of a whole message for one of the peers: masked with `mask` for the upstream, as [`control_frame`]. A
/// payload is cut to 65,535 bytes; the gateway's own messages are shorter.
pub(crate) fn message_frame(
    to: Endpoint,
    opcode: Opcode,
    payload: &[u8],
    mask: [u8; 4],
) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap_or(u16::MAX);
    debug_assert_eq!(payload.len(), usize::from(length));
    let payload = &payload[..usize::from(length)];
    let masked = to == Endpoint::Upstream;
    let bit = if masked { 0x80 } else { 0 };
    let mut frame = vec![0x80 | opcode.number()];
    match u8::try_from(length) {
        Ok(length) if usize::from(length) <= LONGEST_PAYLOAD => frame.push(bit | length),
        _ => {
            frame.push(bit | 0x7e);
            frame.extend_from_slice(&length.to_be_bytes());
        }
    }
    if masked {
        frame.extend_from_slice(&mask);
        let start = frame.len();
        frame.resize(start + payload.len(), 0);
        mask::unmask(payload, mask, &mut frame[start..]);
    } else {
        frame.extend_from_slice(payload);
    }
    frame
}

/// A length up to 131, as a byte.
#[expect(clippy::cast_possible_truncation, reason = "never above LONGEST")]
fn short(len: usize) -> u8 {
    debug_assert!(len <= LONGEST);
    len as u8
}
