//! STOMP.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::{Item, Message, Protocol, Reader, Refused};
use crate::message::rules::{MessageFault, MessageKind};
use crate::message::tests::BOUNDS;
use crate::values::{Endpoint, Reason};

fn client() -> Box<dyn Reader> {
    Protocol::Stomp.reader(Endpoint::Client)
}

/// The items of a binary message.
fn read(reader: &mut dyn Reader, payload: impl AsRef<[u8]>) -> Result<Vec<Item>, MessageFault> {
    read_as(reader, MessageKind::Binary, payload.as_ref())
}

fn read_as(
    reader: &mut dyn Reader,
    kind: MessageKind,
    payload: &[u8],
) -> Result<Vec<Item>, MessageFault> {
    let mut items = Vec::new();
    let message = Message { kind, payload, bounds: &BOUNDS };
    reader.read(&message, &mut items).map(|()| items)
}

/// The one item of a message of the client.
fn item(payload: impl AsRef<[u8]>) -> Item {
    let mut items = read(&mut *client(), payload.as_ref()).unwrap();
    assert_eq!(items.len(), 1);
    items.remove(0)
}

fn name(payload: &str) -> Option<String> {
    item(payload).name
}

#[test]
fn frames_have_their_command_and_destination_as_type() {
    let text = "SEND\ndestination:/queue/a\nreceipt:r\\c1\ncontent-length:7\n\n{\"a\":1}\0\n\n";
    let headers = json!({
        "destination": "/queue/a", "receipt": "r:1", "content-length": "7",
    });
    let body = json!({
        "destination": "/queue/a", "parts": ["queue", "a"], "headers": headers, "body": { "a": 1 },
    });
    let wanted = Item {
        name: Some("SEND /queue/a".to_owned()),
        body,
        // As it was written, since the escapes depend on the version.
        reply_to: Some(json!("r\\c1")),
    };
    for kind in [MessageKind::Text, MessageKind::Binary] {
        assert_eq!(read_as(&mut *client(), kind, text.as_bytes()), Ok(vec![wanted.clone()]));
    }
    for (text, wanted) in [
        ("SUBSCRIBE\nid:1\ndestination:/topic/a.b\n\n\0", Some("SUBSCRIBE /topic/a.b")),
        ("\n\r\nSEND\ndestination:/queue/a\n\n\0\r\n", Some("SEND /queue/a")),
        ("SEND\ndestination:/queue/user\\c1\n\n\0", Some("SEND /queue/user:1")),
        ("SEND\ndestination:/queue/user:1\n\n\0", Some("SEND /queue/user:1")),
        ("SEND\ndestination:queue a\n\n\0", Some("SEND queue a")),
        ("CONNECT\naccept-version:1.2\npasscode:a\\b\n\n\0", None),
        ("STOMP\naccept-version:1.2\n\n\0", None),
        ("UNSUBSCRIBE\nid:1\n\n\0", None),
        ("ACK\nid:1\n\n\0", None),
        ("NACK\nid:1\n\n\0", None),
        ("BEGIN\ntransaction:t\n\n\0", None),
        ("COMMIT\ntransaction:t\n\n\0", None),
        ("ABORT\ntransaction:t\n\n\0", None),
        ("DISCONNECT\nreceipt:1\n\n\0", None),
    ] {
        assert_eq!(name(text).as_deref(), wanted, "{text}");
    }
    for beats in ["\n", "\r\n", "\n\n"] {
        assert_eq!(read(&mut *client(), beats), Ok(Vec::new()), "{beats:?}");
    }
}

