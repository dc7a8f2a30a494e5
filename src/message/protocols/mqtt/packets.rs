//! The packets of MQTT 3.1.1 and 5.0, each read from its first byte to its last (chapter 3 of both specifications).

use super::fields::{self, Allowed, Fields, Properties};
use super::topics::{self, Shared};
use crate::message::protocols::broken;
use crate::message::rules::MessageFault;
use crate::message::scan::Bounds;
use crate::values::Endpoint;

/// The version that a CONNECT packet names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// 3.1.1
    V4,
    /// 5.0
    V5,
}

impl Version {
    /// The number in CONNECT packets.
    pub(super) fn level(self) -> u8 {
        match self {
            Self::V4 => 4,
            Self::V5 => 5,
        }
    }
}

/// A whole packet.
#[derive(Debug)]
pub(super) enum Packet<'p> {
    Connect(Box<Connect<'p>>),
    Publish(Publish<'p>),
    Subscribe(Subscribe<'p>),
    /// An answer to CONNECT.
    ConnectAck,
    Disconnect,
    Auth,
    /// Another packet, to which no rule of a route applies.
    Other,
}

#[derive(Debug)]
pub(super) struct Connect<'p> {
    pub(super) version: Version,
    pub(super) client_id: &'p str,
    pub(super) keep_alive: u16,
    pub(super) clean_start: bool,
    pub(super) user_name: Option<&'p str>,
    /// The message that the server publishes when the client is lost.
    pub(super) will: Option<Publish<'p>>,
    pub(super) properties: Properties<'p>,
}

#[derive(Debug)]
pub(super) struct Publish<'p> {
    /// Empty: the topic of the alias.
    pub(super) topic: &'p str,
    pub(super) qos: u8,
    pub(super) retain: bool,
    /// With a quality of service above 0.
    pub(super) id: u16,
    pub(super) payload: &'p [u8],
    pub(super) properties: Properties<'p>,
}

#[derive(Debug)]
pub(super) struct Subscribe<'p> {
    pub(super) id: u16,
    /// Filters, each with the highest quality of service.
    pub(super) filters: Vec<(Shared<'p>, u8)>,
}

/// The beginning of a packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Start {
    pub(super) kind: u8,
    pub(super) flags: u8,
    /// The place of its first field.
    pub(super) fields: usize,
    /// The bytes of the whole packet.
    pub(super) length: usize,
}

pub(super) const CONNECT: u8 = 1;
pub(super) const CONNACK: u8 = 2;
pub(super) const PUBLISH: u8 = 3;
pub(super) const PUBACK: u8 = 4;
pub(super) const PUBREC: u8 = 5;
const PUBREL: u8 = 6;
const PUBCOMP: u8 = 7;
const SUBSCRIBE: u8 = 8;
pub(super) const SUBACK: u8 = 9;
const UNSUBSCRIBE: u8 = 10;
const UNSUBACK: u8 = 11;
const PINGREQ: u8 = 12;
const PINGRESP: u8 = 13;
const DISCONNECT: u8 = 14;
pub(super) const AUTH: u8 = 15;

/// Filters of one SUBSCRIBE or UNSUBSCRIBE packet, at most.
const MOST_FILTERS: usize = 1000;

const USER_ONLY: &[u8] = &[fields::USER_PROPERTY];
const OF_CONNECT: Allowed = Allowed {
    once: &[
        fields::SESSION_EXPIRY,
        fields::AUTH_METHOD,
        fields::AUTH_DATA,
        fields::PROBLEM_INFORMATION,
        0x19,
        0x21,
        0x22,
        fields::LARGEST_PACKET,
    ],
    often: USER_ONLY,
};
const OF_WILL: Allowed = Allowed {
    once: &[fields::PAYLOAD_FORMAT, 0x02, fields::CONTENT_TYPE, fields::RESPONSE_TOPIC, 0x09, 0x18],
    often: USER_ONLY,
};
const OF_CONNACK: Allowed = Allowed {
    once: &[
        fields::SESSION_EXPIRY,
        0x12,
        0x13,
        fields::AUTH_METHOD,
        fields::AUTH_DATA,
        0x1a,
        0x1c,
        fields::REASON_STRING,
        0x21,
        0x22,
        0x24,
        0x25,
        fields::LARGEST_PACKET,
        0x28,
        0x29,
        0x2a,
    ],
    often: USER_ONLY,
};
const IN_PUBLISH: &[u8] = &[
    fields::PAYLOAD_FORMAT,
    0x02,
    fields::CONTENT_TYPE,
    fields::RESPONSE_TOPIC,
    0x09,
    fields::TOPIC_ALIAS,
];
const OF_ANSWER: Allowed = Allowed { once: &[fields::REASON_STRING], often: USER_ONLY };
const OF_AUTH: Allowed = Allowed {
    once: &[fields::AUTH_METHOD, fields::AUTH_DATA, fields::REASON_STRING],
    often: USER_ONLY,
};

