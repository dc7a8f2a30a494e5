//! One frame of STOMP. Refused is what implementations read in different ways: they trim or keep blanks, keep or drop
//! carriage returns, take the first or the last of two headers.

use std::borrow::Cow;
use std::collections::HashSet;

use super::super::broken;
use crate::message::rules::{MessageFault, fault};
use crate::message::scan::Bounds;
use crate::values::Reason;

/// Frames of clients (STOMP 1.2, "Client Frames").
pub(super) const OF_CLIENTS: [&str; 11] = [
    "CONNECT",
    "STOMP",
    "SEND",
    "SUBSCRIBE",
    "UNSUBSCRIBE",
    "BEGIN",
    "COMMIT",
    "ABORT",
    "ACK",
    "NACK",
    "DISCONNECT",
];
/// Frames of servers ("Server Frames").
pub(super) const OF_SERVERS: [&str; 4] = ["CONNECTED", "MESSAGE", "RECEIPT", "ERROR"];

/// Frames that may have a body ("Body").
const WITH_BODY: [&str; 3] = ["SEND", "MESSAGE", "ERROR"];
/// Frames whose headers have no escapes, for clients of STOMP 1.0 ("Value Encoding").
const WITHOUT_ESCAPES: [&str; 3] = ["CONNECT", "STOMP", "CONNECTED"];

/// Headers with a meaning of their own, which must be written in lower case.
const STANDARD: [&str; 11] = [
    "ack",
    "content-length",
    "content-type",
    "destination",
    "id",
    "message-id",
    "receipt",
    "receipt-id",
    "selector",
    "subscription",
    "transaction",
];

/// A frame.
#[derive(Debug)]
pub(super) struct Frame<'m> {
    pub(super) command: &'m str,
    /// In their order; no two have one name.
    pub(super) headers: Vec<Header<'m>>,
    pub(super) body: &'m [u8],
}

/// A header.
#[derive(Debug)]
pub(super) struct Header<'m> {
    pub(super) name: &'m str,
    /// As it was written.
    pub(super) raw: &'m str,
    /// Without escapes.
    pub(super) value: Cow<'m, str>,
}

impl<'m> Frame<'m> {
    /// Reads the frame of a message, which may have one of the `commands`. `None`: the message is a heart-beat.
    ///
    /// # Errors
    /// The message is anything else, or a frame that can be read in two ways.
    pub(super) fn read(
        payload: &'m [u8],
        commands: &[&str],
        bounds: &Bounds,
    ) -> Result<Option<Self>, MessageFault> {
        let mut rest = without_line_ends(payload);
        if rest.is_empty() && !payload.is_empty() {
            return Ok(None);
        }
        let command = line(&mut rest)?;
        if !commands.contains(&command) {
            return Err(broken("its command is unknown"));
        }
        let headers = headers(command, &mut rest, bounds)?;
        let (body, after) = body(&headers, rest)?;
        if !without_line_ends(after).is_empty() {
            return Err(broken("bytes follow its frame"));
        }
        if !body.is_empty() && !WITH_BODY.contains(&command) {
            return Err(broken("its command has no body"));
        }
        Ok(Some(Self { command, headers, body }))
    }

    /// The header `name`.
    pub(super) fn header(&self, name: &str) -> Option<&Header<'m>> {
        find(&self.headers, name)
    }
}

fn find<'h, 'm>(headers: &'h [Header<'m>], name: &str) -> Option<&'h Header<'m>> {
    headers.iter().find(|header| header.name == name)
}

fn without_line_ends(mut bytes: &[u8]) -> &[u8] {
    while let Some(rest) = bytes.strip_prefix(b"\n").or_else(|| bytes.strip_prefix(b"\r\n")) {
        bytes = rest;
    }
    bytes
}

/// Takes a line of the head. STOMP 1.2 allows a carriage return before the line feed; in 1.0 and 1.1 it would belong to
/// the value.
fn line<'m>(rest: &mut &'m [u8]) -> Result<&'m str, MessageFault> {
    let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
        return Err(broken("it ends within the head of its frame"));
    };
    let (line, after) = rest.split_at(end);
    *rest = &after[1..];
    let line = std::str::from_utf8(line).map_err(|_| broken("its head is not UTF-8"))?;
    if line.chars().any(|character| character.is_control() && character != '\t') {
        return Err(broken("its head has a carriage return or another control character"));
    }
    Ok(line)
}

/// Takes the headers with the empty line after them.
fn headers<'m>(
    command: &str,
    rest: &mut &'m [u8],
    bounds: &Bounds,
) -> Result<Vec<Header<'m>>, MessageFault> {
    let mut headers = Vec::new();
    let mut names = HashSet::new();
    loop {
        let line = line(rest)?;
        if line.is_empty() {
            return Ok(headers);
        }
        let Some((name, raw)) = line.split_once(':') else {
            return Err(broken("a header has no colon"));
        };
        // An escape in a name gives a colon, a backslash or a line end.
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
            return Err(broken("the name of a header has other characters than ASCII"));
        }
        let lower = name.to_ascii_lowercase();
        if name != lower && STANDARD.contains(&&*lower) {
            return Err(broken(format_args!("a header differs from \"{lower}\" in case alone")));
        }
        if !names.insert(lower) {
            return Err(broken("two headers have one name"));
        }
        if raw.starts_with(is_blank) || raw.ends_with(is_blank) {
            return Err(broken("a header begins or ends with a blank"));
        }
        let value = if WITHOUT_ESCAPES.contains(&command) { raw.into() } else { unescaped(raw)? };
        if headers.len() == bounds.max_members {
            return Err(fault(Reason::MessageStructure, "max_members", "it has too many headers"));
        }
        if value.len() > bounds.max_string {
            return Err(fault(Reason::MessageStructure, "max_string", "a header is too long"));
        }
        headers.push(Header { name, raw, value });
    }
}

/// Whether some implementation trims the character: JavaScript also takes the byte order mark for a blank.
fn is_blank(character: char) -> bool {
    character.is_whitespace() || character == '\u{feff}'
}

/// Replaces the escapes of STOMP 1.2, of which 1.1 has all but `\r`. Brokers replace them whatever the version.
fn unescaped(raw: &str) -> Result<Cow<'_, str>, MessageFault> {
    if !raw.contains('\\') {
        return Ok(Cow::Borrowed(raw));
    }
    let mut value = String::with_capacity(raw.len());
    let mut characters = raw.chars();
    while let Some(character) = characters.next() {
        value.push(match character {
            '\\' => match characters.next() {
                Some('c') => ':',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('\\') => '\\',
                _ => return Err(broken("a header has an unknown escape")),
            },
            other => other,
        });
    }
    Ok(Cow::Owned(value))
}

/// Splits off the body: so many bytes as `content-length` says, or all before the first NUL.
fn body<'m>(headers: &[Header<'_>], rest: &'m [u8]) -> Result<(&'m [u8], &'m [u8]), MessageFault> {
    let end = match find(headers, "content-length") {
        None => rest.iter().position(|byte| *byte == 0),
        Some(length) if length.raw.bytes().all(|byte| byte.is_ascii_digit()) => {
            length.raw.parse().ok().filter(|end| rest.get(*end) == Some(&0))
        }
        Some(_) => None,
    };
    match end {
        Some(end) => Ok((&rest[..end], &rest[end + 1..])),
        None => Err(broken("no NUL ends its body, or not where content-length says")),
    }
}
