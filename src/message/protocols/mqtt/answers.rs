//! The answers to packets that are refused: CONNACK, PUBACK, PUBREC and SUBACK with a code of failure.

use super::fields::{REASON_STRING, USER_PROPERTY};
use super::packets::{self, Connect, Version};
use crate::message::protocols::Refused;
use crate::values::Reason;
use crate::wire::{Answer, Opcode};

/// What the sender of a packet waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Connect {
        /// It wants no explanations, or has no room for them.
        terse: bool,
    },
    Publish {
        qos: u8,
        id: u16,
        sets_alias: bool,
    },
    Subscribe {
        id: u16,
        filters: usize,
    },
    Nothing,
}

/// A client that takes larger packets gets explanations.
const ROOM: u32 = 512;

const UNSPECIFIED: u8 = 0x80;
/// "Implementation specific error".
const SPECIFIC: u8 = 0x83;
const NOT_AUTHORIZED: u8 = 0x87;
const QUOTA: u8 = 0x97;
const PAYLOAD: u8 = 0x99;
/// "Not authorized" of version 3.1.1 (section 3.2.2.3).
const OLD_NOT_AUTHORIZED: u8 = 5;

impl Asked {
    pub(super) fn connect(connect: &Connect<'_>) -> Self {
        let properties = &connect.properties;
        let small = properties.largest_packet.is_some_and(|largest| largest < ROOM);
        Self::Connect { terse: small || properties.no_problem_information }
    }
}

/// The answer; `None`: the sender waits for none, or the version has none.
pub(super) fn answer(asked: &Asked, version: Version, refused: &Refused<'_>) -> Option<Answer> {
    let v5 = version == Version::V5;
    match *asked {
        Asked::Connect { terse } if v5 => {
            let explanation = if terse { vec![0] } else { explanation(refused) };
            let code = code(refused.reason, packets::CONNACK);
            Some(packet(packets::CONNACK, &[&[0, code], &explanation]))
        }
        Asked::Connect { .. } => Some(packet(packets::CONNACK, &[&[0, OLD_NOT_AUTHORIZED]])),
        Asked::Publish { qos: qos @ 1.., id, .. } if v5 => {
            let kind = if qos == 1 { packets::PUBACK } else { packets::PUBREC };
            Some(packet(kind, &[&id.to_be_bytes(), &[code(refused.reason, kind)]]))
        }
        Asked::Subscribe { id, filters } => {
            let code = if v5 { code(refused.reason, packets::SUBACK) } else { UNSPECIFIED };
            let no_properties: &[u8] = if v5 { &[0] } else { &[] };
            let codes = vec![code; filters];
            Some(packet(packets::SUBACK, &[&id.to_be_bytes(), no_properties, &codes]))
        }
        Asked::Publish { .. } | Asked::Nothing => None,
    }
}

/// The code (section 2.4 of version 5) for a reason, of those that the packet can have.
fn code(reason: Reason, kind: u8) -> u8 {
    match reason {
        Reason::MessageType | Reason::MessageClaim => NOT_AUTHORIZED,
        Reason::MessageRate => QUOTA,
        Reason::MessageSchema if matches!(kind, packets::PUBACK | packets::PUBREC) => PAYLOAD,
        _ => SPECIFIC,
    }
}

/// Properties: the name of the reason, and the name of the session in the log.
fn explanation(refused: &Refused<'_>) -> Vec<u8> {
    let mut properties = vec![REASON_STRING];
    string(&mut properties, refused.reason.name());
    properties.push(USER_PROPERTY);
    string(&mut properties, "request_id");
    string(&mut properties, refused.request_id);
    let mut explanation = variable(properties.len());
    explanation.extend(properties);
    explanation
}

fn string(to: &mut Vec<u8>, text: &str) {
    // Names of reasons and sessions are short.
    let length = u16::try_from(text.len()).unwrap_or(0);
    to.extend(length.to_be_bytes());
    to.extend(text.bytes().take(length.into()));
}

/// A variable byte integer (section 1.5.5).
fn variable(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let byte = u8::try_from(value % 128).unwrap_or_default();
        value /= 128;
        bytes.push(if value > 0 { byte | 0x80 } else { byte });
        if value == 0 {
            return bytes;
        }
    }
}

fn packet(kind: u8, fields: &[&[u8]]) -> Answer {
    let fields = fields.concat();
    let payload = [&[kind << 4], &*variable(fields.len()), &fields].concat();
    Answer { opcode: Opcode::Binary, payload: payload.into() }
}
