//! `encoding = "msgpack"` and `"cbor"`: binary messages meet the rules of JSON. Their bytes are those of other encoders.

use serde_json::{Value, json};

use super::support::{Deflater, Frame, RawUpstream, Request, Session};
use super::{closes, guarded, passes, ruled, with};

const RULES: &str = r#"
[routes.app.messages]
encoding = "ENCODING"
max_items = 3
deny_patterns = ["<script"]
type_at = "/action"
on_violation = "answer"
error_reply = "{reason}"
[routes.app.messages.types."room:*"]
require_in = { rooms = "/room" }
[routes.app.messages.types.say]
schema = "chat.json"
"#;

pub(super) fn message_pack(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    rmpv::encode::write_value(&mut bytes, &rmpv::ext::to_value(value).unwrap()).unwrap();
    bytes
}

fn cbor(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).unwrap();
    bytes
}

type Encode = fn(&Value) -> Vec<u8>;
const ENCODINGS: [(&str, Encode); 2] = [("msgpack", message_pack), ("cbor", cbor)];

fn answers(session: &mut Session, frame: Frame, reason: &str) {
    session.client.say(frame);
    session.client.expect_frame(Frame::text(reason));
}

#[test]
fn binary_messages_meet_the_rules_of_json() {
    for (name, encode) in ENCODINGS {
        let upstream = RawUpstream::bind();
        let gateway = guarded(&upstream, &RULES.replace("ENCODING", name)).start();
        let claims = json!({ "rooms": ["red", 7] });
        let mut session = Session::open_with(&gateway, &upstream, &with(&claims), "");
        for value in [
            json!({ "action": "room:join", "room": "red" }),
            json!({ "action": "room:join", "room": 7, "x": [1.5, -1, null] }),
            json!({ "action": "say", "next": 9_007_199_254_740_992_i64, "email": "a@b.example" }),
        ] {
            passes(&mut session, &Frame::binary(encode(&value)));
        }
        for (value, reason) in [
            (json!({ "action": "room:join", "room": "blue" }), "message.claim"),
            (json!({ "action": "room:join", "room": [7] }), "message.claim"),
            (json!({ "action": "say", "next": "1" }), "message.schema"),
            (json!({ "action": "say", "email": "a" }), "message.schema"),
            (json!({ "action": "say", "room": "<script>" }), "message.pattern"),
            (json!({ "action": "say", "<script": 1 }), "message.pattern"),
            (json!({ "action": "other" }), "message.type"),
            (json!({ "action": ["say"] }), "message.type"),
            (json!([{ "action": "say" }]), "message.type"),
            (json!("say"), "message.type"),
            (json!({ "Action": "say" }), "message.structure"),
            (json!({ "action": "say", "x": [1, 2, 3, 4] }), "message.structure"),
            (json!({ "action": "say", "next": 9_007_199_254_740_993_i64 }), "message.structure"),
        ] {
            answers(&mut session, Frame::binary(encode(&value)), reason);
        }
        let good = encode(&json!({ "action": "say" }));
        let trailing = [good.as_slice(), &[0]].concat();
        answers(&mut session, Frame::binary(trailing), "message.structure");
        answers(&mut session, Frame::binary(&good[..good.len() - 1]), "message.structure");
        answers(&mut session, Frame::binary("{\"action\":\"say\"}"), "message.structure");
        answers(&mut session, Frame::text("{\"action\":\"say\"}"), "message.kind");
        passes(&mut session, &Frame::binary(good));
    }
}

/// A message with what `write` writes.
fn written(write: impl FnOnce(&mut Vec<u8>)) -> Frame {
    let mut bytes = Vec::new();
    write(&mut bytes);
    Frame::binary(bytes)
}

