//! Applications and clients that nobody here wrote, with the gateway in between: Python
//! `websockets`, Node `ws`, tungstenite and curl.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::process::{Command, Output};

use serde_json::{Value, json};
use support::{Frame, Gateway, Peer, RawUpstream, Request, Tool, run_client, run_program};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocket};
use tokio_tungstenite::tungstenite::{Bytes, Message, client};

/// What the clients do when nothing is asked of them in particular, in their order.
const STEPS: [&str; 14] = [
    "text",
    "binary",
    "empty",
    "non_ascii",
    "large",
    "large_from_application",
    "fragments",
    "fragments_from_application",
    "ping",
    "ping_from_application",
    "many_in_order",
    "no_extension",
    "close_from_application",
    "close",
];

fn in_front_of(peer: &Peer) -> Gateway {
    Gateway::to(&[peer.address()]).route("origins = [\"*\"]").start()
}

fn run(client: Tool, gateway: &Gateway, target: &str, steps: &[&str]) -> Vec<Value> {
    let (url, ca) = (gateway.url("wss", target), gateway.ca_file());
    let fixed = [url.as_str(), ca.to_str().unwrap()];
    run_client(client, &[&fixed, steps].concat())
}

/// Every scenario of `client` against the echo of `application`, and what that saw of the ends.
fn everything(client: Tool, application: Tool) {
    let mut peer = Peer::start(application, "echo", &[]);
    let gateway = in_front_of(&peer);
    let steps = run(client, &gateway, "/ws", &[]);
    let names: Vec<_> = steps.iter().map(|step| step["step"].as_str().unwrap()).collect();
    assert_eq!(names, STEPS);
    assert!(steps.iter().all(|step| step["ok"] == true), "{steps:?}");

    let ends: Vec<_> = STEPS.iter().map(|_| peer.says()).collect();
    let plain = ends.iter().filter(|end| end["code"] == 1000).count();
    assert_eq!(plain, STEPS.len() - 2, "{ends:?}");
    for wanted in [json!({"code": 4001, "reason": "bye"}), json!({"code": 4002, "reason": "done"})]
    {
        assert!(ends.contains(&wanted), "{wanted} is missing: {ends:?}");
    }
    assert_eq!(gateway.error_records(), Vec::<Value>::new());
}

#[test]
#[ignore = "needs python websockets"]
fn python_to_python() {
    everything(Tool::Python, Tool::Python);
}

#[test]
#[ignore = "needs python websockets and node ws"]
fn python_to_node() {
    everything(Tool::Python, Tool::Node);
}

#[test]
#[ignore = "needs python websockets and node ws"]
fn node_to_python() {
    everything(Tool::Node, Tool::Python);
}

#[test]
#[ignore = "needs node ws"]
fn node_to_node() {
    everything(Tool::Node, Tool::Node);
}

fn negotiates_a_subprotocol(client: Tool, application: Tool) {
    let peer = Peer::start(application, "echo", &["--subprotocols"]);
    let gateway = in_front_of(&peer);
    let steps = run(client, &gateway, "/ws", &["subprotocol"]);
    assert_eq!(steps[0]["subprotocol"], "chat.v2");
    let opened = gateway.wait_for_record(|record| record["event"] == "session.opened");
    assert_eq!(opened["subprotocol"], "chat.v2");
}

#[test]
#[ignore = "needs python websockets"]
fn python_negotiates_a_subprotocol() {
    negotiates_a_subprotocol(Tool::Python, Tool::Python);
}

#[test]
#[ignore = "needs node ws"]
fn node_negotiates_a_subprotocol() {
    negotiates_a_subprotocol(Tool::Node, Tool::Node);
}

fn reads_a_refusal(client: Tool) {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    let steps = run(client, &gateway, "/elsewhere", &["refused"]);
    assert_eq!((&steps[0]["status"], &steps[0]["reason"]), (&json!(404), &json!("route.none")));
    upstream.received_nothing();
}

#[test]
#[ignore = "needs python websockets"]
fn python_reads_a_refusal() {
    reads_a_refusal(Tool::Python);
}

#[test]
#[ignore = "needs node ws"]
fn node_reads_a_refusal() {
    reads_a_refusal(Tool::Node);
}

#[test]
#[ignore = "needs python websockets and node ws"]
fn a_token_as_the_first_message_reaches_its_application() {
    let peer = Peer::start(Tool::Python, "welcome", &[]);
    let gateway = in_front_of(&peer);
    for client in [Tool::Python, Tool::Node] {
        let steps = run(client, &gateway, "/ws", &["first_message"]);
        assert_eq!(steps[0]["ok"], true);
    }
    let mut socket = tungstenite_client(&gateway);
    socket.send(Message::text("a token of nobody")).unwrap();
    let frame = CloseFrame { code: CloseCode::Library(4401), reason: "unknown token".into() };
    assert_eq!(socket.read().unwrap(), Message::Close(Some(frame)));
}

/// The client of docs/rolling-updates.md obeys a hint, and comes back earlier without one.
fn comes_back_when_it_is_told(client: Tool) {
    let peer = Peer::start(client, "echo", &[]);
    let waits = |hint: &str| {
        let lifetime = format!("max_lifetime = \"500ms\"\nretry_hint = \"{hint}\"");
        let gateway = Gateway::to(&[peer.address()]).websocket(&lifetime).start();
        let (url, ca) = (gateway.url("wss", "/ws"), gateway.ca_file());
        let told = run_program(client, "rolling", &[&url, ca.to_str().unwrap()]);
        told[0]["waited"].as_f64().unwrap()
    };
    let (hinted, alone) = (waits("4s..4s"), waits("off"));
    assert!(hinted >= 3.9 && alone < 3.0, "{hinted} s and {alone} s");
}

