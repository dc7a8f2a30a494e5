//! Protocols that are spoken in messages. Each reads a message into items, to which types, schemas, claims and rates
//! apply; bounds what the protocol lets a peer declare; and answers a refused message in its own form.

mod graphql;
mod json_rpc;
mod mqtt;
mod phoenix;
mod socket_io;
mod stomp;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use serde_json::{Map, Value};

pub use self::graphql::{AllowedDocuments, AllowedDocumentsError, GraphqlRules};
pub use self::mqtt::MqttBounds;
use super::rules::{MessageFault, MessageKind, fault};
use super::scan::{self, Bounds};
use super::text;
use super::types::{TypePattern, Types};
use crate::values::{Endpoint, Reason};
use crate::wire::{Answer, HoldBudget, MessageFollower};

/// The key of the rules of a protocol itself.
const RULE: &str = "protocol";

/// A protocol, with the bounds of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Protocol {
    /// JSON-RPC 2.0.
    JsonRpc {
        /// Elements of one batch, at most.
        max_batch: usize,
    },
    /// Phoenix Channels.
    Phoenix,
    /// Socket.IO 5 over Engine.IO 4.
    SocketIo {
        /// Attachments of one packet, at most.
        max_attachments: usize,
        /// Bytes of the attachments of one packet, at most.
        max_size: u64,
    },
    /// GraphQL over WebSocket, in both subprotocols.
    GraphqlWs(GraphqlRules),
    /// STOMP.
    Stomp,
    /// MQTT 3.1.1 and 5.0.
    Mqtt(MqttBounds),
}

/// A number that the readers of both directions of one session share, such as the version that the client asks for; 0
/// at first.
#[derive(Debug, Clone, Default)]
pub struct SharedState(Arc<AtomicU8>);

/// One call, event, operation or packet of a message.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Item {
    /// Its type, as `types` lists it; `None`: it belongs to the protocol itself, and neither types nor schemas
    /// apply to it.
    pub(super) name: Option<String>,
    /// The part that schemas and the pointers of `require_in` apply to; null if it has none.
    pub(super) body: Value,
    /// The mark by which its sender recognises an answer, in a form of the protocol's own; `None`: it expects no
    /// answer.
    pub(super) reply_to: Option<Value>,
}

/// A whole message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message<'m> {
    pub(super) kind: MessageKind,
    pub(super) payload: &'m [u8],
    /// The bounds of its JSON.
    pub(super) bounds: &'m Bounds,
}

/// A message that is refused, for the answer to its sender.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refused<'m> {
    /// Its items, as far as they could be read.
    pub(super) items: &'m [Item],
    /// The reason.
    pub(super) reason: Reason,
    /// The name of the session in the log.
    pub(super) request_id: &'m str,
}

/// The message that was read last, as a part of what its sender says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// It is whole, or the first one of several.
    First,
    /// It continues what was forwarded, or cannot be discarded for another reason: the session cannot go on without it.
    Forwarded,
    /// It continues what was discarded, and is discarded like it.
    Discarded,
}

