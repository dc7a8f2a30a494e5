//! Socket.IO 5 over Engine.IO 4 (<https://socket.io/docs/v4/socket-io-protocol/>). The type of an event is its name, in
//! another namespace than `/` with the namespace in front: `/admin,delete`. The body is the array of its arguments.

mod follower;
mod packet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Item, Message, Part, Protocol, Reader, Refused, broken};
use crate::message::rules::{MessageFault, MessageKind, fault};
use crate::values::{Endpoint, Reason};
use crate::wire::Answer;
pub(super) use follower::Follower;
use packet::{Engine, Kind, Packet, ROOT};

/// Events of libraries, which no peer may send.
const RESERVED: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];
/// The event that tells a client of a refused packet that has no acknowledgement.
const EXCEPTION: &str = "exception";
/// The member that marks the place of an attachment.
const PLACEHOLDER: &str = "_placeholder";
/// The key of the bound on attachments.
const MAX_ATTACHMENTS: &str = "max_attachments";

/// Reads packets of Socket.IO.
#[derive(Debug)]
pub(super) struct SocketIo {
    sender: Endpoint,
    bounds: Bounds,
    /// A packet was read: a session may have begun before its route had the protocol.
    begun: bool,
    /// The attachments of the last packet that are still to come.
    due: Due,
    last: Last,
}

/// The bounds of a packet.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    max_attachments: usize,
    /// Bytes of all attachments of a packet.
    max_size: u64,
}

/// Attachments that are still to come.
#[derive(Debug, Default)]
struct Due {
    left: u64,
    /// The bytes of those that came.
    bytes: u64,
    /// Their packet was discarded.
    discarded: bool,
}

/// The message that was read last.
#[derive(Debug, Default, PartialEq, Eq)]
enum Last {
    /// It was for Engine.IO alone.
    #[default]
    Own,
    /// A packet that wants to join this namespace.
    Connect(String),
    /// An event of this namespace, with its acknowledgement id.
    Event(String, u64),
    /// Another packet of this namespace.
    Other(String),
    /// An attachment of a packet that was forwarded, or discarded.
    Attachment(Part),
}

impl SocketIo {
    pub(super) fn new(sender: Endpoint, max_attachments: usize, max_size: u64) -> Self {
        let bounds = Bounds { max_attachments, max_size };
        Self { sender, bounds, begun: false, due: Due::default(), last: Last::Own }
    }

    /// Reads an attachment of `length` bytes.
    fn read_attachment(&mut self, length: usize) -> Result<(), MessageFault> {
        let Due { left, bytes, discarded } = &mut self.due;
        let Some(others) = left.checked_sub(1) else {
            self.last = Last::Other(ROOT.to_owned());
            let mut fault = broken("an attachment without a packet that it belongs to");
            // Its packet may have come before the rules.
            fault.closes = !self.begun;
            return Err(fault);
        };
        *left = others;
        *bytes = bytes.saturating_add(length as u64);
        self.last = Last::Attachment(if *discarded { Part::Discarded } else { Part::Forwarded });
        if *bytes > self.bounds.max_size {
            let detail = "the attachments of a packet have more bytes together";
            let mut fault = fault(Reason::MessageTooBig, "max_size", detail);
            fault.closes = true;
            return Err(fault);
        }
        Ok(())
    }

    /// Reads the text of a packet.
    fn read_packet(
        &mut self,
        text: &str,
        message: &Message<'_>,
        items: &mut Vec<Item>,
    ) -> Result<(), MessageFault> {
        self.last = Last::Other(ROOT.to_owned());
        if self.due.left > 0 {
            self.due = Due::default();
            let mut fault = broken("a packet before all attachments of the one before");
            fault.closes = true;
            return Err(fault);
        }
        let packet = Packet::read(text)?;
        let namespace = packet.namespace.to_owned();
        self.last = match (packet.kind, packet.id) {
            (Kind::Connect, _) if packet.namespace != ROOT => Last::Connect(namespace),
            (Kind::Event, Some(id)) => Last::Event(namespace, id),
            _ => Last::Other(namespace),
        };
        self.begun = true;
        self.due = Due { left: packet.attachments.unwrap_or(0), ..Due::default() };
        items.extend(self.item(&packet, message)?);
        Ok(())
    }

    fn item(
        &self,
        packet: &Packet<'_>,
        message: &Message<'_>,
    ) -> Result<Option<Item>, MessageFault> {
        let Packet { kind, attachments, namespace, id, data } = *packet;
        if attachments.is_some_and(|number| number > self.bounds.max_attachments as u64) {
            let detail = format_args!("{} attachments", attachments.unwrap_or_default());
            return Err(fault(Reason::MessageStructure, MAX_ATTACHMENTS, detail));
        }
        let from_client = self.sender == Endpoint::Client;
        let data = if data.is_empty() { None } else { Some(message.json(data)?) };
        match (kind, id, data) {
            (Kind::Connect, None, None | Some(Value::Object(_)))
                if namespace == ROOT || !from_client =>
            {
                Ok(None)
            }
            (Kind::Connect, None, body @ (None | Some(Value::Object(_)))) => {
                Ok(Some(Item::named(in_namespace(namespace, "connect"), body.unwrap_or_default())))
            }
            (Kind::Disconnect, None, None) => Ok(None),
            (Kind::ConnectError, None, Some(Value::Object(_) | Value::String(_)))
                if !from_client =>
            {
                Ok(None)
            }
            (Kind::Ack, Some(_), Some(Value::Array(values))) => {
                check_placeholders(&values, attachments)?;
                Ok(None)
            }
            (Kind::Event, _, Some(Value::Array(values))) => {
                check_placeholders(&values, attachments)?;
                event(namespace, values).map(Some)
            }
            _ => Err(broken("a packet of Socket.IO 5 that its sender may not send")),
        }
    }
}

