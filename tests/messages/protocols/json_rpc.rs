//! JSON-RPC.

use serde_json::{Value, json};

use super::super::support::{Frame, Peer, RawUpstream, Session, Tool};
use super::super::{guarded, passes, with};
use super::{example, in_front_of, run_client};

fn open(upstream: &RawUpstream, more: &str) -> (super::super::support::Gateway, Session) {
    let gateway = guarded(upstream, &format!("{}{more}", example("JSON-RPC"))).start();
    let claims = json!({ "rooms": ["red"], "role": "user" });
    let session = Session::open_with(&gateway, upstream, &with(&claims), "");
    (gateway, session)
}

fn call(method: &str, params: &Value, id: u32) -> Value {
    json!({ "jsonrpc": "2.0", "method": method, "params": params, "id": id })
}

/// The client says `message`; returns the answer of the gateway.
fn refused(session: &mut Session, message: &Value) -> Value {
    session.client.say(Frame::text(message.to_string()));
    serde_json::from_slice(&session.client.read_frame().payload).unwrap()
}

#[test]
fn a_refused_call_is_answered_with_an_error() {
    let upstream = RawUpstream::bind();
    let (_gateway, mut session) = open(&upstream, "");
    let (red, blue) = (json!({ "room": "red" }), json!({ "room": "blue" }));
    passes(&mut session, &Frame::text(call("say", &red, 1).to_string()));
    passes(&mut session, &Frame::text(json!([call("say", &red, 1)]).to_string()));
    passes(&mut session, &Frame::text(json!({"jsonrpc":"2.0","result":1,"id":1}).to_string()));
    for (message, reason) in [
        (call("say", &blue, 7), "message.claim"),
        (call("admin.stop", &json!([]), 7), "message.claim"),
        (call("other", &json!([]), 7), "message.type"),
    ] {
        let error = refused(&mut session, &message);
        assert_eq!((&error["id"], &error["error"]["message"]), (&json!(7), &json!(reason)));
    }
    let batch = json!([call("say", &red, 1), call("admin.stop", &json!([]), 2)]);
    let errors = refused(&mut session, &batch);
    assert_eq!(errors.as_array().unwrap().len(), 2, "{errors}");
    let six: Vec<_> = (0..6).map(|id| call("say", &red, id)).collect();
    let error = refused(&mut session, &json!(six));
    assert_eq!(error["error"]["code"], -32600);
    passes(&mut session, &Frame::text(call("say", &red, 1).to_string()));
}

#[test]
fn each_element_of_a_batch_is_charged() {
    let upstream = RawUpstream::bind();
    let rate = "[routes.app.messages.types.count]\nrate = \"3/h\"\n";
    let (_gateway, mut session) = open(&upstream, rate);
    let batch = |ids: &[u32]| {
        let calls: Vec<_> = ids.iter().map(|id| call("count", &json!([]), *id)).collect();
        json!(calls)
    };
    passes(&mut session, &Frame::text(batch(&[1, 2]).to_string()));
    let errors = refused(&mut session, &batch(&[3, 4]));
    assert_eq!(errors[0]["error"]["message"], "message.rate");
}

#[test]
#[ignore = "needs node rpc-websockets"]
fn rpc_websockets_rejects_refused_calls() {
    let mut peer = Peer::start(Tool::Node, "protocols/json_rpc_server", &[]);
    let more = "[routes.app.messages.types.tell]\n[routes.app.messages.types.\"rpc.on\"]\n";
    let gateway = in_front_of(&peer, "JSON-RPC", "/ws", more);
    assert_eq!(run_client(&gateway, "json_rpc_client", "/ws", &[]).len(), 5);
    // Nothing of what was refused.
    let called: Vec<_> = (0..8).map(|_| peer.says()).collect();
    let say = ["say"; 5];
    assert_eq!(called, [&say[..], &["tell", "say", "say"]].concat());
}