/// Reads the fixed header (section 2.1) at the beginning of `bytes`. `None`: it is not complete, and not wrong so far.
pub(super) fn start(bytes: &[u8], sender: Endpoint) -> Result<Option<Start>, MessageFault> {
    let Some((first, rest)) = bytes.split_first() else {
        return Ok(None);
    };
    let (kind, flags) = (first >> 4, first & 0x0f);
    let sent_by_client =
        matches!(kind, CONNECT | SUBSCRIBE | UNSUBSCRIBE | PINGREQ) && sender == Endpoint::Client;
    let sent_by_server =
        matches!(kind, CONNACK | SUBACK | UNSUBACK | PINGRESP) && sender == Endpoint::Upstream;
    let sent_by_both = matches!(kind, PUBLISH..=PUBCOMP | DISCONNECT | AUTH);
    if !sent_by_client && !sent_by_server && !sent_by_both {
        return Err(broken(format_args!("a packet of type {kind}, which this end does not send")));
    }
    let fixed = if matches!(kind, PUBREL | SUBSCRIBE | UNSUBSCRIBE) { 0b0010 } else { 0 };
    if kind != PUBLISH && flags != fixed {
        return Err(broken(format_args!("a packet of type {kind} with the flags {flags:#06b}")));
    }
    Ok(fields::variable(rest)?.map(|(length, size)| {
        let fields = 1 + size;
        Start { kind, flags, fields, length: fields + length }
    }))
}

/// Reads the whole packet that `start` begins.
pub(super) fn read<'p>(
    packet: &'p [u8],
    start: Start,
    version: Version,
    sender: Endpoint,
    bounds: &'p Bounds,
) -> Result<Packet<'p>, MessageFault> {
    let mut fields = Fields::new(packet, start.fields, bounds);
    let v5 = version == Version::V5;
    let read = match start.kind {
        CONNECT => Packet::Connect(Box::new(connect(&mut fields)?)),
        CONNACK => connack(&mut fields, v5)?,
        PUBLISH => Packet::Publish(publish(&mut fields, start.flags, v5, sender)?),
        PUBACK | PUBREC | PUBREL | PUBCOMP => acknowledgement(&mut fields, start.kind, v5)?,
        SUBSCRIBE => Packet::Subscribe(subscribe(&mut fields, v5)?),
        UNSUBSCRIBE => unsubscribe(&mut fields, v5)?,
        SUBACK | UNSUBACK => subscriptions(&mut fields, start.kind, v5)?,
        DISCONNECT if v5 => disconnect(&mut fields, sender)?,
        DISCONNECT if sender == Endpoint::Client => Packet::Disconnect,
        AUTH if v5 => auth(&mut fields)?,
        PINGREQ | PINGRESP => Packet::Other,
        _ => return Err(broken("a packet that this version of MQTT does not have")),
    };
    if !fields.is_empty() {
        return Err(broken("bytes follow the last field of a packet"));
    }
    Ok(read)
}

