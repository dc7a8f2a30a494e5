//! Phoenix Channels: the messages of version 2, in text and binary, and of version 1
//! (<https://hexdocs.pm/phoenix/writing_a_channels_client.html>). The type of a message is its event and its topic.
//!
//! The client names the version in the query of its handshake, which a reader does not see. It need not: version 2 has
//! arrays and version 1 has objects, and an application that speaks one version reads no message of the other.

use serde_json::{Map, Value, json};

use super::{Item, Message, Protocol, Reader, Refused, broken, member};
use crate::message::rules::{MessageFault, MessageKind};
use crate::values::Endpoint;
use crate::wire::Answer;

const HEARTBEAT: &str = "heartbeat";
/// The topic of heartbeats.
const OWN_TOPIC: &str = "phoenix";
const LEAVE: &str = "phx_leave";
const REPLY: &str = "phx_reply";
/// The ends of a channel that the application tells of.
const ENDS: [&str; 2] = ["phx_close", "phx_error"];

/// The kinds of binary messages, the first byte.
mod kind {
    pub(super) const PUSH: u8 = 0;
    pub(super) const REPLY: u8 = 1;
    pub(super) const BROADCAST: u8 = 2;
}

/// Reads the messages of Phoenix Channels.
#[derive(Debug)]
pub(super) struct Phoenix {
    sender: Endpoint,
}

/// A message of any form.
struct Push {
    topic: String,
    event: String,
    /// `None`: it is binary.
    payload: Option<Value>,
    /// The parts of a reply beside its payload; `None`: its sender waits for none.
    reply_to: Option<Value>,
}

impl Phoenix {
    pub(super) fn new(sender: Endpoint) -> Self {
        Self { sender }
    }
}

impl Reader for Phoenix {
    fn read(&mut self, message: &Message<'_>, items: &mut Vec<Item>) -> Result<(), MessageFault> {
        let push = match message.kind {
            MessageKind::Binary => binary(message.payload, self.sender)?,
            MessageKind::Text => match message.json(message.text()?)? {
                Value::Array(parts) => version_2(parts)?,
                Value::Object(members) => version_1(members)?,
                _ => return Err(broken("it is neither an array nor an object")),
            },
        };
        items.push(item(push, self.sender)?);
        Ok(())
    }

    fn set_bounds(&mut self, _: &Protocol) {}

    fn answer(&self, refused: &Refused<'_>) -> Option<Answer> {
        let to = refused.items.iter().find_map(|item| item.reply_to.as_ref())?;
        let response = json!({ "reason": refused.reason.name(), "request_id": refused.request_id });
        let payload = json!({ "status": "error", "response": response });
        let answer = match to {
            Value::Array(parts) => {
                let parts = parts.iter().cloned();
                parts.chain([json!(REPLY), payload]).collect()
            }
            other => {
                let mut members = other.as_object()?.clone();
                members.insert("event".to_owned(), json!(REPLY));
                members.insert("payload".to_owned(), payload);
                Value::Object(members)
            }
        };
        Some(Answer::text(answer.to_string()))
    }
}

/// Reads the array of version 2: the reference of the join, that of the message, its topic, event and payload.
fn version_2(parts: Vec<Value>) -> Result<Push, MessageFault> {
    let count = parts.len();
    let Ok([join_ref, reference, topic, event, payload]) = <[Value; 5]>::try_from(parts) else {
        return Err(broken(format_args!("an array of {count} elements instead of 5")));
    };
    let (Value::String(topic), Value::String(event)) = (topic, event) else {
        return Err(broken("its topic or event is no string"));
    };
    check_reference(&join_ref)?;
    check_reference(&reference)?;
    let reply_to = (!reference.is_null()).then(|| json!([join_ref, reference, topic]));
    Ok(Push { topic, event, payload: Some(payload), reply_to })
}

