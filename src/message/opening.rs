//! The message that opens a protocol and may hold the token: finds the token, and takes it out of the message.

use serde_json::{Map, Value};

use super::text::are_alike;
use crate::values::{OpeningPlace, json};

/// An opening message without its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// The token, without a leading `Bearer `.
    pub token: String,
    /// The payload of the message without the token, for the application.
    pub rest: Vec<u8>,
}

/// Whether a payload holds the whole opening. MQTT packets may be split over messages.
#[must_use]
pub fn is_whole(place: &OpeningPlace, payload: &[u8]) -> bool {
    match place {
        OpeningPlace::Mqtt if payload.first() == Some(&CONNECT) => mqtt_length(payload)
            .is_none_or(|length| length.is_some_and(|length| payload.len() >= length)),
        _ => true,
    }
}

/// Takes the token at `place` out of the payload of an opening message.
///
/// # Errors
/// What the message lacks, as a text that names the place.
pub fn take_token(place: &OpeningPlace, payload: &[u8]) -> Result<Opening, String> {
    match place {
        OpeningPlace::ConnectionInit(name) => connection_init(payload, name),
        OpeningPlace::SocketIo(name) => socket_io(payload, name),
        OpeningPlace::Stomp(name) => stomp(payload, name),
        OpeningPlace::Mqtt => mqtt(payload),
    }
}

/// The message of graphql-ws that begins a session; both subprotocols have it.
fn connection_init(payload: &[u8], name: &str) -> Result<Opening, String> {
    let fault = || "the first message is no connection_init with a payload".to_owned();
    let mut message = json::object(payload).map_err(|_| fault())?;
    distinct(&message, "type")?;
    distinct(&message, "payload")?;
    if message.get("type") != Some(&Value::from("connection_init")) {
        return Err(fault());
    }
    let Some(Value::Object(members)) = message.get_mut("payload") else {
        return Err(fault());
    };
    let token = take_member(members, name, "the payload of connection_init")?;
    Ok(Opening { token, rest: Value::Object(message).to_string().into_bytes() })
}

/// The packet CONNECT of Socket.IO 5 in a packet of Engine.IO 4: `40{...}` or `40/namespace,{...}`.
fn socket_io(payload: &[u8], name: &str) -> Result<Opening, String> {
    let fault = || "the first message is no CONNECT packet of Socket.IO with auth".to_owned();
    let text = std::str::from_utf8(payload).map_err(|_| fault())?;
    let begin = text.find('{').ok_or_else(fault)?;
    let (head, auth) = text.split_at(begin);
    let namespace = head.strip_prefix("40").ok_or_else(fault)?;
    let named = namespace.strip_prefix('/').and_then(|rest| rest.strip_suffix(','));
    if !namespace.is_empty() && named.is_none_or(|name| name.contains(',')) {
        return Err(fault());
    }
    let mut auth = json::object(auth.as_bytes()).map_err(|_| fault())?;
    let token = take_member(&mut auth, name, "the auth of CONNECT")?;
    let rest = if auth.is_empty() { String::new() } else { Value::Object(auth).to_string() };
    Ok(Opening { token, rest: format!("{head}{rest}").into_bytes() })
}

/// The frame CONNECT or STOMP of STOMP 1.2, whose headers have no escapes.
fn stomp(payload: &[u8], name: &str) -> Result<Opening, String> {
    let fault = || "the first message is no CONNECT frame of STOMP".to_owned();
    let text = std::str::from_utf8(payload).map_err(|_| fault())?;
    let (frame, after) = text.split_once('\0').ok_or_else(fault)?;
    if !after.bytes().all(|byte| matches!(byte, b'\r' | b'\n')) {
        return Err(fault());
    }
    let mut lines = frame.split_inclusive('\n');
    let command = lines.next().map(line);
    if !matches!(command, Some("CONNECT" | "STOMP")) {
        return Err(fault());
    }
    let mut rest = frame[..frame.find('\n').map_or(frame.len(), |at| at + 1)].to_owned();
    let mut found: Option<&str> = None;
    let mut ended = false;
    for whole in lines {
        // A CONNECT frame has no body.
        if ended {
            return Err(fault());
        }
        let line = line(whole);
        ended = line.is_empty();
        match line.split_once(':') {
            Some((header, value)) if header == name && found.is_none() => found = Some(value),
            Some((header, _)) if are_alike(header, name) => {
                return Err(format!("CONNECT has more than one header \"{name}\""));
            }
            // Some brokers remove blanks and other invisible characters around a name.
            Some((header, _))
                if header.is_empty() || !header.bytes().all(|byte| byte.is_ascii_graphic()) =>
            {
                return Err(
                    "a header of CONNECT has a name that brokers read differently".to_owned()
                );
            }
            _ if ended || line.contains(':') => rest.push_str(whole),
            _ => return Err(fault()),
        }
    }
    let token =
        found.filter(|_| ended).ok_or_else(|| format!("CONNECT has no header \"{name}\""))?;
    Ok(Opening { token: without_scheme(token), rest: format!("{rest}\0{after}").into_bytes() })
}