#[test]
fn destinations_that_brokers_expand_have_a_type_of_their_own() {
    for destination in ["/topic/*", "a.>", "/topic/#", "/q?x=1", "/t/{a}", "/q/%61", "a::b"] {
        for command in ["SEND", "SUBSCRIBE"] {
            let text = format!("{command}\ndestination:{destination}\n\n\0");
            let wanted = format!("{command}-PATTERN {destination}");
            assert_eq!(name(&text), Some(wanted));
        }
    }
    let text = "SUBSCRIBE\ndestination:a\\c\\cb\n\n\0";
    assert_eq!(name(text).as_deref(), Some("SUBSCRIBE-PATTERN a::b"));
    for destination in ["/queue/a,/queue/b", "/queue/a\\\\b", "/queue/a\\n", "/queue/a\\r", ""] {
        let text = format!("SEND\ndestination:{destination}\n\n\0");
        assert!(read(&mut *client(), &text).is_err(), "{text}");
    }
}

#[test]
fn a_body_is_json_if_it_says_so_or_resembles_it() {
    let body = |content_type: &str, body: &[u8]| {
        let length = body.len();
        let head = format!("SEND\ndestination:q\n{content_type}content-length:{length}\n\n");
        let frame = [head.as_bytes(), body, b"\0"].concat();
        let items = read(&mut *client(), frame).map_err(|fault| fault.reason)?;
        Ok(items[0].body.get("body").cloned())
    };
    for (content_type, text, wanted) in [
        ("", &b"{\"a\":1}"[..], Ok(Some(json!({ "a": 1 })))),
        ("content-type:text/plain\n", b"[1]", Ok(Some(json!([1])))),
        ("content-type:application/json;charset=utf-8\n", b"7", Ok(Some(json!(7)))),
        ("content-type:application/problem+json\n", b"\"a\"", Ok(Some(json!("a")))),
        ("", b"hello", Ok(None)),
        ("", b"", Ok(None)),
        ("content-type:application/json\n", b"", Ok(None)),
        ("content-type:application/octet-stream\n", b"\xff\0\x01", Ok(None)),
        ("content-type:application/json\n", b"hello", Err(Reason::MessageStructure)),
        ("content-type:Application/JSON\n", b"\xff\xd8", Err(Reason::MessageStructure)),
        ("", b"{\"a\":1,\"a\":2}", Err(Reason::MessageStructure)),
        ("content-type:text/plain\n", b" {a:1}", Err(Reason::MessageStructure)),
        // UTF-16, which some parsers recognise.
        ("", b"\0{\0}", Err(Reason::MessageStructure)),
        ("", b"\xff\xfe{\0}\0", Err(Reason::MessageStructure)),
    ] {
        assert_eq!(body(content_type, text), wanted, "{content_type} {text:?}");
    }
}

#[test]
fn what_can_be_read_in_two_ways_is_refused() {
    for text in [
        "",
        "SEND",
        "SEND\ndestination:q\n\n",
        "SEND\ndestination:q\n\nhello",
        "send\ndestination:q\n\n\0",
        " SEND\ndestination:q\n\n\0",
        "MESSAGE\ndestination:q\n\n\0",
        "SEND\n\n\0",
        "SEND\r\ndestination:q\r\n\r\n\0",
        "SEND\ndestination:q\r\n\n\0",
        "SEND\ndestination: q\n\n\0",
        "SEND\ndestination:q \n\n\0",
        "SEND\ndestination:q\u{feff}\n\n\0",
        "SEND\ndestination:q\nx:y \n\n\0",
        "SEND\nDestination:q\n\n\0",
        "SEND\n destination:q\n\n\0",
        "SEND\ndestination\u{a0}:q\n\n\0",
        "SEND\ndestination:q\ndestination:p\n\n\0",
        "SEND\ndestination:q\nfoo:1\nFoo:2\n\n\0",
        "SEND\ndestination:q\nno colon\n\n\0",
        "SEND\ndestination:q\n:empty\n\n\0",
        "SEND\ndestination:q\nx:\\t\n\n\0",
        "SEND\ndestination:q\nx:\\\n\n\0",
        "SEND\ndestination:q\nx:\0\n\n\0",
        // Two frames, and a split one.
        "SEND\ndestination:q\n\n\0SEND\ndestination:p\n\n\0",
        "SEND\ndestination:q\n\n\0\0",
        "SEND\ndestination:q\n\nhel",
        "SEND\ndestination:q\ncontent-length:4\n\nhello\0",
        "SEND\ndestination:q\ncontent-length:6\n\nhello\0",
        "SEND\ndestination:q\ncontent-length:+5\n\nhello\0",
        "SEND\ndestination:q\ncontent-length:5x\n\nhello\0",
        "SEND\ndestination:q\ncontent-length:\n\nhello\0",
        "SEND\ndestination:q\ncontent-length:99999999999999999999\n\nhello\0",
        "SEND\ndestination:q\ncontent-length:5\ncontent-length:0\n\nhello\0",
        "SEND\ndestination:q\nContent-Length:0\n\nhello\0",
        "SUBSCRIBE\ndestination:q\n\nhello\0",
    ] {
        let fault = read(&mut *client(), text).unwrap_err();
        assert_eq!(fault.reason, Reason::MessageStructure, "{text:?}");
        assert!(!fault.closes);
    }
    let frame = b"SEND\ndestination:q\ncontent-length:5\n\nhe\0lo\0";
    assert!(read(&mut *client(), frame).is_ok());
    // An application that ignores content-length would read the rest as a frame.
    assert!(read_as(&mut *client(), MessageKind::Text, frame).is_err());
    assert!(read(&mut *client(), b"SEND\ndestination:\xff\n\n\0").is_err());
}