/// Reads a CONNECT packet (section 3.1).
fn connect<'p>(fields: &mut Fields<'p>) -> Result<Connect<'p>, MessageFault> {
    let name = fields.string()?;
    let version = match (name, fields.byte()?) {
        ("MQTT", 4) => Version::V4,
        ("MQTT", 5) => Version::V5,
        _ => return Err(broken("neither MQTT 3.1.1 nor 5.0")),
    };
    let v5 = version == Version::V5;
    let flags = fields.byte()?;
    let flag = |bit: u8| flags & 1 << bit != 0;
    let (has_user_name, has_password, has_will) = (flag(7), flag(6), flag(2));
    let (qos, retain) = (flags >> 3 & 0b11, flag(5));
    if flag(0) || qos == 3 || (!has_will && (qos > 0 || retain)) {
        return Err(broken("flags of CONNECT that are not allowed"));
    }
    if has_password && !has_user_name && !v5 {
        return Err(broken("a password without a user name"));
    }
    let keep_alive = fields.two_bytes()?;
    let properties = if v5 { fields.properties(OF_CONNECT)? } else { Properties::default() };
    let client_id = fields.string()?;
    let will = if has_will { Some(will(fields, qos, retain, v5)?) } else { None };
    let user_name = if has_user_name { Some(fields.string()?) } else { None };
    if has_password {
        fields.binary()?;
    }
    let clean_start = flag(1);
    Ok(Connect { version, client_id, keep_alive, clean_start, user_name, will, properties })
}

fn will<'p>(
    fields: &mut Fields<'p>,
    qos: u8,
    retain: bool,
    v5: bool,
) -> Result<Publish<'p>, MessageFault> {
    let properties = if v5 { fields.properties(OF_WILL)? } else { Properties::default() };
    let topic = fields.string()?;
    topics::check_topic(topic)?;
    topics::check_single(topic)?;
    let payload = fields.binary()?;
    check_text(&properties, payload)?;
    Ok(Publish { topic, qos, retain, id: 0, payload, properties })
}

/// A payload that is declared to be UTF-8 must be (section 3.3.2.3.2).
fn check_text(properties: &Properties<'_>, payload: &[u8]) -> Result<(), MessageFault> {
    if properties.is_text && std::str::from_utf8(payload).is_err() {
        return Err(broken("a payload that is declared to be UTF-8 is not"));
    }
    Ok(())
}

fn connack<'p>(fields: &mut Fields<'p>, v5: bool) -> Result<Packet<'p>, MessageFault> {
    let (flags, code) = (fields.byte()?, fields.byte()?);
    // A server that knows only version 3.1.1 answers in its own form (section 4.13.2).
    let older = v5 && fields.is_empty() && matches!(code, 1..=5);
    if flags > 1 || (flags == 1 && code != 0) || (!v5 && code > 5) {
        return Err(broken("flags or a code of CONNACK that are not allowed"));
    }
    if v5 && !older {
        fields.properties(OF_CONNACK)?;
    }
    Ok(Packet::ConnectAck)
}

fn publish<'p>(
    fields: &mut Fields<'p>,
    flags: u8,
    v5: bool,
    sender: Endpoint,
) -> Result<Publish<'p>, MessageFault> {
    let (duplicate, qos, retain) = (flags & 8 != 0, flags >> 1 & 0b11, flags & 1 != 0);
    if qos == 3 || (duplicate && qos == 0) {
        return Err(broken("flags of PUBLISH that are not allowed"));
    }
    let topic = fields.string()?;
    let id = if qos > 0 { fields.packet_id()? } else { 0 };
    let often: &[u8] = match sender {
        Endpoint::Client => USER_ONLY,
        Endpoint::Upstream => &[fields::USER_PROPERTY, fields::SUBSCRIPTION_ID],
    };
    let allowed = Allowed { once: IN_PUBLISH, often };
    let properties = if v5 { fields.properties(allowed)? } else { Properties::default() };
    if !topic.is_empty() || properties.alias.is_none() {
        topics::check_topic(topic)?;
        if sender == Endpoint::Client {
            topics::check_single(topic)?;
        }
    }
    let payload = fields.rest();
    check_text(&properties, payload)?;
    Ok(Publish { topic, qos, retain, id, payload, properties })
}

fn acknowledgement<'p>(
    fields: &mut Fields<'p>,
    kind: u8,
    v5: bool,
) -> Result<Packet<'p>, MessageFault> {
    fields.packet_id()?;
    if v5 && !fields.is_empty() {
        let code = fields.byte()?;
        let known = match kind {
            PUBACK | PUBREC => {
                matches!(code, 0 | 0x10 | 0x80 | 0x83 | 0x87 | 0x90 | 0x91 | 0x97 | 0x99)
            }
            _ => matches!(code, 0 | 0x92),
        };
        check_code(known)?;
        answer_properties(fields)?;
    }
    Ok(Packet::Other)
}