#[test]
#[ignore = "needs python websockets"]
fn python_comes_back_when_it_is_told() {
    comes_back_when_it_is_told(Tool::Python);
}

#[test]
#[ignore = "needs node ws"]
fn node_comes_back_when_it_is_told() {
    comes_back_when_it_is_told(Tool::Node);
}

fn tungstenite_client(gateway: &Gateway) -> WebSocket<support::Wire> {
    let url = gateway.url("wss", "/ws");
    let (socket, response) = client(url.as_str(), gateway.connect()).unwrap();
    assert_eq!(response.status(), 101);
    socket
}

fn tungstenite_to(application: Tool) {
    let mut peer = Peer::start(application, "echo", &[]);
    let gateway = in_front_of(&peer);
    let mut socket = tungstenite_client(&gateway);
    for message in [
        Message::text("hello"),
        Message::text(""),
        Message::text("Grüße, 世界"),
        Message::binary(vec![7; 1024 * 1024]),
        Message::binary(Bytes::new()),
    ] {
        socket.send(message.clone()).unwrap();
        assert_eq!(socket.read().unwrap(), message);
    }
    socket.send(Message::Ping("there".into())).unwrap();
    assert_eq!(socket.read().unwrap(), Message::Pong("there".into()));
    socket.send(Message::text("ping-me hi")).unwrap();
    assert_eq!(socket.read().unwrap(), Message::Ping("hi".into()));
    socket.flush().unwrap();
    assert_eq!(socket.read().unwrap(), Message::text("ponged hi"));
    let frame = CloseFrame { code: CloseCode::Library(4002), reason: "done".into() };
    socket.close(Some(frame.clone())).unwrap();
    assert_eq!(socket.read().unwrap(), Message::Close(Some(frame)));
    assert_eq!(peer.says(), json!({"code": 4002, "reason": "done"}));
}

#[test]
#[ignore = "needs python websockets"]
fn tungstenite_to_python() {
    tungstenite_to(Tool::Python);
}

#[test]
#[ignore = "needs node ws"]
fn tungstenite_to_node() {
    tungstenite_to(Tool::Node);
}

/// An application that dies while it is used: the client is told, by the name of the reason.
/// (tungstenite would show 1002 in place of 1014, which it does not know.)
#[test]
#[ignore = "needs python websockets and node ws"]
fn an_application_that_dies_is_lost() {
    for (client, application) in [(Tool::Python, Tool::Node), (Tool::Node, Tool::Python)] {
        let peer = Peer::start(application, "echo", &[]);
        let gateway = in_front_of(&peer);
        let steps = run(client, &gateway, "/ws", &["lost"]);
        let end = (&steps[0]["code"], &steps[0]["reason"]);
        assert_eq!(end, (&json!(1014), &json!("upstream.lost")));
    }
}

#[test]
#[ignore = "needs python websockets and node ws"]
fn an_upstream_gets_a_close_after_a_violation_of_the_client() {
    for tool in [Tool::Python, Tool::Node] {
        let mut peer = Peer::start(tool, "echo", &[]);
        let gateway = in_front_of(&peer);
        let mut client = gateway.connect();
        client.send_request(&Request::upgrade("/ws"));
        assert_eq!(client.read_head().status(), 101);
        client.say(Frame::text("hello"));
        client.expect_frame(Frame::text("hello"));
        client.send_frame(&Frame::text("unmasked"));
        client.expect_closing(1002, "frame.protocol");
        assert_eq!(peer.says(), json!({"code": 1001, "reason": "frame.protocol"}));
    }
}

fn curl(gateway: &Gateway, target: &str, arguments: &[&str]) -> Output {
    let resolve = format!("localhost:{}:127.0.0.1", gateway.address().port());
    Command::new("curl")
        .args(["--silent", "--show-error", "--http1.1", "--max-time", "20", "--cacert"])
        .arg(gateway.ca_file())
        .args(["--resolve", &resolve, "--write-out", "\n%{http_code}"])
        .args(arguments)
        .arg(gateway.url("https", target))
        .output()
        .unwrap()
}

/// The body, as JSON, and the status that curl saw.
fn answer(output: &Output) -> (Value, String) {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (serde_json::from_str(body).unwrap(), status.to_owned())
}

#[test]
#[ignore = "needs curl"]
fn curl_reads_why_it_was_refused() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    let upgrade = [
        "-HUpgrade: websocket",
        "-HConnection: Upgrade",
        "-HSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    let version = "-HSec-WebSocket-Version: 13";
    let evil = "-HOrigin: https://evil.example";
    let old = "-HSec-WebSocket-Version: 8";
    let cases: [(&str, Vec<&str>, &str, &str); 5] = [
        ("/ws", vec![], "426", "upgrade.required"),
        ("/elsewhere", [&upgrade[..], &[version]].concat(), "404", "route.none"),
        ("/ws", [&upgrade[..], &[version, evil]].concat(), "403", "origin.denied"),
        ("/ws", [&upgrade[..], &[old]].concat(), "426", "version"),
        ("/ws", vec!["--data", "a=b"], "405", "method"),
    ];
    for (target, arguments, status, reason) in cases {
        let output = curl(&gateway, target, &arguments);
        assert!(output.status.success(), "{reason}: {output:?}");
        let (problem, got) = answer(&output);
        assert_eq!((problem["reason"].as_str(), got.as_str()), (Some(reason), status));
        gateway.wait_for_record(|record| record["request_id"] == problem["request_id"]);
        let failed = curl(&gateway, target, &[&["--fail"], &arguments[..]].concat());
        assert_eq!(failed.status.code(), Some(22), "{reason}: an HTTP error is one to curl");
    }
    upstream.received_nothing();
}
