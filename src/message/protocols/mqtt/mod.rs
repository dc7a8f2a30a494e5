//! MQTT 3.1.1 and 5.0 over `WebSocket`. The stream of packets is cut into messages anywhere (section 6 of both
//! specifications): [`Mqtt`] finds the packets, `packets` reads them, `topics` finds the types that apply.
//!
//! A copy of a packet that is not complete is kept, of at most the bytes of the largest packet; what is above 4 KiB
//! counts in the hold budget of the session. For version 5 also the topics of aliases are kept ([`ALIASES`]).

mod answers;
mod fields;
mod packets;
mod topics;

use std::collections::HashMap;
use std::mem;

use serde_json::{Map, Value, json};

use self::answers::Asked;
use self::fields::Properties;
use self::packets::{Connect, Packet, Publish, Start, Version};
use super::{Item, Message, Part, Protocol, Reader, Refused, SharedState, broken};
use crate::message::rules::{MessageFault, MessageKind, fault};
use crate::message::types::{TypePattern, Types};
use crate::values::{Endpoint, Reason};
use crate::wire::{Answer, CountedBytes, HoldBudget, MessageFollower};

/// The type of CONNECT packets.
const CONNECT: &str = "connect";
/// Topic aliases of one direction, at most, and the bytes of their topics.
const ALIASES: (usize, usize) = (64, 16 * 1024);
/// Publishes and filters of one message, at most.
const MOST_ITEMS: usize = 1000;

/// The bounds of MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MqttBounds {
    /// Bytes of one packet, at most.
    pub max_packet: usize,
    /// The highest quality of service.
    pub max_qos: u8,
    /// Whether a publish or will may be retained.
    pub retain: bool,
}

/// Reads the messages of one direction.
#[derive(Debug)]
pub(super) struct Mqtt {
    sender: Endpoint,
    bounds: MqttBounds,
    /// Has the version: that of the client's CONNECT.
    shared: SharedState,
    budget: HoldBudget,
    phase: Phase,
    /// The beginning of a packet that is not complete.
    partial: CountedBytes,
    /// The bytes of `partial` reached the other end together with the packet before.
    begun: bool,
    /// The topics of aliases (section 3.3.2.3.4).
    aliases: HashMap<u16, Box<str>>,
    alias_bytes: usize,
    last: Last,
}

/// The place in the conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing was sent.
    First,
    /// CONNECT or CONNACK was sent.
    Open,
    /// DISCONNECT was sent.
    Over,
    /// A packet was not valid, so that the place of the next one is not known.
    Lost,
}

/// The last message.
#[derive(Debug)]
enum Last {
    /// Parts of packets, or several.
    Mixed,
    /// One whole packet.
    One(Asked),
}

impl Mqtt {
    pub(super) fn new(bounds: MqttBounds, sender: Endpoint) -> Self {
        Self {
            sender,
            bounds,
            shared: SharedState::default(),
            budget: HoldBudget::new(bounds.max_packet.saturating_mul(2)),
            phase: Phase::First,
            partial: CountedBytes::default(),
            begun: false,
            aliases: HashMap::new(),
            alias_bytes: 0,
            last: Last::Mixed,
        }
    }

    /// Reads the packets that the message completes. Returns a rule of the route that one of them breaks.
    fn read_packets(
        &mut self,
        message: &Message<'_>,
        items: &mut Vec<Item>,
    ) -> Result<Option<MessageFault>, MessageFault> {
        let mut joined = None;
        if !self.partial.bytes.is_empty() {
            self.keep(message.payload)?;
            let start = self.start(&self.partial.bytes)?;
            if start.is_none_or(|start| self.partial.bytes.len() < start.length) {
                return Ok(None);
            }
            joined = Some(mem::take(&mut self.partial));
        }
        let mut rest = joined.as_ref().map_or(message.payload, |joined| joined.bytes.as_slice());
        let begun = mem::take(&mut self.begun);
        let (mut count, mut broken_rule) = (0_usize, None);
        while let Some(start) = self.start(rest)?
            && let Some((packet, others)) = rest.split_at_checked(start.length)
        {
            rest = others;
            count += 1;
            let (asked, broken) = self.read_packet(packet, start, message, items)?;
            broken_rule = broken_rule.or(broken);
            let alone = count == 1 && rest.is_empty() && !begun;
            self.last = if alone { Last::One(asked) } else { Last::Mixed };
        }
        self.begun = count > 0 && !rest.is_empty();
        self.keep(rest)?;
        if let Some(joined) = &joined {
            // Patterns apply to the whole packet, not to its pieces alone.
            let text = String::from_utf8_lossy(&joined.bytes).into_owned();
            items.push(Item { body: Value::String(text), ..Item::own() });
        }
        Ok(broken_rule)
    }