/// A line without its end: a line feed, or a carriage return before it.
fn line(whole: &str) -> &str {
    let line = whole.strip_suffix('\n').unwrap_or(whole);
    line.strip_suffix('\r').unwrap_or(line)
}

/// The packet CONNECT of MQTT 3.1.1 or 5.0 (section 3.1 of both), whose last field is the password.
fn mqtt(payload: &[u8]) -> Result<Opening, String> {
    let fault =
        || "the first message is no CONNECT packet of MQTT 3.1.1 or 5.0 with a password".to_owned();
    let connect = Connect::parse(payload).ok_or_else(fault)?;
    let password = connect.password.ok_or_else(fault)?;
    let token = std::str::from_utf8(&payload[password.clone()]).map_err(|_| fault())?;
    // The password has a length of two bytes before it.
    let mut body = payload[connect.body..password.start - 2].to_vec();
    body[FLAGS] &= !PASSWORD;
    let mut rest = vec![payload[0]];
    push_length(&mut rest, body.len());
    rest.extend_from_slice(&body);
    rest.extend_from_slice(&payload[password.end..]);
    Ok(Opening { token: without_scheme(token), rest })
}

/// The place of the flags in CONNECT, after the name and the level of the protocol.
const FLAGS: usize = 7;
/// The first byte of the packet (section 3.1.1).
const CONNECT: u8 = 0x10;
const USER: u8 = 0x80;
const PASSWORD: u8 = 0x40;
const WILL: u8 = 0x04;

/// The places of a CONNECT packet that begins a payload.
struct Connect {
    /// The first byte after the length.
    body: usize,
    password: Option<std::ops::Range<usize>>,
}

impl Connect {
    fn parse(payload: &[u8]) -> Option<Self> {
        if *payload.first()? != CONNECT {
            return None;
        }
        let mut reader = Bytes { bytes: payload, at: 1 };
        let length = reader.length()?;
        let body = reader.at;
        reader.bytes = payload.get(..body.checked_add(length)?)?;
        if reader.take(6)? != b"\0\x04MQTT" {
            return None;
        }
        let level = reader.take(1)?[0];
        let flags = reader.take(1)?[0];
        reader.take(2)?;
        if !matches!(level, 4 | 5) {
            return None;
        }
        let properties = |reader: &mut Bytes<'_>| {
            let length = if level == 5 { reader.length()? } else { 0 };
            reader.take(length).map(drop)
        };
        properties(&mut reader)?;
        reader.field()?;
        if flags & WILL != 0 {
            properties(&mut reader)?;
            reader.field()?;
            reader.field()?;
        }
        if flags & USER != 0 {
            reader.field()?;
        }
        let password = if flags & PASSWORD != 0 { Some(reader.field()?) } else { None };
        (reader.at == reader.bytes.len()).then_some(Self { body, password })
    }
}

/// Reads the fields of a packet.
struct Bytes<'p> {
    bytes: &'p [u8],
    at: usize,
}

impl<'p> Bytes<'p> {
    fn take(&mut self, count: usize) -> Option<&'p [u8]> {
        let end = self.at.checked_add(count)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    /// The range of a field with a length of two bytes before it.
    fn field(&mut self) -> Option<std::ops::Range<usize>> {
        let length = u16::from_be_bytes(self.take(2)?.try_into().ok()?);
        let begin = self.at;
        self.take(length.into())?;
        Some(begin..self.at)
    }