/// Reads the object of version 1. An application requires all members but `join_ref`.
fn version_1(mut members: Map<String, Value>) -> Result<Push, MessageFault> {
    let text = |name| match member(&members, name)? {
        Some(Value::String(text)) => Ok(text.clone()),
        _ => Err(broken(format_args!("\"{name}\" is no string"))),
    };
    let (topic, event) = (text("topic")?, text("event")?);
    if let Some(join_ref) = member(&members, "join_ref")? {
        check_reference(join_ref)?;
    }
    let Some(reference) = member(&members, "ref")? else {
        return Err(broken("it has no \"ref\""));
    };
    check_reference(reference)?;
    let reply_to = (!reference.is_null()).then(|| json!({ "topic": topic, "ref": reference }));
    member(&members, "payload")?;
    let payload = members.remove("payload");
    if payload.is_none() {
        return Err(broken("it has no \"payload\""));
    }
    Ok(Push { topic, event, payload, reply_to })
}

fn check_reference(reference: &Value) -> Result<(), MessageFault> {
    match reference {
        Value::Null | Value::String(_) | Value::Number(_) => Ok(()),
        _ => Err(broken("a reference is neither a string, a number nor null")),
    }
}

/// Reads a binary message of version 2: its kind, the length of each field, the fields, and the payload.
fn binary(bytes: &[u8], sender: Endpoint) -> Result<Push, MessageFault> {
    let Some((kind, rest)) = bytes.split_first() else {
        return Err(broken("an empty message"));
    };
    let (topic, event, reply_to) = match (sender, *kind) {
        (Endpoint::Client, kind::PUSH) => {
            let [join_ref, reference, topic, event] = fields(rest)?;
            let reply_to = (!reference.is_empty()).then(|| json!([join_ref, reference, topic]));
            (topic, event, reply_to)
        }
        (Endpoint::Upstream, kind::PUSH) => {
            let [_join_ref, topic, event] = fields(rest)?;
            (topic, event, None)
        }
        (Endpoint::Upstream, kind::REPLY) => {
            let [_join_ref, _reference, topic, _status] = fields(rest)?;
            (topic, REPLY, None)
        }
        (Endpoint::Upstream, kind::BROADCAST) => {
            let [topic, event] = fields(rest)?;
            (topic, event, None)
        }
        _ => return Err(broken(format_args!("a binary message of the kind {kind}"))),
    };
    Ok(Push { topic: topic.to_owned(), event: event.to_owned(), payload: None, reply_to })
}

/// The fields whose lengths, of one byte each, `rest` begins with.
fn fields<const N: usize>(rest: &[u8]) -> Result<[&str; N], MessageFault> {
    let cut = || broken("it ends within its header");
    let (lengths, mut rest) = rest.split_at_checked(N).ok_or_else(cut)?;
    let mut fields = [""; N];
    for (field, length) in fields.iter_mut().zip(lengths) {
        let (bytes, after) = rest.split_at_checked(usize::from(*length)).ok_or_else(cut)?;
        *field = std::str::from_utf8(bytes).map_err(|_| broken("a field is not UTF-8"))?;
        rest = after;
    }
    Ok(fields)
}

fn item(push: Push, sender: Endpoint) -> Result<Item, MessageFault> {
    let Push { topic, event, payload, reply_to } = push;
    // A type has one reading as event and topic.
    if event.is_empty() || event.contains(char::is_whitespace) {
        return Err(broken("its event is empty or has a space"));
    }
    let is_own = match sender {
        Endpoint::Client => event == LEAVE || (event == HEARTBEAT && topic == OWN_TOPIC),
        Endpoint::Upstream => ENDS.contains(&&*event) || (event == REPLY && topic == OWN_TOPIC),
    };
    let name = format!("{event} {topic}");
    let mut body = Map::new();
    if let Some((_, subtopic)) = topic.split_once(':') {
        body.insert("subtopic".to_owned(), json!(subtopic));
    }
    body.insert("topic".to_owned(), Value::String(topic));
    body.insert("event".to_owned(), Value::String(event));
    if let Some(payload) = payload {
        body.insert("payload".to_owned(), payload);
    }
    let body = Value::Object(body);
    // A client that leaves does without an answer; an error would keep its channel.
    Ok(if is_own {
        Item { name: None, body, reply_to: None }
    } else {
        Item { name: Some(name), body, reply_to }
    })
}
