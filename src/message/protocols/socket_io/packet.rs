//! The texts of Engine.IO 4 and Socket.IO 5: packets, as all decoders read them. A text that one decoder refuses or
//! reads in another way is a fault.

use std::fmt;

use super::super::broken;
use crate::message::rules::MessageFault;
use crate::values::Endpoint;

/// The namespace of packets that name none.
pub(super) const ROOT: &str = "/";
/// The longest name of a namespace, in bytes.
const LONGEST_NAMESPACE: usize = 255;
/// The largest acknowledgement id, and number of attachments: of an integer that every decoder keeps exactly.
const LARGEST: u64 = (1 << 53) - 1;

/// A text message of Engine.IO.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Engine<'t> {
    /// A packet that only Engine.IO reads.
    Own,
    /// A packet that Engine.IO opens a session with: its JSON.
    Open(&'t str),
    /// A packet of Socket.IO.
    Message(&'t str),
    /// An attachment, in base64.
    Attachment(&'t str),
}

/// The type of a packet of Socket.IO.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Connect,
    Disconnect,
    Event,
    Ack,
    ConnectError,
}

/// A packet of Socket.IO.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Packet<'t> {
    pub(super) kind: Kind,
    /// The number of attachments that follow; `None`: the type has none.
    pub(super) attachments: Option<u64>,
    pub(super) namespace: &'t str,
    /// The acknowledgement id.
    pub(super) id: Option<u64>,
    /// The JSON of its data; may be empty.
    pub(super) data: &'t str,
}

impl<'t> Engine<'t> {
    /// Reads a text message of `sender`.
    pub(super) fn read(text: &'t str, sender: Endpoint) -> Result<Self, MessageFault> {
        let from_client = sender == Endpoint::Client;
        match (text.as_bytes().first(), text) {
            (Some(b'4'), _) => Ok(Self::Message(&text[1..])),
            (Some(b'b'), _) => Ok(Self::Attachment(&text[1..])),
            (Some(b'0'), _) if !from_client => Ok(Self::Open(&text[1..])),
            // Only the application begins a heartbeat, and only the client tries another transport.
            (_, "1" | "6") => Ok(Self::Own),
            (_, "3" | "2probe" | "5") if from_client => Ok(Self::Own),
            (_, "2" | "3probe") if !from_client => Ok(Self::Own),
            _ => Err(broken("no packet of Engine.IO 4 that its sender may send")),
        }
    }
}

impl<'t> Packet<'t> {
    /// Reads the text of a packet, without its JSON.
    pub(super) fn read(text: &'t str) -> Result<Self, MessageFault> {
        let mut rest = text;
        let (kind, binary) = match take_first(&mut rest) {
            Some(b'0') => (Kind::Connect, false),
            Some(b'1') => (Kind::Disconnect, false),
            Some(b'2') => (Kind::Event, false),
            Some(b'3') => (Kind::Ack, false),
            Some(b'4') => (Kind::ConnectError, false),
            Some(b'5') => (Kind::Event, true),
            Some(b'6') => (Kind::Ack, true),
            _ => return Err(broken("no packet of Socket.IO 5")),
        };
        let mut attachments = None;
        if binary {
            attachments = take_number(&mut rest, "the number of its attachments")?;
            if attachments.is_none_or(|number| number == 0) || take_first(&mut rest) != Some(b'-') {
                return Err(broken("the number of its attachments is missing"));
            }
        }
        let namespace = take_namespace(&mut rest)?;
        let id = take_number(&mut rest, "its acknowledgement id")?;
        // Some decoders take a blank for the digit of an id.
        if !(rest.is_empty() || rest.starts_with(['[', '{', '"'])) {
            return Err(broken("its data is neither an array, an object nor a string"));
        }
        Ok(Self { kind, attachments, namespace, id, data: rest })
    }
}

/// Takes the first byte, if it is ASCII.
fn take_first(text: &mut &str) -> Option<u8> {
    let first = *text.as_bytes().first().filter(|first| first.is_ascii())?;
    *text = &text[1..];
    Some(first)
}

/// Takes the number that the text begins with; `None`: it begins with no digit.
fn take_number(text: &mut &str, name: impl fmt::Display) -> Result<Option<u64>, MessageFault> {
    let end = text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    *text = rest;
    if digits.is_empty() {
        return Ok(None);
    }
    if digits.len() > 1 && digits.starts_with('0') {
        return Err(broken(format_args!("{name} has a zero in front")));
    }
    match digits.parse() {
        Ok(number) if number <= LARGEST => Ok(Some(number)),
        _ => Err(broken(format_args!("{name} is above 2^53"))),
    }
}

/// Takes the namespace, up to its comma or the end of the text.
fn take_namespace<'t>(text: &mut &'t str) -> Result<&'t str, MessageFault> {
    if !text.starts_with('/') {
        return Ok(ROOT);
    }
    let (namespace, rest) = text.split_once(',').unwrap_or((text, ""));
    *text = rest;
    // Some decoders cut a query off, or resolve the name as the path of a URL.
    let odd = |character: char| {
        character.is_control()
            || character.is_whitespace()
            || "?#%\\\"[]{}<>`^|".contains(character)
    };
    if namespace.contains(odd) {
        return Err(broken("a character in its namespace that decoders read differently"));
    }
    let mut segments = namespace[1..].split('/');
    let last = segments.next_back();
    if segments.any(|segment| matches!(segment, "" | "." | ".."))
        || matches!(last, Some("." | ".."))
    {
        return Err(broken("an empty or relative part of its namespace"));
    }
    if namespace.len() > LONGEST_NAMESPACE {
        return Err(broken("its namespace is longer than 255 bytes"));
    }
    Ok(namespace)
}