#[test]
fn headers_are_bounded() {
    let lines = |count: usize| {
        let headers: Vec<_> = (0..count).map(|index| format!("h{index}:\n")).collect();
        let headers = headers.concat();
        read(&mut *client(), format!("SEND\ndestination:q\n{headers}\n\0"))
    };
    assert!(lines(BOUNDS.max_members - 1).is_ok());
    assert_eq!(lines(BOUNDS.max_members).unwrap_err().rule, "max_members");
    let value = |length: usize| {
        let value = "x".repeat(length);
        read(&mut *client(), format!("SEND\ndestination:q\nx:{value}\n\n\0"))
    };
    assert!(value(BOUNDS.max_string).is_ok());
    assert_eq!(value(BOUNDS.max_string + 1).unwrap_err().rule, "max_string");
}

#[test]
fn messages_of_the_application_have_their_destination() {
    let mut reader = Protocol::Stomp.reader(Endpoint::Upstream);
    for (text, wanted) in [
        ("CONNECTED\nversion:1.2\n\n\0", None),
        ("RECEIPT\nreceipt-id:1\n\n\0", None),
        ("ERROR\nmessage:x\n\nmore\0", None),
        ("MESSAGE\ndestination:/topic/a,*\nmessage-id:1\n\nhello\0", Some("MESSAGE /topic/a,*")),
    ] {
        let items = read(&mut *reader, text).unwrap();
        assert_eq!(items[0].name.as_deref(), wanted, "{text}");
    }
    assert!(read(&mut *reader, "SEND\ndestination:q\n\n\0").is_err());
}

#[test]
fn a_refused_frame_is_answered_with_an_error() {
    let mut reader = client();
    let answer = |reader: &dyn Reader, items: &[Item]| {
        let refused = Refused { items, reason: Reason::MessageType, request_id: "r1" };
        String::from_utf8(reader.answer(&refused).unwrap().payload.to_vec()).unwrap()
    };
    let items = read(&mut *reader, "SEND\ndestination:q\nreceipt:a\\cb\n\n\0").unwrap();
    let body = r#"{"reason":"message.type","request_id":"r1"}"#;
    let rest = format!("content-type:application/json\ncontent-length:{}\n\n{body}\0", body.len());
    let wanted = format!("ERROR\nmessage:message.type\nreceipt-id:a\\cb\n{rest}");
    assert_eq!(answer(&*reader, &items), wanted);
    assert_eq!(answer(&*reader, &[]), format!("ERROR\nmessage:message.type\n{rest}"));
    // It is a frame that clients accept.
    let mut application = Protocol::Stomp.reader(Endpoint::Upstream);
    assert!(read(&mut *application, wanted).is_ok());
}

