//! The fields of packets: numbers, strings and the properties of version 5 (sections 1.5 and 2.2.2 of
//! <https://docs.oasis-open.org/mqtt/mqtt/v5.0/mqtt-v5.0.html>).

use crate::message::protocols::broken;
use crate::message::rules::{MessageFault, fault};
use crate::message::scan::Bounds;
use crate::values::Reason;

/// The fields of one packet, read one after the other.
#[derive(Debug)]
pub(super) struct Fields<'p> {
    packet: &'p [u8],
    at: usize,
    bounds: &'p Bounds,
}

/// The properties that matter here; the others are only checked.
#[derive(Debug, Default)]
pub(super) struct Properties<'p> {
    pub(super) alias: Option<u16>,
    pub(super) response_topic: Option<&'p str>,
    pub(super) content_type: Option<&'p str>,
    pub(super) user: Vec<(&'p str, &'p str)>,
    pub(super) session_expiry: Option<u32>,
    /// The payload is declared to be UTF-8.
    pub(super) is_text: bool,
    /// The sender wants no explanations.
    pub(super) no_problem_information: bool,
    pub(super) largest_packet: Option<u32>,
}

/// The properties that a packet may have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowed {
    pub(super) once: &'static [u8],
    pub(super) often: &'static [u8],
}

pub(super) const PAYLOAD_FORMAT: u8 = 0x01;
pub(super) const CONTENT_TYPE: u8 = 0x03;
pub(super) const RESPONSE_TOPIC: u8 = 0x08;
pub(super) const SUBSCRIPTION_ID: u8 = 0x0b;
pub(super) const SESSION_EXPIRY: u8 = 0x11;
pub(super) const AUTH_METHOD: u8 = 0x15;
pub(super) const AUTH_DATA: u8 = 0x16;
pub(super) const PROBLEM_INFORMATION: u8 = 0x17;
pub(super) const REASON_STRING: u8 = 0x1f;
pub(super) const TOPIC_ALIAS: u8 = 0x23;
pub(super) const USER_PROPERTY: u8 = 0x26;
pub(super) const LARGEST_PACKET: u8 = 0x27;

impl<'p> Fields<'p> {
    /// The fields of `packet` from the byte `at` on.
    pub(super) fn new(packet: &'p [u8], at: usize, bounds: &'p Bounds) -> Self {
        Self { packet, at, bounds }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.at >= self.packet.len()
    }

    /// The bytes that are left.
    pub(super) fn rest(&mut self) -> &'p [u8] {
        let rest = self.packet.get(self.at..).unwrap_or_default();
        self.at = self.packet.len();
        rest
    }

    fn take(&mut self, length: usize) -> Result<&'p [u8], MessageFault> {
        let end = self.at.checked_add(length);
        let taken = end.and_then(|end| self.packet.get(self.at..end));
        let taken = taken.ok_or_else(|| broken("a packet ends within a field"))?;
        self.at += length;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], MessageFault> {
        self.take(N)?.try_into().map_err(|_| broken("a packet ends within a field"))
    }

    pub(super) fn byte(&mut self) -> Result<u8, MessageFault> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn two_bytes(&mut self) -> Result<u16, MessageFault> {
        self.array().map(u16::from_be_bytes)
    }

    fn four_bytes(&mut self) -> Result<u32, MessageFault> {
        self.array().map(u32::from_be_bytes)
    }

    /// A packet identifier, which is not 0 (section 2.2.1).
    pub(super) fn packet_id(&mut self) -> Result<u16, MessageFault> {
        match self.two_bytes()? {
            0 => Err(broken("a packet identifier is 0")),
            id => Ok(id),
        }
    }

    /// A variable byte integer (section 1.5.5).
    fn variable(&mut self) -> Result<usize, MessageFault> {
        let rest = self.packet.get(self.at..).unwrap_or_default();
        match variable(rest)? {
            Some((value, length)) => {
                self.at += length;
                Ok(value)
            }
            None => Err(broken("a packet ends within a field")),
        }
    }

    /// Binary data (section 1.5.6).
    pub(super) fn binary(&mut self) -> Result<&'p [u8], MessageFault> {
        let length = self.two_bytes()?;
        self.take(length.into())
    }

    /// A string: UTF-8 without U+0000 (section 1.5.4).
    pub(super) fn string(&mut self) -> Result<&'p str, MessageFault> {
        let data = self.binary()?;
        if data.len() > self.bounds.max_string {
            let detail = "a string of a packet is too long";
            return Err(fault(Reason::MessageStructure, "max_string", detail));
        }
        let text = std::str::from_utf8(data).map_err(|_| broken("a string is not UTF-8"))?;
        if text.contains('\0') {
            return Err(broken("a string contains U+0000"));
        }
        Ok(text)
    }

    /// Properties (section 2.2.2), of which `allowed` may be there.
    pub(super) fn properties(&mut self, allowed: Allowed) -> Result<Properties<'p>, MessageFault> {
        let length = self.variable()?;
        let end = self.at.saturating_add(length);
        let packet = self.packet.get(..end).ok_or_else(|| broken("properties are cut off"))?;
        let mut fields = Fields { packet, at: self.at, bounds: self.bounds };
        let mut properties = Properties::default();
        let mut seen = 0_u64;
        while !fields.is_empty() {
            let id = fields.byte()?;
            if allowed.once.contains(&id) {
                let bit = 1_u64.checked_shl(id.into()).unwrap_or(0);
                if seen & bit != 0 {
                    return Err(broken(format_args!("property {id:#04x} is there twice")));
                }
                seen |= bit;
            } else if !allowed.often.contains(&id) {
                return Err(broken(format_args!("property {id:#04x} is not allowed here")));
            }
            properties.read(id, &mut fields)?;
            if properties.user.len() > self.bounds.max_members {
                let detail = "a packet has too many user properties";
                return Err(fault(Reason::MessageStructure, "max_members", detail));
            }
        }
        if seen & (1 << AUTH_DATA) != 0 && seen & (1 << AUTH_METHOD) == 0 {
            return Err(broken("authentication data without a method"));
        }
        self.at = end;
        Ok(properties)
    }
}

