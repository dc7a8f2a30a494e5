//! The token in the first message: the gateway answers the handshake itself, and nobody is dialled
//! before the token was verified.

use serde_json::json;

use super::support::{Frame, Gateway, Peer, RawUpstream, Request, Response, Tool, Wire};
use super::{guarded, now, sign, token};

fn start(upstream: &RawUpstream, lines: &str) -> Gateway {
    let lines = format!("token_from = [\"message\"]\n{lines}");
    guarded(upstream, &lines).route("subprotocols = [\"chat.v1\"]").start()
}

fn connect(gateway: &Gateway) -> (Wire, Response) {
    let mut client = gateway.connect();
    client.send_request(&Request::upgrade("/ws").and("Sec-WebSocket-Protocol", "chat.v1"));
    let response = client.read_head();
    assert_eq!(response.status(), 101);
    (client, response)
}

fn echoes(client: &mut Wire, application: &mut Wire) {
    client.say(Frame::text("there"));
    application.expect_frame(Frame::text("there"));
    application.say(Frame::text("and back"));
    client.expect_frame(Frame::text("and back"));
}

/// The client was told a subprotocol before there was an application: it can choose no other.
#[test]
fn the_upstream_is_offered_the_subprotocol_of_the_client() {
    let upstream = RawUpstream::bind();
    let gateway = guarded(&upstream, "token_from = [\"message\"]")
        .route("subprotocols = [\"chat.v1\", \"chat.v2\"]")
        .start();
    let mut client = gateway.connect();
    let request = Request::upgrade("/ws").and("Sec-WebSocket-Protocol", "v0, chat.v2, chat.v1");
    client.send_request(&request);
    assert_eq!(client.read_head().only("sec-websocket-protocol"), Some("chat.v2"));
    client.say(Frame::text(token("ada")));
    let (_application, request) = upstream.accept_upgrade("");
    assert_eq!(request.only("sec-websocket-protocol"), Some("chat.v2"));
}

#[test]
fn a_token_alone_or_in_an_envelope_opens_the_upstream() {
    let upstream = RawUpstream::bind();
    let gateway = start(&upstream, "forward = { \"X-User-Id\" = \"sub\" }");
    let envelope = json!({ "type": "auth", "token": token("ada") }).to_string();
    for message in [token("ada"), envelope] {
        let (mut client, response) = connect(&gateway);
        assert_eq!(response.only("sec-websocket-protocol"), Some("chat.v1"));
        client.say(Frame::ping("still there?"));
        client.expect_frame(Frame::pong("still there?"));
        upstream.received_nothing();
        client.say(Frame::text(&message));
        let (mut application, request) = upstream.accept_upgrade("");
        assert_eq!(request.only("x-user-id"), Some("ada"));
        assert_eq!(request.only("sec-websocket-protocol"), Some("chat.v1"));
        echoes(&mut client, &mut application);
    }
    let opened = gateway.wait_for_record(|record| record["event"] == "session.opened");
    assert_eq!(opened["upstream"], format!("ws://{}", upstream.address()));
}

#[test]
fn frames_sent_with_the_token_are_forwarded() {
    let upstream = RawUpstream::bind();
    let gateway = start(&upstream, "");
    let (mut client, _) = connect(&gateway);
    let frames = [Frame::text(token("ada")), Frame::text("one"), Frame::binary("two")];
    let bytes: Vec<u8> = frames.into_iter().flat_map(|frame| frame.masked(true).encode()).collect();
    client.send(&bytes);
    let (mut application, _) = upstream.accept_upgrade("");
    application.expect_frame(Frame::text("one"));
    application.expect_frame(Frame::binary("two"));
    echoes(&mut client, &mut application);
}

#[test]
fn the_first_message_is_forwarded_if_configured() {
    let upstream = RawUpstream::bind();
    let gateway = start(&upstream, "forward_token = true");
    let (mut client, _) = connect(&gateway);
    let token = token("ada");
    client.say(Frame::text(&token));
    let (mut application, _) = upstream.accept_upgrade("");
    application.expect_frame(Frame::text(&token));
    echoes(&mut client, &mut application);
}

#[track_caller]
fn closed_with(lines: &str, first: &[Frame], code: u16, reason: &str) {
    let upstream = RawUpstream::bind();
    let gateway = start(&upstream, lines);
    let (mut client, _) = connect(&gateway);
    for frame in first {
        client.send_frame(frame);
    }
    assert_eq!(client.expect_close(), (code, reason.to_owned()));
    upstream.received_nothing();
    let record = gateway.wait_for_record(|record| record["event"] == "refused");
    assert_eq!((&record["reason"], &record["code"]), (&json!(reason), &json!(code)));
}