    /// The beginning of the next packet, if it is complete.
    fn start(&self, bytes: &[u8]) -> Result<Option<Start>, MessageFault> {
        let start = packets::start(bytes, self.sender)?;
        if let Some(first) = bytes.first() {
            self.check_order(first >> 4)?;
        }
        if start.is_some_and(|start| start.length > self.bounds.max_packet) {
            return Err(fault(Reason::MessageTooBig, "max_size", "a packet is larger"));
        }
        Ok(start)
    }

    fn check_order(&self, kind: u8) -> Result<(), MessageFault> {
        let first = match self.sender {
            Endpoint::Client => kind == packets::CONNECT,
            Endpoint::Upstream => matches!(kind, packets::CONNACK | packets::AUTH),
        };
        let again = matches!(kind, packets::CONNECT | packets::CONNACK);
        match self.phase {
            Phase::First if !first => Err(broken("the first packet is no CONNECT or CONNACK")),
            Phase::Open if again => Err(broken("a second CONNECT or CONNACK")),
            Phase::Over => Err(broken("a packet after DISCONNECT")),
            Phase::Lost => Err(broken("a packet before it is not valid")),
            Phase::First | Phase::Open => Ok(()),
        }
    }

    /// Keeps the beginning of a packet.
    fn keep(&mut self, bytes: &[u8]) -> Result<(), MessageFault> {
        // The length of the packet, which is bounded, bounds the copy; a message is never larger.
        if bytes.is_empty() || self.partial.push(bytes, &self.budget) {
            return Ok(());
        }
        Err(fault(
            Reason::Capacity,
            "max_size",
            "there is no room to keep the beginning of a packet",
        ))
    }

    /// Reads a whole packet. Returns what its sender waits for, and a rule of the route that it breaks.
    fn read_packet(
        &mut self,
        bytes: &[u8],
        start: Start,
        message: &Message<'_>,
        items: &mut Vec<Item>,
    ) -> Result<(Asked, Option<MessageFault>), MessageFault> {
        let version = match (start.kind, self.version()) {
            // It names the version itself.
            (packets::CONNECT, _) => Version::V4,
            (_, Some(version)) => version,
            (_, None) => return Err(broken("a packet before the CONNECT of the client")),
        };
        let packet = packets::read(bytes, start, version, self.sender, message.bounds)?;
        let read = match packet {
            Packet::Connect(connect) => {
                self.set_version(Some(connect.version));
                self.phase = Phase::Open;
                items.push(item(CONNECT, "", connect_body(&connect)));
                let broken = connect.will.as_ref().and_then(|will| self.check_publish(will));
                if let Some(will) = &connect.will {
                    items.push(item(
                        "publish ",
                        will.topic,
                        publish_body(will.topic, will, message),
                    ));
                }
                (Asked::connect(&connect), broken)
            }
            Packet::Publish(publish) => self.read_publish(&publish, message, items)?,
            Packet::Subscribe(subscribe) => {
                let mut broken = None;
                for (shared, qos) in &subscribe.filters {
                    items.push(item("subscribe ", shared.filter, filter_body(shared, *qos)));
                    broken = broken.or_else(|| self.check_qos(*qos));
                }
                (Asked::Subscribe { id: subscribe.id, filters: subscribe.filters.len() }, broken)
            }
            Packet::ConnectAck => {
                self.phase = Phase::Open;
                (Asked::Nothing, None)
            }
            Packet::Disconnect => {
                self.phase = Phase::Over;
                (Asked::Nothing, None)
            }
            Packet::Auth | Packet::Other => (Asked::Nothing, None),
        };
        if items.len() > MOST_ITEMS {
            return Err(broken(format_args!("a message with more than {MOST_ITEMS} topics")));
        }
        Ok(read)
    }