impl<'p> Properties<'p> {
    /// Reads the value of the property `id` (section 2.2.2.2).
    fn read(&mut self, id: u8, fields: &mut Fields<'p>) -> Result<(), MessageFault> {
        let wrong = || broken(format_args!("property {id:#04x} has a value that is not allowed"));
        match id {
            // Yes or no, one bit each.
            PAYLOAD_FORMAT | PROBLEM_INFORMATION | 0x19 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2a => {
                let value = fields.byte()?;
                if value > 1 {
                    return Err(wrong());
                }
                self.is_text |= id == PAYLOAD_FORMAT && value == 1;
                self.no_problem_information |= id == PROBLEM_INFORMATION && value == 0;
            }
            TOPIC_ALIAS => {
                let alias = fields.two_bytes()?;
                self.alias = Some(alias).filter(|alias| *alias != 0);
                self.alias.ok_or_else(wrong)?;
            }
            // Receive maximum.
            0x21 if fields.two_bytes()? == 0 => return Err(wrong()),
            0x21 => {}
            // Server keep alive, topic alias maximum.
            0x13 | 0x22 => drop(fields.two_bytes()?),
            SESSION_EXPIRY => self.session_expiry = Some(fields.four_bytes()?),
            LARGEST_PACKET => {
                let largest = fields.four_bytes()?;
                self.largest_packet = Some(largest).filter(|largest| *largest != 0);
                self.largest_packet.ok_or_else(wrong)?;
            }
            // Message expiry interval, will delay interval.
            0x02 | 0x18 => drop(fields.four_bytes()?),
            SUBSCRIPTION_ID if fields.variable()? == 0 => return Err(wrong()),
            SUBSCRIPTION_ID => {}
            // Correlation data, authentication data.
            0x09 | AUTH_DATA => drop(fields.binary()?),
            USER_PROPERTY => {
                let name = fields.string()?;
                self.user.push((name, fields.string()?));
            }
            RESPONSE_TOPIC => {
                let topic = fields.string()?;
                super::topics::check_topic(topic)?;
                self.response_topic = Some(topic);
            }
            CONTENT_TYPE => self.content_type = Some(fields.string()?),
            // Assigned client identifier, authentication method, response information, server reference,
            // reason string.
            0x12 | AUTH_METHOD | 0x1a | 0x1c | REASON_STRING => drop(fields.string()?),
            _ => return Err(wrong()),
        }
        Ok(())
    }
}

/// The variable byte integer (section 1.5.5) at the beginning of `bytes`, and its length. `None`: it is not complete.
pub(super) fn variable(bytes: &[u8]) -> Result<Option<(usize, usize)>, MessageFault> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            if *byte == 0 && index > 0 {
                return Err(broken("a length has more bytes than it needs"));
            }
            return Ok(Some((value, index + 1)));
        }
    }
    if bytes.len() >= 4 {
        return Err(broken("a length has more than four bytes"));
    }
    Ok(None)
}