/// The item of an event with its arguments.
fn event(namespace: &str, mut values: Vec<Value>) -> Result<Item, MessageFault> {
    // Some decoders accept a number, which others take for another event than its digits.
    let Some(Value::String(name)) = values.first() else {
        return Err(broken("an event without a name"));
    };
    if RESERVED.contains(&&**name) {
        return Err(broken("an event with a reserved name"));
    }
    if namespace == ROOT && name.starts_with('/') && name.contains(',') {
        return Err(broken("the name of an event resembles one of a namespace"));
    }
    let name = in_namespace(namespace, name);
    values.remove(0);
    Ok(Item::named(name, Value::Array(values)))
}

/// The type of a packet of a namespace.
fn in_namespace(namespace: &str, name: &str) -> String {
    if namespace == ROOT { name.to_owned() } else { format!("{namespace},{name}") }
}

/// Checks that the values have one place for each of the attachments.
fn check_placeholders(values: &[Value], attachments: Option<u64>) -> Result<(), MessageFault> {
    // A packet without attachments may have any members.
    let Some(attachments) = attachments else {
        return Ok(());
    };
    let mut places = vec![false; usize::try_from(attachments).unwrap_or_default()];
    values.iter().try_for_each(|value| note_places(value, &mut places))?;
    if places.contains(&false) {
        return Err(broken("fewer places of attachments than attachments"));
    }
    Ok(())
}

fn note_places(value: &Value, places: &mut [bool]) -> Result<(), MessageFault> {
    match value {
        Value::Array(values) => values.iter().try_for_each(|value| note_places(value, places)),
        Value::Object(members) if members.contains_key(PLACEHOLDER) => {
            let number = members.get("num").and_then(Value::as_u64);
            let number = number.filter(|_| members.len() == 2 && members[PLACEHOLDER] == true);
            let number = number.and_then(|number| usize::try_from(number).ok());
            match number.and_then(|number| places.get_mut(number)) {
                Some(place) if !*place => *place = true,
                _ => return Err(broken("a place of an attachment is not one of those declared")),
            }
            Ok(())
        }
        Value::Object(members) => members.values().try_for_each(|value| note_places(value, places)),
        _ => Ok(()),
    }
}

impl Reader for SocketIo {
    fn read(&mut self, message: &Message<'_>, items: &mut Vec<Item>) -> Result<(), MessageFault> {
        self.last = Last::Own;
        if message.kind == MessageKind::Binary {
            return self.read_attachment(message.payload.len());
        }
        match Engine::read(message.text()?, self.sender)? {
            Engine::Own => Ok(()),
            Engine::Open(data) => match message.json(data)? {
                Value::Object(_) => Ok(()),
                _ => Err(broken("it opens a session without an object")),
            },
            Engine::Message(text) => self.read_packet(text, message, items),
            Engine::Attachment(text) => {
                let bytes = STANDARD.decode(text).map_err(|_| broken("it is not base64"))?;
                self.read_attachment(bytes.len())?;
                if let Ok(text) = String::from_utf8(bytes) {
                    // Patterns apply to it as to a binary message.
                    items.push(Item { body: Value::String(text), ..Item::own() });
                }
                Ok(())
            }
        }
    }

    fn part(&self) -> Part {
        match self.last {
            Last::Attachment(part) => part,
            _ => Part::First,
        }
    }

    fn is_incomplete(&self) -> bool {
        self.due.left > 0
    }

    fn discard(&mut self) {
        // Attachments of a packet that was forwarded stay due, if this message is for Engine.IO.
        if matches!(self.last, Last::Event(..) | Last::Other(_)) {
            self.due.discarded = true;
        }
    }

    fn set_bounds(&mut self, protocol: &Protocol) {
        if let Protocol::SocketIo { max_attachments, max_size } = protocol {
            self.bounds = Bounds { max_attachments: *max_attachments, max_size: *max_size };
        }
    }

    fn answer(&self, refused: &Refused<'_>) -> Option<Answer> {
        let (reason, request_id) = (refused.reason.name(), refused.request_id);
        let text = |kind: u8, namespace: &str, id: Option<u64>, data: Value| {
            let id = id.map_or(String::new(), |id| id.to_string());
            let (namespace, comma) = if namespace == ROOT { ("", "") } else { (namespace, ",") };
            Some(Answer::text(format!("4{kind}{namespace}{comma}{id}{data}")))
        };
        match &self.last {
            Last::Own | Last::Attachment(_) => None,
            Last::Connect(namespace) => {
                let data = json!({ "message": reason, "data": { "request_id": request_id } });
                text(4, namespace, None, data)
            }
            Last::Event(namespace, id) => {
                let error = json!({ "error": reason, "request_id": request_id });
                text(3, namespace, Some(*id), json!([error]))
            }
            Last::Other(namespace) => {
                let error =
                    json!({ "status": "error", "message": reason, "request_id": request_id });
                text(2, namespace, None, json!([EXCEPTION, error]))
            }
        }
    }
}