    /// A variable byte integer in its shortest form (MQTT 5.0 section 1.5.5).
    fn length(&mut self) -> Option<usize> {
        let mut length = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.take(1)?[0];
            length |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return (shift == 0 || byte != 0).then_some(length);
            }
        }
        None
    }
}

fn push_length(to: &mut Vec<u8>, mut length: usize) {
    loop {
        #[expect(clippy::cast_possible_truncation, reason = "seven bits")]
        let byte = (length & 0x7f) as u8;
        length >>= 7;
        if length == 0 {
            return to.push(byte);
        }
        to.push(byte | 0x80);
    }
}

/// The length of the packet that begins a payload. The outer `None`: it has no valid length; the inner one: more bytes
/// are needed.
#[expect(clippy::option_option, reason = "a fault, not known yet, a length")]
fn mqtt_length(payload: &[u8]) -> Option<Option<usize>> {
    let mut reader = Bytes { bytes: payload, at: 1 };
    match reader.length() {
        Some(length) => Some(Some(reader.at + length)),
        None if payload.len() < 5 && payload.iter().skip(1).all(|byte| *byte >= 0x80) => Some(None),
        None => None,
    }
}

/// Removes the member `name`, a text.
fn take_member(object: &mut Map<String, Value>, name: &str, place: &str) -> Result<String, String> {
    distinct(object, name)?;
    match object.remove(name) {
        Some(Value::String(token)) => Ok(without_scheme(&token)),
        _ => Err(format!("{place} has no text \"{name}\"")),
    }
}

/// Refuses an object with a name that differs from `name` in case alone: some parsers ignore case.
fn distinct(object: &Map<String, Value>, name: &str) -> Result<(), String> {
    if object.keys().any(|other| other != name && are_alike(other, name)) {
        return Err(format!("a name differs from \"{name}\" in case alone"));
    }
    Ok(())
}