#[test]
fn what_json_does_not_have_is_refused() {
    let rules = "[routes.app.messages]\nencoding = \"ENCODING\"\non_violation = \"answer\"\n\
        error_reply = \"{reason}\"";
    let upstream = RawUpstream::bind();
    let gateway = ruled(&upstream, &rules.replace("ENCODING", "msgpack")).start();
    let mut session = Session::open(&gateway, &upstream);
    let text = |text: &str| rmpv::Value::from(text);
    for value in [
        rmpv::Value::Binary(b"abc".to_vec()),
        rmpv::Value::Ext(-1, vec![0; 4]),
        rmpv::Value::F64(f64::NAN),
        rmpv::Value::F32(f32::INFINITY),
        rmpv::Value::from(u64::MAX),
        rmpv::Value::Map(vec![(rmpv::Value::from(1), text("a"))]),
        rmpv::Value::Map(vec![(text("a"), text("a")), (text("a"), text("b"))]),
    ] {
        let write = |bytes: &mut Vec<u8>| rmpv::encode::write_value(bytes, &value).unwrap();
        answers(&mut session, written(write), "message.structure");
    }
    passes(&mut session, &Frame::binary(message_pack(&json!([1]))));

    let gateway = ruled(&upstream, &rules.replace("ENCODING", "cbor")).start();
    let mut session = Session::open(&gateway, &upstream);
    let text = |text: &str| ciborium::Value::from(text);
    for value in [
        ciborium::Value::Bytes(b"abc".to_vec()),
        ciborium::Value::Tag(1, Box::new(1.into())),
        ciborium::Value::from(u64::MAX),
        ciborium::Value::from(i128::from(u64::MAX) + 1),
        ciborium::Value::Float(f64::NAN),
        ciborium::Value::Map(vec![(1.into(), text("a"))]),
        ciborium::Value::Map(vec![(text("a"), text("a")), (text("a"), text("b"))]),
    ] {
        let write = |bytes: &mut Vec<u8>| ciborium::into_writer(&value, bytes).unwrap();
        answers(&mut session, written(write), "message.structure");
    }
    passes(&mut session, &Frame::binary(cbor(&json!([1]))));
}

#[test]
fn text_messages_must_be_json_where_they_are_accepted() {
    let upstream = RawUpstream::bind();
    let rules = "[routes.app.messages]\nencoding = \"cbor\"\nkinds = [\"text\", \"binary\"]\n\
        schema = \"chat.json\"\n[routes.app.replies]\nencoding = \"msgpack\"";
    let gateway = ruled(&upstream, rules).start();
    let mut session = Session::open(&gateway, &upstream);
    passes(&mut session, &Frame::text("{\"action\":\"hello\"}"));
    passes(&mut session, &Frame::binary(cbor(&json!({ "action": "hello" }))));
    let reply = Frame::binary(message_pack(&json!({ "any": ["thing"] })));
    session.upstream.say(reply.clone());
    session.client.expect_frame(reply);
    closes(&mut session, &Frame::binary("{\"action\":\"hello\"}"), 1007, "message.structure");
    let mut session = Session::open(&gateway, &upstream);
    closes(&mut session, &Frame::text("{\"action\":1}"), 1008, "message.schema");
    let mut session = Session::open(&gateway, &upstream);
    session.upstream.say(Frame::text("{}"));
    session.upstream.expect_closing(1008, "message.kind");
}

#[test]
fn packed_messages_are_released_as_they_came() {
    let upstream = RawUpstream::bind();
    let rules = "[routes.app.messages]\nencoding = \"msgpack\"\nschema = \"chat.json\"";
    let gateway = ruled(&upstream, rules).websocket("compression = \"inspect\"").start();
    let offer = Request::upgrade("/ws").and("Sec-WebSocket-Extensions", "permessage-deflate");
    let accepted = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let mut session = Session::open_with(&gateway, &upstream, &offer, accepted);
    // {"action":"a"} with lengths that are longer than they need be.
    let long = b"\xdf\0\0\0\x01\xda\0\x06action\xdb\0\0\0\x01a";
    passes(&mut session, &Frame::binary(long));
    for cut in 0..=long.len() {
        let frames = [Frame::binary(&long[..cut]).unfinished(), Frame::continuation(&long[cut..])];
        for frame in &frames {
            session.client.say(frame.clone());
        }
        for frame in frames {
            session.upstream.expect_frame(frame);
        }
    }
    let mut deflater = Deflater::new(false);
    for _ in 0..2 {
        passes(&mut session, &Frame::binary(deflater.message(long)).with_rsv(4));
    }
    session.client.say(Frame::binary(deflater.message(&long[..long.len() - 1])).with_rsv(4));
    session.client.expect_closing(1007, "message.structure");
}