    fn read_publish(
        &mut self,
        publish: &Publish<'_>,
        message: &Message<'_>,
        items: &mut Vec<Item>,
    ) -> Result<(Asked, Option<MessageFault>), MessageFault> {
        let Publish { topic, properties, .. } = publish;
        let sets_alias = properties.alias.is_some() && !topic.is_empty();
        if let (true, Some(alias)) = (sets_alias, properties.alias) {
            self.set_alias(alias, topic)?;
        }
        let topic: &str = match properties.alias {
            Some(alias) if topic.is_empty() => {
                self.aliases.get(&alias).ok_or_else(|| broken("an alias without a topic"))?
            }
            _ => topic,
        };
        items.push(item("publish ", topic, publish_body(topic, publish, message)));
        let asked = Asked::Publish { qos: publish.qos, id: publish.id, sets_alias };
        Ok((asked, self.check_publish(publish)))
    }

    fn set_alias(&mut self, alias: u16, topic: &str) -> Result<(), MessageFault> {
        let (most, most_bytes) = ALIASES;
        let before = self.aliases.insert(alias, topic.into());
        self.alias_bytes += topic.len();
        self.alias_bytes -= before.map_or(0, |before| before.len());
        if self.aliases.len() > most || self.alias_bytes > most_bytes {
            return Err(broken(format_args!(
                "more than {most} topic aliases, or {most_bytes} bytes of their topics"
            )));
        }
        Ok(())
    }

    fn check_publish(&self, publish: &Publish<'_>) -> Option<MessageFault> {
        if publish.retain && !self.bounds.retain {
            return Some(fault(Reason::MessageStructure, "retain", "a retained message"));
        }
        self.check_qos(publish.qos)
    }

    fn check_qos(&self, qos: u8) -> Option<MessageFault> {
        let detail = format_args!("a quality of service of {qos}");
        (qos > self.bounds.max_qos).then(|| fault(Reason::MessageStructure, "max_qos", detail))
    }

    fn version(&self) -> Option<Version> {
        let level = self.shared.get();
        [Version::V4, Version::V5].into_iter().find(|version| version.level() == level)
    }

    fn set_version(&self, version: Option<Version>) {
        self.shared.set(version.map_or(0, Version::level));
    }
}

impl Reader for Mqtt {
    fn read(&mut self, message: &Message<'_>, items: &mut Vec<Item>) -> Result<(), MessageFault> {
        self.last = Last::Mixed;
        // Section 6: MQTT is in binary messages.
        let read = match message.kind {
            MessageKind::Text => Err(broken("a text message")),
            MessageKind::Binary => self.read_packets(message, items),
        };
        match read {
            Ok(broken_rule) => broken_rule.map_or(Ok(()), Err),
            Err(mut fault) => {
                // The other end would no longer know where a packet begins.
                fault.closes = true;
                self.phase = Phase::Lost;
                self.last = Last::Mixed;
                self.partial = CountedBytes::default();
                Err(fault)
            }
        }
    }

    fn begin_late(&mut self) {
        // The place of the next packet is not known.
        self.phase = Phase::Lost;
    }

    fn must_be_listed(&self, name: &str) -> bool {
        // Brokers give topics such as $queue/TOPIC and $exclusive/TOPIC meanings of their own.
        self.sender == Endpoint::Client
            && name.split_once(' ').is_some_and(|(_, topic)| topic.starts_with('$'))
    }

    fn discard(&mut self) {
        if let Last::One(Asked::Connect { .. }) = self.last {
            self.phase = Phase::First;
            self.set_version(None);
        }
    }

    fn part(&self) -> Part {
        match &self.last {
            // The client would use an alias that the server does not know.
            Last::Mixed | Last::One(Asked::Publish { sets_alias: true, .. }) => Part::Forwarded,
            // Version 3.1.1 has no error for it: section 3.3.5 leaves to confirm it, or to close.
            Last::One(Asked::Publish { qos: 1.., .. }) if self.version() == Some(Version::V4) => {
                Part::Forwarded
            }
            Last::One(_) => Part::First,
        }
    }

    fn is_incomplete(&self) -> bool {
        !self.partial.bytes.is_empty()
    }

    fn awaits_next(&self) -> bool {
        !self.partial.bytes.is_empty() && !self.begun
    }

    fn set_bounds(&mut self, protocol: &Protocol) {
        if let Protocol::Mqtt(bounds) = protocol {
            self.bounds = *bounds;
        }
        self.begun |= !self.partial.bytes.is_empty();
    }

    fn share(&mut self, shared: &SharedState) {
        self.shared = shared.clone();
    }

    fn set_budget(&mut self, budget: &HoldBudget) {
        self.budget = budget.clone();
    }

    fn is_optional(&self, name: &str) -> bool {
        name == CONNECT
    }

    fn find_type(&self, types: &Types, name: &str) -> Option<usize> {
        topics::find(types, name)
    }