#[test]
fn a_transaction_that_lacks_a_frame_is_not_committed() {
    let frame = |command: &str, transaction: &str| {
        format!("{command}\ndestination:q\ntransaction:{transaction}\n\n\0")
    };
    let discarded = |frames: &[&str]| {
        let mut reader = client();
        for frame in frames {
            let _ = read(&mut *reader, frame);
            reader.discard();
        }
        reader
    };
    let commits = |mut reader: Box<dyn Reader>, transaction: &str| match read(
        &mut *reader,
        frame("COMMIT", transaction),
    ) {
        Ok(_) => true,
        Err(fault) => {
            assert!(fault.closes);
            false
        }
    };
    let long = "t".repeat(257);
    let (of_t, of_u) = (frame("SEND", "t"), frame("SEND", "u"));
    let faulty = "SEND\ntransaction:t\n\n\0";
    for (frames, transaction, wanted) in [
        (&[][..], "t", true),
        (&["SEND\ndestination:q\n\n\0"], "t", true),
        (&["\n"], "t", true),
        (&[&of_t], "t", false),
        (&[&of_t], "u", true),
        (&[&of_t, &of_t], "u", true),
        (&[&of_t, &of_u], "v", false),
        (&[faulty], "t", false),
        (&[faulty], "u", true),
        // Its transaction is not known.
        (&["SEND\ntransaction:t\n"], "t", false),
        (&[&frame("SEND", &long)], &long, false),
        // Some brokers take these two for one.
        (&[&frame("SEND", "a\\cb")], "a:b", false),
        (&[&frame("SEND", "a:b")], "a\\cb", false),
        // An ABORT that is discarded, too.
        (&[&of_t, &frame("ABORT", "t")], "t", false),
        (&[&frame("ABORT", "t")], "t", true),
    ] {
        assert_eq!(commits(discarded(frames), transaction), wanted, "{frames:?} {transaction}");
    }
    let mut reader = discarded(&[&of_t]);
    assert!(read(&mut *reader, frame("ABORT", "t")).is_ok());
    assert!(commits(reader, "t"));
    // Names that are not known are not those of the ABORT.
    let mut reader = discarded(&[&of_t, &of_u]);
    assert!(read(&mut *reader, frame("ABORT", &long)).is_ok());
    assert!(read(&mut *reader, frame("ABORT", "t")).is_ok());
    assert!(!commits(reader, "t"));
}

#[test]
fn headers_are_part_of_the_body() {
    let body = item("SUBSCRIBE\ndestination:q\nselector:a\\c\\\\b\n\n\0").body;
    assert_eq!(body["headers"]["selector"], Value::from("a:\\b"));
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>, kind: bool) {
        let kind = if kind { MessageKind::Binary } else { MessageKind::Text };
        let framed = [b"SEND\ndestination:q\n", &bytes[..], b"\n\n\0"].concat();
        for payload in [&bytes, &framed] {
            let _ = read_as(&mut *client(), kind, payload);
        }
    }

    /// One frame has one reading: what comes before its end, alone, is refused, and so is what comes after it.
    #[test]
    fn a_frame_has_one_end(body in "[a-z\0\n]{0,20}", cut in 0_usize..60) {
        let length = body.len();
        let frame = format!("SEND\ndestination:q\ncontent-length:{length}\n\n{body}\0");
        let items = read(&mut *client(), &frame).unwrap();
        prop_assert_eq!(items[0].name.as_deref(), Some("SEND q"));
        let cut = cut.min(frame.len() - 1);
        prop_assert!(read(&mut *client(), &frame[..cut]).is_err());
        prop_assert!(read(&mut *client(), frame + "x").is_err());
    }
}