/// The properties after a reason code, which may be left out together with their length.
fn answer_properties(fields: &mut Fields<'_>) -> Result<(), MessageFault> {
    if !fields.is_empty() {
        fields.properties(OF_ANSWER)?;
    }
    Ok(())
}

fn check_code(known: bool) -> Result<(), MessageFault> {
    if known { Ok(()) } else { Err(broken("a code that its packet cannot have")) }
}

fn subscribe<'p>(fields: &mut Fields<'p>, v5: bool) -> Result<Subscribe<'p>, MessageFault> {
    let id = fields.packet_id()?;
    if v5 {
        fields.properties(Allowed { once: &[fields::SUBSCRIPTION_ID], often: USER_ONLY })?;
    }
    let mut filters = Vec::new();
    while !fields.is_empty() || filters.is_empty() {
        check_number(filters.len())?;
        let filter = topics::shared(fields.string()?)?;
        let options = fields.byte()?;
        let (qos, no_local, handling) = (options & 0b11, options & 4 != 0, options >> 4 & 0b11);
        let reserved = if v5 { 0b1100_0000 } else { 0b1111_1100 };
        if qos == 3 || options & reserved != 0 || handling == 3 {
            return Err(broken("options of a subscription that are not allowed"));
        }
        if no_local && filter.group.is_some() {
            return Err(broken("a shared subscription without local messages"));
        }
        filters.push((filter, qos));
    }
    Ok(Subscribe { id, filters })
}

fn check_number(filters: usize) -> Result<(), MessageFault> {
    if filters >= MOST_FILTERS {
        return Err(broken(format_args!("a packet with more than {MOST_FILTERS} filters")));
    }
    Ok(())
}

fn unsubscribe<'p>(fields: &mut Fields<'p>, v5: bool) -> Result<Packet<'p>, MessageFault> {
    fields.packet_id()?;
    if v5 {
        fields.properties(Allowed { once: &[], often: USER_ONLY })?;
    }
    let mut filters = 0;
    while !fields.is_empty() || filters == 0 {
        check_number(filters)?;
        topics::shared(fields.string()?)?;
        filters += 1;
    }
    Ok(Packet::Other)
}

/// Reads SUBACK and UNSUBACK (sections 3.9 and 3.11).
fn subscriptions<'p>(
    fields: &mut Fields<'p>,
    kind: u8,
    v5: bool,
) -> Result<Packet<'p>, MessageFault> {
    fields.packet_id()?;
    if v5 {
        fields.properties(OF_ANSWER)?;
    }
    if !v5 && kind == UNSUBACK {
        return Ok(Packet::Other);
    }
    if fields.is_empty() {
        return Err(broken("an answer without a code"));
    }
    check_code(fields.rest().iter().all(|code| match (kind, v5) {
        (SUBACK, false) => matches!(code, 0..=2 | 0x80),
        (SUBACK, true) => {
            matches!(code, 0..=2 | 0x80 | 0x83 | 0x87 | 0x8f | 0x91 | 0x97 | 0x9e | 0xa1 | 0xa2)
        }
        _ => matches!(code, 0 | 0x11 | 0x80 | 0x83 | 0x87 | 0x8f | 0x91),
    }))?;
    Ok(Packet::Other)
}

fn disconnect<'p>(fields: &mut Fields<'p>, sender: Endpoint) -> Result<Packet<'p>, MessageFault> {
    if fields.is_empty() {
        return Ok(Packet::Disconnect);
    }
    let code = fields.byte()?;
    check_code(matches!(
        code,
        0 | 4 | 0x80..=0x83 | 0x87 | 0x89 | 0x8b | 0x8d..=0x90 | 0x93..=0xa2
    ))?;
    if !fields.is_empty() {
        let once: &[u8] = match sender {
            Endpoint::Client => &[fields::SESSION_EXPIRY, fields::REASON_STRING],
            Endpoint::Upstream => &[fields::REASON_STRING, 0x1c],
        };
        fields.properties(Allowed { once, often: USER_ONLY })?;
    }
    Ok(Packet::Disconnect)
}

fn auth<'p>(fields: &mut Fields<'p>) -> Result<Packet<'p>, MessageFault> {
    if !fields.is_empty() {
        check_code(matches!(fields.byte()?, 0 | 0x18 | 0x19))?;
        fields.properties(OF_AUTH)?;
    }
    Ok(Packet::Auth)
}
