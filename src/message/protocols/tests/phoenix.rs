//! Phoenix Channels.

use serde_json::{Value, json};

use super::super::{Item, Message, Protocol, Reader};
use super::{answer, read};
use crate::message::rules::{MessageFault, MessageKind};
use crate::message::tests::BOUNDS;
use crate::values::{Endpoint, Reason};

fn client() -> Box<dyn Reader> {
    Protocol::Phoenix.reader(Endpoint::Client)
}

fn application() -> Box<dyn Reader> {
    Protocol::Phoenix.reader(Endpoint::Upstream)
}

fn read_binary(reader: &mut dyn Reader, payload: &[u8]) -> Result<Item, MessageFault> {
    let mut items = Vec::new();
    let kind = MessageKind::Binary;
    let message = Message { kind, payload, bounds: &BOUNDS };
    reader.read(&message, &mut items)?;
    Ok(items.remove(0))
}

/// A binary message: its kind, the lengths of the fields, the fields, and a payload that is not UTF-8.
fn binary(kind: u8, fields: &[&str]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend(fields.iter().map(|field| u8::try_from(field.len()).unwrap()));
    bytes.extend(fields.concat().as_bytes());
    bytes.extend([0xff, 0x00]);
    bytes
}

fn named(name: &str, body: Value, reply_to: Option<Value>) -> Item {
    Item { name: Some(name.to_owned()), body, reply_to }
}

