//! Protocols, message by message.

mod mqtt;
mod phoenix;
mod socket_io;
mod stomp;

use serde_json::{Value, json};

use super::{Item, Message, Protocol, Reader, Refused};
use crate::message::rules::{MessageFault, MessageKind};
use crate::message::tests::BOUNDS;
use crate::values::{Endpoint, Reason};

/// The items of a text message.
pub(super) fn read(reader: &mut dyn Reader, text: &str) -> Result<Vec<Item>, MessageFault> {
    let (kind, payload) = (MessageKind::Text, text.as_bytes());
    let mut items = Vec::new();
    let message = Message { kind, payload, bounds: &BOUNDS };
    reader.read(&message, &mut items).map(|()| items)
}

pub(super) fn answer(reader: &mut dyn Reader, text: &str) -> Option<Value> {
    let (kind, payload) = (MessageKind::Text, text.as_bytes());
    let mut items = Vec::new();
    let message = Message { kind, payload, bounds: &BOUNDS };
    let read = reader.read(&message, &mut items);
    let reason = read.err().map_or(Reason::MessageType, |fault| fault.reason);
    let refused = Refused { items: &items, reason, request_id: "r1" };
    let answer = reader.answer(&refused)?;
    Some(serde_json::from_slice(&answer.payload).unwrap())
}

fn json_rpc() -> Box<dyn Reader> {
    Protocol::JsonRpc { max_batch: 3 }.reader(Endpoint::Client)
}

#[test]
fn calls_of_json_rpc_have_their_method_as_type() {
    let call = |name: &str, body: Value, reply_to: Option<Value>| Item {
        name: Some(name.to_owned()),
        body,
        reply_to,
    };
    for (text, items) in [
        (
            r#"{"jsonrpc":"2.0","method":"say","params":{"room":"red"},"id":1}"#,
            vec![call("say", json!({ "room": "red" }), Some(json!(1)))],
        ),
        (r#"{"jsonrpc":"2.0","method":"say"}"#, vec![call("say", Value::Null, None)]),
        (r#"{"jsonrpc":"2.0","result":7,"id":"x"}"#, vec![Item::own()]),
        (r#"{"jsonrpc":"2.0","error":{"code":1,"message":"x"},"id":null}"#, vec![Item::own()]),
        (
            r#"[{"jsonrpc":"2.0","method":"a","id":null},{"jsonrpc":"2.0","method":"b","params":[1]}]"#,
            vec![call("a", Value::Null, Some(Value::Null)), call("b", json!([1]), None)],
        ),
    ] {
        assert_eq!(read(&mut *json_rpc(), text), Ok(items), "{text}");
    }
}

#[test]
fn what_is_no_json_rpc_is_refused() {
    for text in [
        "",
        "1",
        "[]",
        "[1]",
        "{}",
        r#"{"method":"say"}"#,
        r#"{"jsonrpc":"1.0","method":"say"}"#,
        r#"{"jsonrpc":2.0,"method":"say"}"#,
        r#"{"jsonrpc":"2.0"}"#,
        r#"{"jsonrpc":"2.0","method":1}"#,
        r#"{"jsonrpc":"2.0","method":"say","params":"x"}"#,
        r#"{"jsonrpc":"2.0","method":"say","params":null}"#,
        r#"{"jsonrpc":"2.0","method":"say","id":{}}"#,
        r#"{"jsonrpc":"2.0","method":"say","result":1,"id":1}"#,
        r#"{"jsonrpc":"2.0","result":1}"#,
        r#"{"jsonrpc":"2.0","method":"say","Method":"delete"}"#,
        r#"{"jsonrpc":"2.0","method":"say","method":"delete"}"#,
        r#"{"jsonrpc":"2.0","method":"say"} {}"#,
    ] {
        let fault = read(&mut *json_rpc(), text).unwrap_err();
        assert_eq!(fault.reason, Reason::MessageStructure, "{text}");
    }
    let one = r#"{"jsonrpc":"2.0","method":"a"}"#;
    let batch = format!("[{}]", [one; 4].join(","));
    assert_eq!(read(&mut *json_rpc(), &batch).unwrap_err().rule, "max_batch");
    let batch = format!("[{}]", [one; 3].join(","));
    assert_eq!(read(&mut *json_rpc(), &batch).map(|items| items.len()), Ok(3));
}

#[test]
fn refused_calls_of_json_rpc_get_an_error_each() {
    let error = |code: i32, reason: &str, id: Value| {
        let data = json!({ "request_id": "r1" });
        json!({ "jsonrpc": "2.0", "error": { "code": code, "message": reason, "data": data }, "id": id })
    };
    let refused = |id: Value| error(-32001, "message.type", id);
    for (text, expected) in [
        (r#"{"jsonrpc":"2.0","method":"a","id":1}"#, Some(refused(json!(1)))),
        (r#"{"jsonrpc":"2.0","method":"a"}"#, None),
        (
            r#"[{"jsonrpc":"2.0","method":"a","id":1},{"jsonrpc":"2.0","method":"a"}]"#,
            Some(json!([refused(json!(1))])),
        ),
        ("x", Some(error(-32600, "message.structure", Value::Null))),
    ] {
        assert_eq!(answer(&mut *json_rpc(), text), expected, "{text}");
    }
}
