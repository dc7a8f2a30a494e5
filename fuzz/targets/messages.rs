//! Arbitrary messages against rules for JSON, MessagePack and CBOR: what they let through, another crate reads, and the
//! verdict of a second run is the same. The same messages against the readers of protocols: those of JSON accept it again
//! as `serde_json` writes it, with the same type.

#![no_main]

use std::sync::Arc;

use framewall::message::{
    Bounds, MessageFault, MessageKind, MessageRules, MqttBounds, OnViolation, Packed, Patterns,
    Pointer, Protocol, Trial, TypePattern, TypeRules, Types,
};
use framewall::values::Endpoint;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|payload: &[u8]| {
    for packed in [None, Some(Packed::MessagePack), Some(Packed::Cbor)] {
        let rules = rules(packed);
        let Trial { listed, fault, .. } = rules.try_out(MessageKind::Binary, payload, None);
        let again = rules.try_out(MessageKind::Binary, payload, None);
        assert_eq!((&listed, &fault), (&again.listed, &again.fault));
        if fault.is_some() {
            continue;
        }
        let value = read(packed, payload);
        let name = value.pointer("/t").and_then(Value::as_str).expect("it has a listed type");
        assert!(name.starts_with(listed.as_deref().unwrap_or_default().trim_end_matches('*')));
        assert!(!name.contains("<script"), "a denied pattern is found after unescaping");
    }
    for kind in [MessageKind::Text, MessageKind::Binary] {
        // The rules of frames refuse such a text.
        if kind == MessageKind::Binary || std::str::from_utf8(payload).is_ok() {
            try_protocol(&Protocol::JsonRpc { max_batch: 10 }, kind, payload);
            try_protocol(&Protocol::Phoenix, kind, payload);
            try_protocol(&Protocol::Stomp, kind, payload);
            let socket_io = Protocol::SocketIo { max_attachments: 10, max_size: 1 << 20 };
            verdict_twice(&socket_io, kind, payload);
            let mqtt = MqttBounds { max_packet: 1 << 20, max_qos: 2, retain: true };
            verdict_twice(&Protocol::Mqtt(mqtt), kind, payload);
        }
    }
});

/// The value, as another crate reads it to the end.
fn read(packed: Option<Packed>, mut payload: &[u8]) -> Value {
    let value = match packed {
        None => return serde_json::from_slice(payload).expect("what passes is JSON"),
        Some(Packed::Cbor) => ciborium::from_reader(&mut payload).expect("what passes is CBOR"),
        Some(Packed::MessagePack) => {
            let value = rmpv::decode::read_value(&mut payload).expect("what passes is MessagePack");
            rmpv::ext::from_value(value).expect("it has the form of JSON")
        }
    };
    assert!(payload.is_empty(), "it was read to the end");
    value
}

/// The verdict of the rules of a protocol on the first message of a session, which is the same each time.
fn verdict_twice(
    protocol: &Protocol,
    kind: MessageKind,
    payload: &[u8],
) -> (Option<Arc<str>>, Option<MessageFault>) {
    let rules = MessageRules { protocol: Some(protocol.clone()), ..rules(None) };
    let verdict = || {
        let Trial { listed, fault, .. } = rules.try_out(kind, payload, None);
        (listed, fault)
    };
    let first = verdict();
    assert_eq!(verdict(), first);
    first
}

/// Tries a message against the rules of a protocol.
fn try_protocol(protocol: &Protocol, kind: MessageKind, payload: &[u8]) {
    let verdict = |payload: &[u8]| verdict_twice(protocol, kind, payload);
    let (listed, fault) = verdict(payload);
    if fault.is_some() {
        return;
    }
    match serde_json::from_slice::<Value>(payload) {
        Ok(value) if *protocol != Protocol::Stomp => {
            let written = value.to_string();
            assert_eq!(verdict(written.as_bytes()), (listed, None), "{written}");
        }
        Ok(_) => panic!("a frame of STOMP is no JSON"),
        Err(_) => {
            assert_ne!(*protocol, Protocol::JsonRpc { max_batch: 10 });
            let followed = [payload, b"\n"].concat();
            if *protocol == Protocol::Stomp {
                assert_eq!(verdict(&followed), (listed, None), "a line end may follow a frame");
            }
        }
    }
}

fn rules(packed: Option<Packed>) -> MessageRules {
    let of_type = |name: &str| TypeRules {
        name: name.into(),
        scope: name.into(),
        pattern: TypePattern::parse(name).expect("the name of a type"),
        schema: None,
        require: Vec::new(),
        require_in: Vec::new(),
        rate: None,
        rate_per_user: None,
        on_violation: None,
    };
    let at = Pointer::parse("/t").expect("a pointer");
    MessageRules {
        sender: Endpoint::Client,
        protocol: None,
        max_size: 1 << 20,
        on_violation: OnViolation::Close,
        error_reply: None,
        report: false,
        strike: false,
        kinds: Vec::new(),
        binary_types: Vec::new(),
        bounds: Some(Bounds {
            max_depth: 100,
            max_members: 1000,
            max_items: 1000,
            max_string: 1 << 16,
            duplicate_keys: false,
        }),
        packed,
        schema: None,
        deny: Some(Patterns::new(&["<script".to_owned()]).expect("a pattern")),
        types: Some(Types::new(
            Some(at),
            vec![
                of_type("say"),
                of_type("say *"),
                of_type("SEND *"),
                of_type("a*"),
                of_type("a:*"),
            ],
            false,
        )),
    }
}