/// A token without the scheme `Bearer ` before it.
fn without_scheme(token: &str) -> String {
    let token = token.trim();
    let bearer = token.split_at_checked(7).filter(|(head, _)| head.eq_ignore_ascii_case("bearer "));
    bearer.map_or(token, |(_, token)| token.trim()).to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{OpeningPlace, is_whole, take_token};

    fn taken(place: &str, payload: &[u8]) -> Option<(String, Vec<u8>)> {
        let place = OpeningPlace::parse(place).unwrap();
        take_token(&place, payload).ok().map(|opening| (opening.token, opening.rest))
    }

    #[test]
    fn the_token_is_taken_out_of_the_opening() {
        for (place, payload, token, rest) in [
            (
                "connection_init:token",
                r#"{"type":"connection_init","payload":{"token":"Bearer a.b","x":1}}"#,
                "a.b",
                r#"{"payload":{"x":1},"type":"connection_init"}"#,
            ),
            ("socketio:token", r#"40{"token":"a.b"}"#, "a.b", "40"),
            ("socketio:token", r#"40/admin,{"token":"a.b","x":1}"#, "a.b", r#"40/admin,{"x":1}"#),
            (
                "stomp:passcode",
                "CONNECT\naccept-version:1.2\npasscode:a.b\nhost:x\n\n\0\n",
                "a.b",
                "CONNECT\naccept-version:1.2\nhost:x\n\n\0\n",
            ),
            (
                "stomp:Authorization",
                "STOMP\r\nAuthorization:Bearer a.b\r\n\r\n\0",
                "a.b",
                "STOMP\r\n\r\n\0",
            ),
        ] {
            let (found, left) = taken(place, payload.as_bytes()).expect(payload);
            assert_eq!((found.as_str(), left.as_slice()), (token, rest.as_bytes()), "{payload}");
        }
    }

    #[test]
    fn other_messages_have_no_token() {
        for (place, payload) in [
            ("connection_init:token", r#"{"type":"connection_init"}"#),
            ("connection_init:token", r#"{"type":"subscribe","payload":{"token":"a"}}"#),
            ("connection_init:token", r#"{"type":"connection_init","payload":{"token":1}}"#),
            ("connection_init:token", r#"{"type":"connection_init","payload":{"Token":"b"}}"#),
            (
                "connection_init:token",
                r#"{"type":"connection_init","payload":{"token":"a","Token":"b"}}"#,
            ),
            (
                "connection_init:token",
                r#"{"type":"connection_init","payload":{"token":"a","token":"b"}}"#,
            ),
            ("socketio:token", "40"),
            ("socketio:token", r#"42["token",{"token":"a"}]"#),
            ("socketio:token", r#"40/a,b,{"token":"a"}"#),
            ("socketio:token", r#"40a{"token":"a"}"#),
            ("socketio:token", r#"40{"token":"a"}x"#),
            ("stomp:passcode", "CONNECT\npasscode:a\n\n"),
            ("stomp:passcode", "CONNECT\n\n\0"),
            ("stomp:passcode", "CONNECT\npasscode:a\npasscode:b\n\n\0"),
            ("stomp:passcode", "CONNECT\npasscode:a\nPassCode:b\n\n\0"),
            ("stomp:passcode", "CONNECT\npasscode:a\n\u{feff}passcode:b\n\n\0"),
            ("stomp:passcode", "CONNECT\npasscode:a\n\u{1}passcode:b\n\n\0"),
            ("stomp:passcode", "CONNECT\npasscode:a\npasscode :b\n\n\0"),
            ("stomp:passcode", "CONNECT\npasscode:a\n:b\n\n\0"),
            ("stomp:passcode", "CONNECT\npasscode:a\n\nbody\0"),
            ("stomp:passcode", "CONNECT\npasscode:a\nnothing\n\n\0"),
            ("stomp:passcode", "CONNECT\npasscode:a\n\n\0SEND\n\n\0"),
            ("stomp:passcode", "SEND\npasscode:a\n\n\0"),
        ] {
            assert_eq!(taken(place, payload.as_bytes()), None, "{payload}");
        }
    }

    /// A CONNECT packet: level, flags, then the fields.
    fn connect(level: u8, flags: u8, fields: &[&[u8]]) -> Vec<u8> {
        let mut body = b"\0\x04MQTT".to_vec();
        body.extend([level, flags, 0, 60]);
        if level == 5 {
            body.push(0);
        }
        for field in fields {
            body.extend(u16::try_from(field.len()).unwrap().to_be_bytes());
            body.extend_from_slice(field);
        }
        let mut packet = vec![0x10];
        super::push_length(&mut packet, body.len());
        packet.extend(body);
        packet
    }

    #[test]
    fn a_password_of_mqtt_is_taken_out() {
        let token = "x".repeat(200);
        for level in [4, 5] {
            let packet = connect(level, 0xc2, &[b"id", b"ada", token.as_bytes()]);
            let without = connect(level, 0x82, &[b"id", b"ada"]);
            assert_eq!(taken("mqtt", &packet), Some((token.clone(), without)));
            let followed = [packet.as_slice(), b"\xc0\0"].concat();
            let (_, rest) = taken("mqtt", &followed).unwrap();
            assert!(rest.ends_with(b"\xc0\0"), "the next packet stays");
            assert!(is_whole(&OpeningPlace::Mqtt, &packet));
            for end in 0..packet.len() {
                let place = OpeningPlace::Mqtt;
                assert_eq!(is_whole(&place, &packet[..end]), end == 0, "{end}");
            }
        }
        for other in [
            connect(3, 0xc2, &[b"id", b"ada", b"a"]),
            connect(4, 0x82, &[b"id", b"ada"]),
            connect(4, 0xc2, &[b"id", b"ada", b"a", b"more"]),
            connect(4, 0xc2, &[b"id", b"a"]),
            b"\x10\xff\xff\xff\xff".to_vec(),
            b"\x30\0".to_vec(),
            Vec::new(),
        ] {
            assert_eq!(taken("mqtt", &other), None, "{other:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            for place in ["connection_init:t", "socketio:t", "stomp:t", "mqtt"] {
                let place = OpeningPlace::parse(place).unwrap();
                let _ = (is_whole(&place, &bytes), take_token(&place, &bytes));
                let connect = [b"\x10", bytes.as_slice()].concat();
                let _ = (is_whole(&place, &connect), take_token(&place, &connect));
            }
        }
    }
}
