//! Socket.IO: packets, attachments and answers.

use serde_json::{Value, json};

use super::super::socket_io::Follower;
use super::super::{Item, Message, Part, Protocol, Reader, Refused};
use super::read;
use crate::message::rules::{MessageFault, MessageKind};
use crate::message::tests::BOUNDS;
use crate::values::{Endpoint, Reason};
use crate::wire::MessageFollower;

const PROTOCOL: Protocol = Protocol::SocketIo { max_attachments: 3, max_size: 10 };

fn reader(sender: Endpoint) -> Box<dyn Reader> {
    PROTOCOL.reader(sender)
}

/// Reads a binary message.
fn attach(reader: &mut dyn Reader, payload: &[u8]) -> Result<Part, MessageFault> {
    let kind = MessageKind::Binary;
    let message = Message { kind, payload, bounds: &BOUNDS };
    reader.read(&message, &mut Vec::new())?;
    Ok(reader.part())
}

fn is_read(sender: Endpoint, text: &str) -> Result<Vec<Item>, MessageFault> {
    read(&mut *reader(sender), text)
}

#[test]
fn events_have_their_name_as_type() {
    for (text, name, body) in [
        (r#"42["say","hello"]"#, "say", json!(["hello"])),
        (r#"42["say"]"#, "say", json!([])),
        (r#"4212["say",{"room":"red"},1]"#, "say", json!([{ "room": "red" }, 1])),
        (r#"42/admin,["delete",7]"#, "/admin,delete", json!([7])),
        (r#"42/admin,0["delete",7]"#, "/admin,delete", json!([7])),
        (r#"42/a/b-c_1/,["x"]"#, "/a/b-c_1/,x", json!([])),
        (r#"42/,["x"]"#, "x", json!([])),
        (r#"42["/a/b"]"#, "/a/b", json!([])),
        (r#"42["\u0073ay"]"#, "say", json!([])),
        (r#"42["x",{"_placeholder":true,"num":0}]"#, "x", json!([{"_placeholder":true,"num":0}])),
        (
            r#"451-["x",{"a":[{"_placeholder":true,"num":0}]}]"#,
            "x",
            json!([{"a":[{"_placeholder":true,"num":0}]}]),
        ),
        (
            r#"452-/n,9["x",{"num":1,"_placeholder":true},{"_placeholder":true,"num":0}]"#,
            "/n,x",
            json!([{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]),
        ),
        ("40/admin,", "/admin,connect", Value::Null),
        ("40/admin", "/admin,connect", Value::Null),
        (r#"40/admin,{"token":"x"}"#, "/admin,connect", json!({ "token": "x" })),
    ] {
        let items = vec![Item::named(name.to_owned(), body)];
        assert_eq!(is_read(Endpoint::Client, text), Ok(items), "{text}");
    }
}

#[test]
fn packets_of_the_protocol_itself_have_no_type() {
    use Endpoint::{Client, Upstream};
    for (sender, texts) in [
        (Client, &["1", "2probe", "3", "5", "6", "40", r#"40{"token":"x"}"#, "41", "41/a,"][..]),
        (Client, &["430[]", r#"43/a,7["ok"]"#, r#"461-7[{"_placeholder":true,"num":0}]"#]),
        (Upstream, &[r#"0{"sid":"x"}"#, "1", "2", "3probe", "6", r#"40{"sid":"x"}"#]),
        (Upstream, &[r#"40/a,{"sid":"x"}"#, r#"44/a,{"message":"no"}"#, r#"44"no""#, "41/a"]),
    ] {
        for text in texts {
            assert_eq!(is_read(sender, text), Ok(Vec::new()), "{text}");
        }
    }
}

/// Each is refused by the decoder of socket.io-parser or engine.io-parser, or read in another way by some decoder.
const REFUSED: &[&str] = &[
    // Engine.IO: unknown types, those of the other side, data where there is none.
    "",
    "7",
    "x",
    " 3",
    "0{}",
    "2",
    "2x",
    "3probe",
    "3x",
    "1x",
    "5x",
    "6x",
    "\u{feff}3",
    "bAQ==",
    // Types of Socket.IO. A blank is the digit 0 to JavaScript.
    "4",
    "4 ",
    "47",
    "4x",
    "42",
    "4\u{0662}[\"x\"]",
    "44/a,{\"message\":\"x\"}",
    // Numbers of attachments.
    "45[\"x\"]",
    "45-[\"x\"]",
    "450-[\"x\"]",
    "4501-[\"x\",{\"_placeholder\":true,\"num\":0}]",
    "451[\"x\",{\"_placeholder\":true,\"num\":0}]",
    "451e0-[\"x\"]",
    "45 1-[\"x\"]",
    "454-[\"x\"]",
    "4599999999999999999999-[\"x\"]",
    "451-/a",
    "461-[{\"_placeholder\":true,\"num\":0}]",
    // Places of attachments.
    "451-[\"x\"]",
    "451-[\"x\",{\"_placeholder\":true,\"num\":\"splice\"}]",
    "451-[\"x\",{\"_placeholder\":true,\"num\":1}]",
    "451-[\"x\",{\"_placeholder\":true,\"num\":-1}]",
    "451-[\"x\",{\"_placeholder\":true,\"num\":0.5}]",
    "451-[\"x\",{\"_placeholder\":true,\"num\":0.0}]",
    "451-[\"x\",{\"_placeholder\":true}]",
    "451-[\"x\",{\"_placeholder\":1,\"num\":0}]",
    "451-[\"x\",{\"_placeholder\":true,\"num\":0,\"more\":1}]",
    "452-[\"x\",{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":0}]",
    "451-[\"x\",{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":0}]",
    "452-[\"x\",{\"_placeholder\":true,\"num\":0}]",
    "451-[{\"_placeholder\":true,\"num\":0}]",
    // Namespaces.
    "42/a?b=1,[\"x\"]",
    "42/a#b,[\"x\"]",
    "42/a[\"x\",1]",
    "42/a b,[\"x\"]",
    "42//a,[\"x\"]",
    "42/a/../b,[\"x\"]",
    "42/a/..,[\"x\"]",
    "42/.,[\"x\"]",
    "42/a%2fb,[\"x\"]",
    "42/a\\b,[\"x\"]",
    "42a,[\"x\"]",
    "42/a",
    // Acknowledgement ids.
    "4201[\"x\"]",
    "42 [\"x\"]",
    "421 [\"x\"]",
    "42-1[\"x\"]",
    "421.5[\"x\"]",
    "429007199254740993[\"x\"]",
    "400",
    "411",
    "43[]",
    "43",
    "40/a,1{}",
    // Data.
    "42[]",
    "42{}",
    "42null",
    "42[1]",
    "42[null]",
    "42[{\"toString\":\"x\"}]",
    "42[[\"x\"]]",
    "42[\"x\"",
    "42[\"x\"]]",
    "42[\"x\",{\"a\":1,\"a\":2}]",
    "42[\"x\",1e999]",
    "42[\"connect\"]",
    "42[\"connect_error\"]",
    "42[\"disconnect\"]",
    "42[\"disconnecting\"]",
    "42[\"newListener\"]",
    "42[\"removeListener\"]",
    "42/a,[\"conn\\u0065ct\"]",
    "42[\"/admin,delete\"]",
    "40null",
    "40[]",
    "40\"x\"",
    "41{}",
    "43{}",
    "430{}",
];

#[test]
fn what_decoders_refuse_or_read_differently_is_refused() {
    for text in REFUSED {
        let fault = is_read(Endpoint::Client, text).expect_err(text);
        assert_eq!(fault.reason, Reason::MessageStructure, "{text}");
    }
    for text in ["0", "0x", "0[]", "3", "2probe", "5", "44/a,1", "44"] {
        assert!(is_read(Endpoint::Upstream, text).is_err(), "{text}");
    }
    let long = format!("42/{},[\"x\"]", "a".repeat(255));
    assert!(is_read(Endpoint::Client, &long).is_err());
}

const TWO: &str = r#"452-["x",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#;

#[test]
fn attachments_come_when_they_are_due() {
    let mut reader = reader(Endpoint::Client);
    assert!(read(&mut *reader, TWO).is_ok() && reader.is_incomplete());
    assert_eq!(attach(&mut *reader, b"12345"), Ok(Part::Forwarded));
    // Engine.IO is another layer.
    assert!(read(&mut *reader, "3").is_ok() && reader.is_incomplete());
    assert!(read(&mut *reader, "bAQIDBAU=").is_ok() && !reader.is_incomplete());
    assert_eq!(reader.part(), Part::Forwarded);
    let fault = attach(&mut *reader, b"").unwrap_err();
    assert_eq!((fault.reason, fault.closes), (Reason::MessageStructure, false));
    assert!(read(&mut *reader, TWO).is_ok());
    let fault = read(&mut *reader, "42[\"x\"]").unwrap_err();
    assert_eq!((fault.reason, fault.closes), (Reason::MessageStructure, true));
}

#[test]
fn attachments_have_a_number_and_a_size_together() {
    let mut reader = reader(Endpoint::Client);
    let fault = read(&mut *reader, r#"454-["x"]"#).unwrap_err();
    assert_eq!((fault.rule, fault.closes), ("max_attachments", false));
    reader.discard();
    assert!((0..4).all(|_| attach(&mut *reader, b"1") == Ok(Part::Discarded)));
    assert!(read(&mut *reader, TWO).is_ok());
    assert_eq!(attach(&mut *reader, &[0; 10]), Ok(Part::Forwarded));
    let fault = attach(&mut *reader, &[0]).unwrap_err();
    assert_eq!((fault.reason, fault.closes), (Reason::MessageTooBig, true));
}

#[test]
fn the_attachments_of_a_discarded_event_are_discarded() {
    let mut reader = reader(Endpoint::Client);
    assert!(read(&mut *reader, TWO).is_ok());
    reader.discard();
    assert_eq!(attach(&mut *reader, b""), Ok(Part::Discarded));
    // A discarded packet of Engine.IO is none of Socket.IO.
    assert!(read(&mut *reader, "3").is_ok());
    reader.discard();
    assert_eq!(attach(&mut *reader, b""), Ok(Part::Discarded));
    assert!(!reader.is_incomplete());
    assert!(read(&mut *reader, TWO).is_ok());
    assert!(read(&mut *reader, "3").is_ok());
    reader.discard();
    assert_eq!(attach(&mut *reader, b""), Ok(Part::Forwarded));
}

/// The packet of an attachment may have come before a reload gave the route its protocol.
#[test]
fn an_attachment_in_front_ends_the_session() {
    assert!(attach(&mut *reader(Endpoint::Client), b"").unwrap_err().closes);
}

#[test]
fn answers_have_the_forms_of_the_protocol() {
    let answer = |text: &str| {
        let mut reader = reader(Endpoint::Client);
        let mut items = Vec::new();
        let message =
            Message { kind: MessageKind::Text, payload: text.as_bytes(), bounds: &BOUNDS };
        let read = reader.read(&message, &mut items);
        let reason = read.err().map_or(Reason::MessageClaim, |fault| fault.reason);
        let refused = Refused { items: &items, reason, request_id: "r1" };
        let answer = reader.answer(&refused)?;
        Some(String::from_utf8(answer.payload.to_vec()).unwrap())
    };
    for (text, expected) in [
        ("427[\"x\"]", r#"437[{"error":"message.claim","request_id":"r1"}]"#),
        ("42/a,0[\"x\"]", r#"43/a,0[{"error":"message.claim","request_id":"r1"}]"#),
        ("427[]", r#"437[{"error":"message.structure","request_id":"r1"}]"#),
        ("4599-7[\"x\"]", r#"437[{"error":"message.structure","request_id":"r1"}]"#),
        (
            "42/a,[\"x\"]",
            r#"42/a,["exception",{"message":"message.claim","request_id":"r1","status":"error"}]"#,
        ),
        (
            "4x",
            r#"42["exception",{"message":"message.structure","request_id":"r1","status":"error"}]"#,
        ),
        // The id of an acknowledgement is one of the application's.
        (
            "437[]",
            r#"42["exception",{"message":"message.claim","request_id":"r1","status":"error"}]"#,
        ),
        ("40/a,", r#"44/a,{"data":{"request_id":"r1"},"message":"message.claim"}"#),
    ] {
        assert_eq!(answer(text).as_deref(), Some(expected), "{text}");
    }
    for text in ["3", "x", ""] {
        assert_eq!(answer(text), None, "{text}");
    }
}

#[test]
fn a_follower_knows_where_a_packet_ends() {
    let mut follower = Follower::default();
    let mut text = |text: &str, cut: usize| {
        follower.begin(false);
        follower.read(&text.as_bytes()[..cut]);
        follower.read(&text.as_bytes()[cut..]);
        follower.is_incomplete()
    };
    for cut in 0..4 {
        assert!(text(TWO, cut) && text("2---", cut));
        assert!(!text("42[\"451-\"]", cut));
        assert!(text("4612-[]", cut));
        assert!(!text("40--", cut) && !text("450-", cut) && !text("45[--", cut));
    }
    assert!(text(TWO, 0));
    assert!(text("bAQ==", 0));
    follower.begin(true);
    follower.read(b"451-");
    assert!(!follower.is_incomplete());
    follower.begin(true);
    assert!(!follower.is_incomplete());
}