    fn other_types(&self, types: &Types, name: &str) -> Vec<usize> {
        topics::others(types, name)
    }

    fn answer(&self, refused: &Refused<'_>) -> Option<Answer> {
        match &self.last {
            Last::One(asked) => answers::answer(asked, self.version()?, refused),
            Last::Mixed => None,
        }
    }
}

/// Follows the packets of a stream by their lengths alone.
#[derive(Debug, Default)]
pub(super) struct Follower {
    /// The fixed header of a packet, as far as it was read.
    header: Vec<u8>,
    /// Bytes of the packet after its header that are still to come.
    left: usize,
    /// A message began: the rest of one that was in progress before is not read.
    begun: bool,
    /// A length was not valid, so that nothing is known any more.
    lost: bool,
}

impl MessageFollower for Follower {
    fn begin(&mut self, binary: bool) {
        self.begun = true;
        self.lost |= !binary;
    }

    fn read(&mut self, mut piece: &[u8]) {
        while self.begun && !self.lost && !piece.is_empty() {
            let (_, rest) = piece.split_at(self.left.min(piece.len()));
            self.left -= piece.len() - rest.len();
            piece = rest;
            let Some((first, rest)) = piece.split_first() else {
                break;
            };
            piece = rest;
            self.header.push(*first);
            match fields::variable(&self.header[1..]) {
                Ok(None) => {}
                Ok(Some((length, _))) => {
                    self.left = length;
                    self.header.clear();
                }
                Err(_) => self.lost = true,
            }
        }
    }

    fn is_incomplete(&self) -> bool {
        !self.lost && (self.left > 0 || !self.header.is_empty())
    }
}

/// Checks the name of a type in the configuration; an error says what is wrong.
pub(super) fn check_type(pattern: &TypePattern) -> Result<(), &'static str> {
    topics::check_type(pattern)
}

fn item(kind: &str, topic: &str, body: Map<String, Value>) -> Item {
    Item::named(format!("{kind}{topic}"), Value::Object(body))
}

fn levels(topic: &str) -> Value {
    topic.split('/').collect()
}

fn put(body: &mut Map<String, Value>, name: &str, value: Option<Value>) {
    if let Some(value) = value {
        body.insert(name.to_owned(), value);
    }
}

fn connect_body(connect: &Connect<'_>) -> Map<String, Value> {
    let Connect { client_id, keep_alive, clean_start, properties, .. } = connect;
    let mut body = Map::new();
    put(&mut body, "version", Some(json!(connect.version.level())));
    put(&mut body, "client_id", Some(json!(client_id)));
    put(&mut body, "user_name", connect.user_name.map(Value::from));
    put(&mut body, "keep_alive", Some(json!(keep_alive)));
    put(&mut body, "clean_start", Some(json!(clean_start)));
    put(&mut body, "session_expiry", properties.session_expiry.map(Value::from));
    user_properties(&mut body, properties);
    body
}

fn publish_body(topic: &str, publish: &Publish<'_>, message: &Message<'_>) -> Map<String, Value> {
    let Publish { qos, retain, payload, properties, .. } = publish;
    let mut body = Map::new();
    put(&mut body, "topic", Some(json!(topic)));
    put(&mut body, "levels", Some(levels(topic)));
    put(&mut body, "qos", Some(json!(qos)));
    put(&mut body, "retain", Some(json!(retain)));
    if let Ok(text) = std::str::from_utf8(payload) {
        match message.json(text) {
            Ok(value) => put(&mut body, "payload", Some(value)),
            Err(_) => put(&mut body, "text", Some(json!(text))),
        }
    }
    put(&mut body, "content_type", properties.content_type.map(Value::from));
    put(&mut body, "response_topic", properties.response_topic.map(Value::from));
    user_properties(&mut body, properties);
    body
}

fn filter_body(shared: &topics::Shared<'_>, qos: u8) -> Map<String, Value> {
    let mut body = Map::new();
    put(&mut body, "topic", Some(json!(shared.filter)));
    put(&mut body, "levels", Some(levels(shared.filter)));
    put(&mut body, "qos", Some(json!(qos)));
    put(&mut body, "share", shared.group.map(Value::from));
    body
}

/// A name may be there more than once, so they are pairs.
fn user_properties(body: &mut Map<String, Value>, properties: &Properties<'_>) {
    let given = !properties.user.is_empty();
    put(body, "user_properties", given.then(|| json!(properties.user)));
}