#[test]
fn a_token_that_does_not_verify_closes() {
    let say = |text: &str| [Frame::text(text).masked(true)];
    closed_with("", &say("a.b.c"), 4401, "token.invalid");
    let over = sign(&json!({ "sub": "ada", "exp": now() - 100 }));
    closed_with("", &say(&over), 4401, "token.expired");
    closed_with("", &say(&json!([token("ada")]).to_string()), 4401, "token.invalid");
    let twice = format!("{{\"token\":\"x\",\"token\":\"{}\"}}", token("ada"));
    closed_with("", &say(&twice), 4401, "token.invalid");
    let denied = "require = { scope = \"chat\" }";
    closed_with(denied, &say(&token("ada")), 4403, "claims.denied");
}

#[test]
fn anything_but_a_text_message_closes() {
    closed_with("", &[Frame::binary("bytes").masked(true)], 4401, "token.invalid");
    closed_with("", &[Frame::text(token("ada")).masked(false)], 1002, "frame.protocol");
    let large = Frame::text("a".repeat(20_000)).masked(true);
    closed_with("", &[large], 1009, "message.too_big");
    closed_with("message_deadline = \"200ms\"", &[], 4408, "auth.timeout");
    let half = [Frame::text("half").unfinished().masked(true)];
    closed_with("message_deadline = \"200ms\"", &half, 4408, "auth.timeout");
}

#[test]
fn an_unavailable_upstream_is_reported_by_a_close() {
    let nobody = RawUpstream::unused_address();
    let upstream = RawUpstream::bind();
    let gateway = guarded(&upstream, "token_from = [\"message\"]").upstreams(&[nobody]).start();
    let mut client = gateway.connect();
    client.send_request(&Request::upgrade("/ws"));
    assert_eq!(client.read_head().status(), 101);
    client.say(Frame::text(token("ada")));
    assert_eq!(client.expect_close(), (1014, "upstream.unavailable".to_owned()));
}

#[test]
fn a_client_that_leaves_first_is_a_connection_error() {
    let upstream = RawUpstream::bind();
    let gateway = start(&upstream, "");
    let (mut client, _) = connect(&gateway);
    client.say(Frame::close(1000, ""));
    gateway.wait_for_record(|record| record["reason"] == "client.lost");
    upstream.received_nothing();
}

/// An application as people write them, which knows nothing of tokens, and what it answers to a
/// token and a message.
fn python_answers(lines: &str) -> (String, Vec<String>) {
    let peer = Peer::start(Tool::Python, "echo", &[]);
    let nobody = RawUpstream::bind();
    let lines = format!("token_from = [\"message\"]\n{lines}");
    let gateway = guarded(&nobody, &lines).upstreams(&[peer.address()]).start();
    let mut client = gateway.connect();
    client.send_request(&Request::upgrade("/ws"));
    assert_eq!(client.read_head().status(), 101);
    let token = token("ada");
    client.say(Frame::text(&token));
    client.say(Frame::text("hello"));
    let mut answers = Vec::new();
    while answers.last().is_none_or(|answer| answer != "hello") {
        answers.push(String::from_utf8(client.read_frame().payload).unwrap());
    }
    (token, answers)
}

#[test]
#[ignore = "needs python websockets"]
fn a_python_application_without_authentication_is_protected_by_the_gateway() {
    assert_eq!(python_answers("").1, ["hello"]);
}

#[test]
#[ignore = "needs python websockets"]
fn a_python_application_that_reads_the_first_message_gets_it() {
    let (token, answers) = python_answers("forward_token = true");
    assert_eq!(answers, [token, "hello".to_owned()]);
}

/// As graphql-ws sends it.
#[test]
fn message_token_sets_the_path_of_the_token() {
    let upstream = RawUpstream::bind();
    let lines = "message_token = \"/payload/token\"\nforward_token = true";
    let gateway = start(&upstream, lines);
    for value in [token("ada"), format!("Bearer {}", token("ada"))] {
        let init = json!({ "type": "connection_init", "payload": { "token": value } }).to_string();
        let (mut client, _) = connect(&gateway);
        client.say(Frame::text(&init));
        let (mut application, _) = upstream.accept_upgrade("");
        application.expect_frame(Frame::text(&init));
        echoes(&mut client, &mut application);
    }
    let elsewhere = json!({ "token": token("ada"), "payload": {} }).to_string();
    let list = json!([{ "payload": { "token": token("ada") } }]).to_string();
    for message in [token("ada"), elsewhere, list] {
        let (mut client, _) = connect(&gateway);
        client.say(Frame::text(&message));
        client.expect_closing(4401, "token.invalid");
    }
    upstream.received_nothing();
}

#[test]
fn a_first_message_is_bounded_by_max_token_and_its_envelope() {
    let upstream = RawUpstream::bind();
    let long = sign(&json!({ "sub": "ada", "exp": now() + 3600, "pad": "x".repeat(9 * 1024) }));
    let small = start(&upstream, "max_token = \"4KiB\"");
    let (mut client, _) = connect(&small);
    client.say(Frame::text(&long));
    client.expect_closing(1009, "message.too_big");
    let gateway = start(&upstream, "");
    let (mut client, _) = connect(&gateway);
    client.say(Frame::text(json!({ "token": long }).to_string()));
    let (mut application, _) = upstream.accept_upgrade("");
    echoes(&mut client, &mut application);
}