#[test]
fn messages_have_their_event_and_topic_as_type() {
    let body = |event: &str, payload: Value| json!({ "topic": "room:red:1", "subtopic": "red:1", "event": event, "payload": payload });
    let lobby = json!({ "topic": "lobby", "event": "say", "payload": 7 });
    for (text, item) in [
        (
            r#"["1","2","room:red:1","phx_join",{"a":1}]"#,
            named(
                "phx_join room:red:1",
                body("phx_join", json!({"a":1})),
                Some(json!(["1", "2", "room:red:1"])),
            ),
        ),
        (
            r#"[null,7,"room:red:1","say",null]"#,
            named("say room:red:1", body("say", Value::Null), Some(json!([null, 7, "room:red:1"]))),
        ),
        (r#"[null,null,"lobby","say",7]"#, named("say lobby", lobby.clone(), None)),
        (
            r#"{"topic":"lobby","event":"say","payload":7,"ref":"2","join_ref":"1"}"#,
            named("say lobby", lobby.clone(), Some(json!({ "topic": "lobby", "ref": "2" }))),
        ),
        (
            r#"{"topic":"lobby","event":"say","payload":7,"ref":null}"#,
            named("say lobby", lobby.clone(), None),
        ),
    ] {
        assert_eq!(read(&mut *client(), text), Ok(vec![item]), "{text}");
    }
    for text in [
        r#"[null,"3","phoenix","heartbeat",{}]"#,
        r#"{"topic":"phoenix","event":"heartbeat","payload":{},"ref":"3"}"#,
        r#"["1","3","room:red","phx_leave",{}]"#,
    ] {
        let items = read(&mut *client(), text).unwrap();
        assert_eq!((&items[0].name, &items[0].reply_to), (&None, &None), "{text}");
    }
    for text in [
        r#"[null,"3","room:red","heartbeat",{}]"#,
        r#"["1","1","room:red","phx_close",{}]"#,
        r#"[null,"3","phoenix","phx_reply",{}]"#,
    ] {
        assert!(read(&mut *client(), text).unwrap()[0].name.is_some(), "{text}");
    }
}

#[test]
fn messages_of_the_application_have_types_too() {
    for (text, name) in [
        (r#"[null,null,"room:red","said",{}]"#, Some("said room:red")),
        (
            r#"["1","2","room:red","phx_reply",{"status":"ok","response":{}}]"#,
            Some("phx_reply room:red"),
        ),
        (r#"[null,"3","phoenix","phx_reply",{"status":"ok","response":{}}]"#, None),
        (r#"["1","1","room:red","phx_close",{}]"#, None),
        (r#"["1","1","room:red","phx_error",{}]"#, None),
    ] {
        let items = read(&mut *application(), text).unwrap();
        assert_eq!(items[0].name.as_deref(), name, "{text}");
    }
    for (kind, fields, name) in [
        (0, &["1", "room:red", "said"][..], "said room:red"),
        (1, &["1", "2", "room:red", "ok"], "phx_reply room:red"),
        (2, &["room:red", "said"], "said room:red"),
    ] {
        let item = read_binary(&mut *application(), &binary(kind, fields)).unwrap();
        assert_eq!(item.name.as_deref(), Some(name), "{fields:?}");
    }
}

#[test]
fn binary_pushes_have_no_payload_in_their_body() {
    let body = json!({ "topic": "room:red", "subtopic": "red", "event": "say" });
    let reply_to = Some(json!(["1", "2", "room:red"]));
    let bytes = binary(0, &["1", "2", "room:red", "say"]);
    let item = named("say room:red", body, reply_to);
    assert_eq!(read_binary(&mut *client(), &bytes), Ok(item));
    let bytes = binary(0, &["1", "", "room:red", "say"]);
    assert_eq!(read_binary(&mut *client(), &bytes).unwrap().reply_to, None);
    let longest = "x".repeat(255);
    let bytes = binary(0, &["1", "2", &longest, "say"]);
    let item = read_binary(&mut *client(), &bytes).unwrap();
    assert_eq!(item.name, Some(format!("say {longest}")));

    // A message that ends within its header, at each byte.
    let bytes = binary(0, &["1", "2", "room:red", "say"]);
    for length in 0..bytes.len() - 2 {
        let fault = read_binary(&mut *client(), &bytes[..length]).unwrap_err();
        assert_eq!(fault.reason, Reason::MessageStructure, "{length}");
    }
    for bytes in [
        binary(1, &["1", "2", "room:red", "ok"]),
        binary(2, &["room:red", "say"]),
        binary(3, &["1", "2", "room:red", "say"]),
        br#"["1","2","room:red","say",{}]"#.to_vec(),
        br#"{"topic":"lobby","event":"say","payload":7,"ref":"2"}"#.to_vec(),
        b"\x00\x01\x01\x01\x0312\xffsay".to_vec(),
    ] {
        let fault = read_binary(&mut *client(), &bytes).unwrap_err();
        assert_eq!(fault.reason, Reason::MessageStructure, "{bytes:?}");
    }
}

#[test]
fn what_is_no_message_of_phoenix_is_refused() {
    for text in [
        "",
        "1",
        "[]",
        r#"["1","2","room:red","say"]"#,
        r#"["1","2","room:red","say",{},1]"#,
        r#"["1","2","room:red",7,{}]"#,
        r#"["1","2",null,"say",{}]"#,
        r#"[["1"],"2","room:red","say",{}]"#,
        r#"["1",true,"room:red","say",{}]"#,
        r#"["1","2","room:red","say",{"a":1,"a":2}]"#,
        // The name "say room:red secret" could be read in two ways.
        r#"["1","2","secret","say room:red",{}]"#,
        r#"["1","2","room:red","",{}]"#,
        r#"{"topic":"lobby","event":"say","payload":7}"#,
        r#"{"topic":"lobby","event":"say","ref":"2"}"#,
        r#"{"topic":"lobby","payload":7,"ref":"2"}"#,
        r#"{"event":"say","payload":7,"ref":"2"}"#,
        r#"{"topic":"lobby","event":"say","payload":7,"ref":"2","Topic":"room"}"#,
        r#"{"topic":"lobby","event":"say","payload":7,"ref":{}}"#,
        r#"{"topic":"lobby","event":"say","payload":7,"ref":"2","join_ref":[]}"#,
    ] {
        let fault = read(&mut *client(), text).unwrap_err();
        assert_eq!(fault.reason, Reason::MessageStructure, "{text}");
    }
}

#[test]
fn refused_messages_with_a_reference_get_a_reply() {
    let response = json!({ "reason": "message.type", "request_id": "r1" });
    let payload = json!({ "status": "error", "response": response });
    for (text, expected) in [
        (
            r#"["1","2","room:red","say",{}]"#,
            Some(json!(["1", "2", "room:red", "phx_reply", payload])),
        ),
        (
            r#"{"topic":"lobby","event":"say","payload":7,"ref":"2"}"#,
            Some(json!({"topic": "lobby", "event": "phx_reply", "ref": "2", "payload": payload})),
        ),
        (r#"[null,null,"room:red","say",{}]"#, None),
        ("[]", None),
    ] {
        assert_eq!(answer(&mut *client(), text), expected, "{text}");
    }
}
