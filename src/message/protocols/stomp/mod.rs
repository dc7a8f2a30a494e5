//! STOMP 1.0, 1.1 and 1.2 (<https://stomp.github.io/stomp-specification-1.2.html>), one frame a message, in text or
//! binary messages. The type of a frame is its command and its destination.

mod frame;

use std::mem;

use serde_json::{Map, Value, json};

use self::frame::{Frame, OF_CLIENTS, OF_SERVERS};
use super::{Item, Message, Protocol, Reader, Refused, broken};
use crate::message::rules::{MessageFault, MessageKind, resembles_json};
use crate::values::Endpoint;
use crate::wire::Answer;

/// Characters by which a broker may expand a destination to several ones, or to another one: wildcards and patterns,
/// options, percent-encoding.
const OF_PATTERNS: [char; 6] = ['*', '>', '#', '?', '{', '%'];
/// A longer name of a transaction is not remembered.
const LONGEST_TRANSACTION: usize = 256;

/// Reads the frames of STOMP.
#[derive(Debug)]
pub(super) struct Stomp {
    sender: Endpoint,
    /// The transaction of the frame that was read last: it lacks a frame if that one is discarded.
    last: Transactions,
    /// The transactions of which a frame was discarded. They must not be committed.
    incomplete: Transactions,
}

/// Transactions of a client, as they are written.
#[derive(Debug, PartialEq, Eq)]
enum Transactions {
    None,
    One(Box<str>),
    /// Any may be among them: their names are not kept, or could not be read.
    Any,
}

impl Stomp {
    pub(super) fn new(sender: Endpoint) -> Self {
        Self { sender, last: Transactions::None, incomplete: Transactions::None }
    }

    /// Follows the transactions of a client.
    fn follow(&mut self, frame: &Frame<'_>) -> Result<(), MessageFault> {
        self.last = Transactions::None;
        let Some(header) = frame.header("transaction") else {
            return Ok(());
        };
        let transaction = Transactions::of(header.raw);
        match frame.command {
            "COMMIT" if self.incomplete.may_have(&transaction) => {
                let fault = broken("a frame of its transaction was discarded");
                return Err(MessageFault { closes: true, ..fault });
            }
            // An ABORT that is discarded ends nothing.
            "ABORT" if self.incomplete == transaction && transaction != Transactions::Any => {
                self.incomplete = Transactions::None;
                self.last = transaction;
            }
            "BEGIN" | "COMMIT" | "ABORT" => {}
            _ => self.last = transaction,
        }
        Ok(())
    }
}

impl Transactions {
    fn of(name: &str) -> Self {
        // Whether there are escapes depends on the version, and so does the name.
        let is_plain = name.len() <= LONGEST_TRANSACTION && !name.contains('\\');
        if is_plain { Self::One(name.into()) } else { Self::Any }
    }

    fn may_have(&self, other: &Self) -> bool {
        *self != Self::None && (self == other || *self == Self::Any || *other == Self::Any)
    }

    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::None, one) | (one, Self::None) => one,
            (one, other) if one == other => one,
            _ => Self::Any,
        }
    }
}

impl Reader for Stomp {
    fn read(&mut self, message: &Message<'_>, items: &mut Vec<Item>) -> Result<(), MessageFault> {
        let commands = match self.sender {
            Endpoint::Client => &OF_CLIENTS[..],
            Endpoint::Upstream => &OF_SERVERS[..],
        };
        // A frame that cannot be read may be one of a transaction.
        self.last = Transactions::Any;
        let Some(frame) = Frame::read(message.payload, commands, message.bounds)? else {
            self.last = Transactions::None;
            return Ok(());
        };
        let followed = self.follow(&frame);
        if message.kind == MessageKind::Text && frame.body.contains(&0) {
            return Err(broken("the body of a text message has a NUL"));
        }
        items.push(item(&frame, message)?);
        followed
    }

    fn discard(&mut self) {
        let last = mem::replace(&mut self.last, Transactions::None);
        let incomplete = mem::replace(&mut self.incomplete, Transactions::None);
        self.incomplete = incomplete.and(last);
    }

    fn set_bounds(&mut self, _: &Protocol) {}

    fn answer(&self, refused: &Refused<'_>) -> Option<Answer> {
        let reason = refused.reason.name();
        let receipt = refused.items.iter().find_map(|item| item.reply_to.as_ref()?.as_str());
        let receipt = receipt.map(|id| format!("receipt-id:{id}\n")).unwrap_or_default();
        let body = json!({ "reason": reason, "request_id": refused.request_id }).to_string();
        let length = body.len();
        Some(Answer::text(format!(
            "ERROR\nmessage:{reason}\n{receipt}content-type:application/json\n\
             content-length:{length}\n\n{body}\0"
        )))
    }
}

fn item(frame: &Frame<'_>, message: &Message<'_>) -> Result<Item, MessageFault> {
    let headers = frame.headers.iter().map(|header| (header.name.to_owned(), json!(header.value)));
    let mut members = Map::new();
    members.insert("headers".to_owned(), Value::Object(headers.collect()));
    let receipt = frame.header("receipt").map(|receipt| json!(receipt.raw));
    let mut name = None;
    if matches!(frame.command, "SEND" | "SUBSCRIBE" | "MESSAGE") {
        let destination = destination(frame)?;
        let command = frame.command;
        let pattern = if is_pattern(destination) && command != "MESSAGE" { "-PATTERN" } else { "" };
        name = Some(format!("{command}{pattern} {destination}"));
        let parts = destination.strip_prefix('/').unwrap_or(destination).split('/');
        members.insert("parts".to_owned(), parts.collect());
        members.insert("destination".to_owned(), json!(destination));
        if let Some(body) = json_of(frame, message)? {
            members.insert("body".to_owned(), body);
        }
    }
    Ok(Item { name, body: Value::Object(members), reply_to: receipt })
}

/// The destination of a frame that must have one. It may hold the escape of a colon and no other: whether there are
/// escapes depends on the version.
fn destination<'f>(frame: &'f Frame<'_>) -> Result<&'f str, MessageFault> {
    let destination = match frame.header("destination") {
        Some(header) if !header.value.is_empty() => header,
        _ => return Err(broken("it has no destination")),
    };
    if destination.value.contains(['\\', '\r', '\n']) {
        return Err(broken("its destination has a backslash or a line end"));
    }
    if destination.value.contains(',') && frame.command != "MESSAGE" {
        return Err(broken("its destination has a comma, which may separate several"));
    }
    Ok(&destination.value)
}

/// Whether a broker may read the destination as another one than it says, or as several: `::` names a queue beside its
/// address (Artemis).
fn is_pattern(destination: &str) -> bool {
    destination.contains(OF_PATTERNS) || destination.contains("::")
}

/// The JSON of the body. `None`: it is another text, or not text at all. A body that resembles an object or array must be
/// JSON, whatever its type says: applications parse it without a look at the type.
fn json_of(frame: &Frame<'_>, message: &Message<'_>) -> Result<Option<Value>, MessageFault> {
    let says_json = frame.header("content-type").is_some_and(|header| is_json_type(&header.value));
    let must_be = says_json || resembles_json(frame.body);
    match std::str::from_utf8(frame.body) {
        Ok("") => Ok(None),
        Ok(text) if must_be => message.json(text).map(Some),
        Ok(text) => Ok(message.json(text).ok()),
        Err(_) if must_be => Err(broken("its body is not UTF-8")),
        Err(_) => Ok(None),
    }
}

/// `application/json`, or a type that ends with `+json` (RFC 6839 section 3.1).
fn is_json_type(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || essence.ends_with("+json")
}
