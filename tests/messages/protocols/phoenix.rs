//! Phoenix Channels. The client is phoenix.js; the server is one of these tests, since that of the Phoenix project needs
//! Erlang.

use serde_json::{Value, json};

use super::super::support::{Frame, Peer, RawUpstream, Session, Tool};
use super::super::{guarded, passes, with};
use super::{example, in_front_of, run_client};

/// The claims of a user who may join the room red.
fn claims() -> Value {
    json!({ "rooms": ["red"], "role": "user" })
}

/// phoenix.js against a server of `version`: the events of the topics that reached it.
fn events_of(version: &str) -> Vec<String> {
    let mut peer = Peer::start(Tool::Node, "protocols/phoenix_server", &[]);
    let gateway = in_front_of(&peer, "Phoenix Channels", "/socket/websocket", "");
    let steps = run_client(&gateway, "phoenix_client", "/socket", &[version]);
    assert_eq!(steps.len(), 7, "{steps:?}");
    let mut events = Vec::new();
    loop {
        let said = peer.says();
        events.push(format!("{} {}", said["event"], said["topic"]).replace('"', ""));
        if events.last().unwrap() == "phx_leave room:red" {
            return events;
        }
    }
}

#[test]
#[ignore = "needs node phoenix and ws"]
fn phoenix_js_gets_an_error_for_what_is_refused() {
    let wanted = ["phx_join room:red", "say room:red", "phx_leave room:blue"];
    let end = ["say room:red", "phx_leave room:red"];
    assert_eq!(events_of("2.0.0"), [&wanted[..], &["upload room:red"], &end].concat());
    assert_eq!(events_of("1.0.0"), [&wanted[..], &end].concat());
}

/// A binary push of version 2.
fn push(topic: &str, event: &str) -> Frame {
    let lengths = [1, 1, topic.len(), event.len()].map(|length| u8::try_from(length).unwrap());
    let fields = format!("12{topic}{event}");
    Frame::binary([&[0], &lengths[..], fields.as_bytes(), &[0xff]].concat())
}

#[test]
fn all_forms_of_messages_meet_the_same_rules() {
    let upstream = RawUpstream::bind();
    let gateway = guarded(&upstream, &example("Phoenix Channels")).start();
    let mut session = Session::open_with(&gateway, &upstream, &with(&claims()), "");
    for frame in [
        Frame::text(r#"["1","1","room:red","phx_join",{}]"#),
        Frame::text(r#"{"topic":"room:red","event":"say","payload":{},"ref":"2"}"#),
        Frame::text(r#"[null,"3","phoenix","heartbeat",{}]"#),
        push("room:red", "upload"),
    ] {
        passes(&mut session, &frame);
    }
    let payload = |reason: &str| {
        let id = session.request_id();
        json!({ "status": "error", "response": { "reason": reason, "request_id": id } })
    };
    for (frame, reply) in [
        (
            Frame::text(r#"["1","1","room:blue","phx_join",{}]"#),
            json!(["1", "1", "room:blue", "phx_reply", payload("message.claim")]),
        ),
        (
            Frame::text(r#"{"topic":"room:red","event":"shout","payload":{},"ref":"2"}"#),
            json!({"topic": "room:red", "event": "phx_reply", "ref": "2", "payload": payload("message.type")}),
        ),
        (
            push("room:red", "close"),
            json!(["1", "2", "room:red", "phx_reply", payload("message.claim")]),
        ),
    ] {
        session.client.say(frame);
        let answer: Value = serde_json::from_slice(&session.client.read_frame().payload).unwrap();
        assert_eq!(answer, reply);
    }
    passes(&mut session, &push("room:red", "upload"));
}

#[test]
fn the_application_is_held_to_its_events() {
    let upstream = RawUpstream::bind();
    let replies = "[routes.app.replies]\nprotocol = \"phoenix\"\n\
                   [routes.app.replies.types.\"said room:*\"]\n";
    let gateway = guarded(&upstream, replies).start();
    let mut session = Session::open_with(&gateway, &upstream, &with(&claims()), "");
    for text in [
        r#"[null,null,"room:red","said",{}]"#,
        r#"[null,"3","phoenix","phx_reply",{"status":"ok","response":{}}]"#,
        r#"["1","1","room:red","phx_close",{}]"#,
    ] {
        session.upstream.say(Frame::text(text));
        session.client.expect_frame(Frame::text(text));
    }
    session.upstream.say(Frame::text(r#"[null,null,"room:red","secret",{}]"#));
    session.upstream.expect_closing(1008, "message.type");
    session.client.expect_closing(1014, "message.type");
}