/// Reads the messages of one direction of one session, in their order.
pub(super) trait Reader: fmt::Debug + Send + Sync {
    /// Reads a message, and adds its items to `items`. The state moves on as if the message is forwarded.
    ///
    /// # Errors
    /// The rule of the protocol that the message breaks. The items before that place may have been added.
    fn read(&mut self, message: &Message<'_>, items: &mut Vec<Item>) -> Result<(), MessageFault>;

    /// The message that was read last.
    fn part(&self) -> Part {
        Part::First
    }

    /// Whether the messages so far end within a packet of several messages, which has to be complete in time.
    fn is_incomplete(&self) -> bool {
        false
    }

    /// Messages may have passed unread before the first one that comes.
    fn begin_late(&mut self) {}

    /// The message that was read last is discarded and the session goes on, so the other end never sees it.
    fn discard(&mut self) {}

    /// Whether the message that was read last has no effect without the next one, and is to be held until that is
    /// judged.
    fn awaits_next(&self) -> bool {
        false
    }

    /// Shares `shared` with the reader of the other direction.
    fn share(&mut self, shared: &SharedState) {
        let _ = shared;
    }

    /// The budget of the session for bytes that are kept.
    fn set_budget(&mut self, budget: &HoldBudget) {
        let _ = budget;
    }

    /// Whether an item of this name passes, unless a type lists exactly this name.
    fn is_optional(&self, name: &str) -> bool {
        let _ = name;
        false
    }

    /// Whether an item of this name is refused if no type lists it, also with `unlisted = "allow"`.
    fn must_be_listed(&self, name: &str) -> bool {
        let _ = name;
        false
    }

    /// The number of the type that lists the item `name`.
    fn find_type(&self, types: &Types, name: &str) -> Option<usize> {
        types.find(name).map(|(index, _)| index)
    }

    /// The numbers of the other types that apply to the item `name`, also if none lists it.
    fn other_types(&self, types: &Types, name: &str) -> Vec<usize> {
        let _ = (types, name);
        Vec::new()
    }

    /// Takes the bounds of `protocol`, of the same kind, for messages to come: the configuration was reloaded.
    fn set_bounds(&mut self, protocol: &Protocol);

    /// The answer to the sender of a refused message; `None`: the protocol has none for it.
    fn answer(&self, refused: &Refused<'_>) -> Option<Answer>;
}

impl Protocol {
    /// Reads along with what `sender` forwards unjudged, if the gateway's own messages may not come at any place.
    #[must_use]
    pub fn follower(&self) -> Option<Box<dyn MessageFollower>> {
        match self {
            Self::SocketIo { .. } => Some(Box::<socket_io::Follower>::default()),
            Self::Mqtt(_) => Some(Box::<mqtt::Follower>::default()),
            _ => None,
        }
    }

    /// A reader of the messages that `sender` sends, from the first one on.
    pub(super) fn reader(&self, sender: Endpoint) -> Box<dyn Reader> {
        match self {
            // JSON-RPC 2.0 has the same forms both ways.
            Self::JsonRpc { max_batch } => Box::new(json_rpc::JsonRpc::new(*max_batch)),
            Self::Phoenix => Box::new(phoenix::Phoenix::new(sender)),
            Self::SocketIo { max_attachments, max_size } => {
                Box::new(socket_io::SocketIo::new(sender, *max_attachments, *max_size))
            }
            Self::GraphqlWs(rules) => Box::new(graphql::GraphqlWs::new(sender, rules.clone())),
            Self::Stomp => Box::new(stomp::Stomp::new(sender)),
            Self::Mqtt(bounds) => Box::new(mqtt::Mqtt::new(*bounds, sender)),
        }
    }

    /// Checks the name of a type that a configuration lists.
    ///
    /// # Errors
    /// No item of the protocol can have such a name; says why.
    pub fn check_type(&self, pattern: &TypePattern) -> Result<(), &'static str> {
        match self {
            Self::Mqtt(_) => mqtt::check_type(pattern),
            _ => Ok(()),
        }
    }

    /// Whether a packet of the protocol may have several messages.
    #[must_use]
    pub fn has_packets(&self) -> bool {
        matches!(self, Self::SocketIo { .. } | Self::Mqtt(_))
    }
}

impl SharedState {
    fn get(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, value: u8) {
        self.0.store(value, Ordering::Relaxed);
    }
}

impl Item {
    /// An item of the protocol itself.
    pub(super) fn own() -> Self {
        Self { name: None, body: Value::Null, reply_to: None }
    }

    /// An item of a type.
    pub(super) fn named(name: String, body: Value) -> Self {
        Self { name: Some(name), body, reply_to: None }
    }
}

impl<'m> Message<'m> {
    /// The text of a message that must be one.
    pub(super) fn text(&self) -> Result<&'m str, MessageFault> {
        if self.kind == MessageKind::Binary {
            return Err(broken("a binary message"));
        }
        // The rules of frames have checked it.
        std::str::from_utf8(self.payload).map_err(|_| broken("it is not UTF-8"))
    }

    /// The text of a message of either kind.
    pub(super) fn any_text(&self) -> Result<&'m str, MessageFault> {
        std::str::from_utf8(self.payload).map_err(|_| broken("it is not UTF-8"))
    }

    /// The tree of `text`, a part of the message that must be JSON within the bounds that all parsers read alike.
    pub(super) fn json(&self, text: &str) -> Result<Value, MessageFault> {
        scan::scan(text, self.bounds, &mut scan::Nothing).map_err(|structure| {
            let scan::StructureFault { rule, offset } = structure;
            let key = if rule.key() == "encoding" { RULE } else { rule.key() };
            fault(Reason::MessageStructure, key, format_args!("{rule}, at byte {offset}"))
        })?;
        // The scan accepts no text that serde_json refuses.
        serde_json::from_str(text).map_err(|_| broken("it could not be read"))
    }
}

/// A message that breaks a rule of the protocol.
pub(super) fn broken(detail: impl fmt::Display) -> MessageFault {
    fault(Reason::MessageStructure, RULE, detail)
}

/// The member `name` of an object of the protocol. A name that differs in case alone is a fault, since parsers of some
/// languages ignore case.
pub(super) fn member<'v>(
    object: &'v Map<String, Value>,
    name: &str,
) -> Result<Option<&'v Value>, MessageFault> {
    if object.keys().any(|other| other != name && text::are_alike(other, name)) {
        return Err(broken(format_args!("a name differs from \"{name}\" in case alone")));
    }
    Ok(object.get(name))
}
