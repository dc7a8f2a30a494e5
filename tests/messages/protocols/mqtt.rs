//! MQTT.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use serde_json::json;
use tempfile::TempDir;

use super::super::support::{
    Frame, Gateway, RawUpstream, Session, Tool, eventually, now, run_program, sign,
};
use super::super::{closes, guarded, passes, ruled, with};
use super::example;

fn open(upstream: &RawUpstream) -> (Gateway, Session) {
    let gateway = guarded(upstream, &example("MQTT")).start();
    let claims = json!({ "rooms": ["red"], "role": "user" });
    let session = Session::open_with(&gateway, upstream, &with(&claims), "");
    (gateway, session)
}

/// The same with a CONNECT of this version.
fn connected(upstream: &RawUpstream, version: u8) -> (Gateway, Session) {
    let (gateway, mut session) = open(upstream);
    passes(&mut session, &Frame::binary(connect(version, &[])));
    (gateway, session)
}

fn text(text: &str) -> Vec<u8> {
    [&u16::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat()
}

fn packet(first: u8, fields: &[&[u8]]) -> Vec<u8> {
    let fields = fields.concat();
    [&[first, u8::try_from(fields.len()).unwrap()], &fields[..]].concat()
}

fn connect(version: u8, will: &[u8]) -> Vec<u8> {
    let properties: &[u8] = if version == 5 { &[0] } else { &[] };
    let flags = if will.is_empty() { 2 } else { 6 };
    packet(0x10, &[&text("MQTT"), &[version, flags, 0, 60], properties, &text("ada"), will])
}

/// PUBLISH of version 5 with the packet identifier 7 and quality of service 1.
fn publish(topic: &str) -> Vec<u8> {
    packet(0x32, &[&text(topic), &[0, 7, 0], b"hello"])
}

/// SUBSCRIBE of version 5 with the packet identifier 9.
fn subscribe(filter: &str) -> Vec<u8> {
    packet(0x82, &[&[0, 9, 0], &text(filter), &[0]])
}

const PING: [u8; 2] = [0xc0, 0];

fn answers(session: &mut Session, sent: Vec<u8>, answer: &[u8]) {
    session.client.say(Frame::binary(sent));
    session.client.expect_frame(Frame::binary(answer));
    passes(session, &Frame::binary(PING));
}

#[test]
fn a_refused_packet_is_answered_in_its_version() {
    let upstream = RawUpstream::bind();
    let (_gateway, mut session) = connected(&upstream, 5);
    for sent in [
        publish("rooms/red"),
        subscribe("rooms/red/+/x"),
        packet(0x30, &[&text("rooms/red"), &[0]]),
    ] {
        passes(&mut session, &Frame::binary(sent));
    }
    let not_authorized = [0x90, 4, 0, 9, 0, 0x87];
    for filter in
        ["rooms/blue", "rooms/#", "#", "rooms/red/secret", "rooms/red/#", "$share/g/rooms/blue"]
    {
        answers(&mut session, subscribe(filter), &not_authorized);
    }
    answers(&mut session, publish("rooms/blue"), &[0x40, 3, 0, 7, 0x87]);
    let exactly_once = packet(0x34, &[&text("rooms/red"), &[0, 7, 0]]);
    answers(&mut session, exactly_once, &[0x50, 3, 0, 7, 0x83]);
    let retained = packet(0x33, &[&text("rooms/red"), &[0, 7, 0]]);
    answers(&mut session, retained, &[0x40, 3, 0, 7, 0x83]);
    let (_gateway, mut session) = connected(&upstream, 4);
    let subscribe = packet(0x82, &[&[0, 9], &text("rooms/red"), &[0], &text("rooms/blue"), &[0]]);
    answers(&mut session, subscribe, &[0x90, 4, 0, 9, 0x80, 0x80]);
    let publish = packet(0x32, &[&text("rooms/blue"), &[0, 7]]);
    closes(&mut session, &Frame::binary(publish), 4403, "message.claim");
}

#[test]
fn connect_and_its_will_are_judged() {
    let upstream = RawUpstream::bind();
    let (_gateway, mut session) = open(&upstream);
    let will = |topic: &str| [text(topic), text("gone")].concat();
    session.client.say(Frame::binary(connect(4, &will("rooms/blue"))));
    session.client.expect_frame(Frame::binary([0x20, 2, 0, 5]));
    let other = packet(0x10, &[&text("MQTT"), &[4, 2, 0, 60], &text("eve")]);
    session.client.say(Frame::binary(other));
    session.client.expect_frame(Frame::binary([0x20, 2, 0, 5]));
    passes(&mut session, &Frame::binary(connect(4, &will("rooms/red"))));
    closes(&mut session, &Frame::binary(connect(4, &[])), 1007, "message.structure");
}

#[test]
fn a_packet_in_parts_is_held_until_it_is_judged() {
    let upstream = RawUpstream::bind();
    let (gateway, mut session) = open(&upstream);
    let say = |session: &mut Session, packet: &[u8]| {
        let parts: Vec<_> = packet.chunks(3).map(Frame::binary).collect();
        for part in &parts {
            session.client.say(part.clone());
        }
        parts
    };
    for packet in [connect(5, &[]), publish("rooms/red")] {
        let parts = say(&mut session, &packet);
        for part in parts {
            session.upstream.expect_frame(part);
        }
    }
    say(&mut session, &publish("rooms/blue"));
    session.client.expect_frame(Frame::binary([0x40, 3, 0, 7, 0x87]));
    passes(&mut session, &Frame::binary(PING));
    // A message may have several packets; none of them can be taken out.
    passes(&mut session, &Frame::binary([&publish("rooms/red")[..], &PING].concat()));
    let refused = [&PING, &publish("rooms/blue")[..]].concat();
    closes(&mut session, &Frame::binary(refused), 4403, "message.claim");
    let ended = gateway.wait_for_record(|record| record["event"] == "session.ended");
    let sent = connect(5, &[]).len().div_ceil(3) + publish("rooms/red").len().div_ceil(3) + 2;
    assert_eq!(ended["client_messages"], sent, "{ended}");
}

#[test]
fn the_end_of_a_packet_that_has_begun_closes() {
    let upstream = RawUpstream::bind();
    let (_gateway, mut session) = connected(&upstream, 5);
    let bad = publish("rooms/blue");
    passes(&mut session, &Frame::binary([&PING, &bad[..5]].concat()));
    closes(&mut session, &Frame::binary(&bad[5..]), 4403, "message.claim");
}

#[test]
fn what_is_no_mqtt_closes() {
    let upstream = RawUpstream::bind();
    for frame in [
        Frame::text("hello"),
        Frame::binary([0x32, 4, 0, 9]),
        Frame::binary(packet(0x30, &[&text("rooms/+"), &[0]])),
        Frame::binary([0xd0, 0]),
    ] {
        let (_gateway, mut session) = connected(&upstream, 5);
        if frame.payload[0] == 0x32 {
            session.client.say(frame.clone());
            let rest = Frame::binary([0xff, 0xff]);
            closes(&mut session, &rest, 1007, "message.structure");
        } else {
            closes(&mut session, &frame, 1007, "message.structure");
        }
    }
    let (_gateway, mut session) = open(&upstream);
    closes(&mut session, &Frame::binary(PING), 1007, "message.structure");
    let (_gateway, mut session) = connected(&upstream, 5);
    // A packet of 128 KiB.
    closes(&mut session, &Frame::binary([0x30, 0x80, 0x80, 0x08]), 1009, "message.too_big");
}

#[test]
fn packets_of_the_broker_are_read_in_the_version_of_the_client() {
    let upstream = RawUpstream::bind();
    let (_gateway, mut session) = connected(&upstream, 5);
    let connack = Frame::binary([0x20, 3, 0, 0, 0]);
    for frame in [connack, Frame::binary(packet(0x30, &[&text("rooms/red"), &[0], b"x"]))] {
        session.upstream.say(frame.clone());
        session.client.expect_frame(frame);
    }
    // Without properties.
    session.upstream.say(Frame::binary([0x90, 3, 0, 9, 0x80]));
    session.client.expect_closing(1014, "message.structure");
}

#[test]
fn a_session_that_began_before_its_rules_is_closed() {
    let upstream = RawUpstream::bind();
    let gateway = ruled(&upstream, "[routes.app.messages]\nkinds = [\"binary\"]").start();
    let mut session = Session::open(&gateway, &upstream);
    passes(&mut session, &Frame::binary(connect(5, &[])));
    gateway.rewrite(|text| text.replace("kinds = [\"binary\"]", "protocol = \"mqtt\""));
    gateway.hang_up("reloaded");
    closes(&mut session, &Frame::binary(PING), 1007, "message.structure");
    // For the broker this CONNECT would be the payload of the packet that was begun before.
    gateway.rewrite(|text| text.replace("protocol = \"mqtt\"", "kinds = [\"binary\"]"));
    gateway.hang_up("reloaded");
    let mut session = Session::open(&gateway, &upstream);
    passes(&mut session, &Frame::binary(connect(5, &[])));
    passes(&mut session, &Frame::binary(&publish("rooms/red")[..4]));
    gateway.rewrite(|text| text.replace("kinds = [\"binary\"]", "protocol = \"mqtt\""));
    gateway.hang_up("reloaded");
    closes(&mut session, &Frame::binary(connect(5, &[])), 1007, "message.structure");
    // One that began with them continues, also within a packet.
    let mut session = Session::open(&gateway, &upstream);
    passes(&mut session, &Frame::binary(connect(5, &[])));
    let sent = subscribe("rooms/red");
    session.client.say(Frame::binary(&sent[..4]));
    session.client.say(Frame::ping("held"));
    session.upstream.expect_frame(Frame::ping("held"));
    gateway.rewrite(|text| text.replace("\"mqtt\"", "\"mqtt\"\nmax_qos = 0"));
    gateway.hang_up("reloaded");
    session.client.say(Frame::binary(&sent[4..]));
    session.upstream.expect_frame(Frame::binary(&sent[..4]));
    session.upstream.expect_frame(Frame::binary(&sent[4..]));
    let above = packet(0x82, &[&[0, 9, 0], &text("rooms/red"), &[1]]);
    closes(&mut session, &Frame::binary(above), 1007, "message.structure");
}

/// For the broker the second CONNECT would be the payload of the packet that was begun before.
#[test]
fn a_session_that_began_without_rules_is_closed() {
    let upstream = RawUpstream::bind();
    let gateway = ruled(&upstream, "").start();
    let mut session = Session::open(&gateway, &upstream);
    passes(&mut session, &Frame::binary(connect(5, &[])));
    passes(&mut session, &Frame::binary(&publish("rooms/red")[..4]));
    gateway.rewrite(|text| format!("{text}\n[routes.app.messages]\nprotocol = \"mqtt\"\n"));
    gateway.hang_up("reloaded");
    closes(&mut session, &Frame::binary(connect(5, &[])), 1007, "message.structure");
}

/// EMQX subscribes to `secret/#` for it.
#[test]
fn a_topic_with_a_meaning_of_its_own_must_be_listed() {
    let upstream = RawUpstream::bind();
    let rules = "[routes.app.messages]\nprotocol = \"mqtt\"\nunlisted = \"allow\"\n\
        [routes.app.messages.types.\"subscribe secret/#\"]\nrate = \"9/m\"";
    let gateway = ruled(&upstream, rules).start();
    let mut session = Session::open(&gateway, &upstream);
    passes(&mut session, &Frame::binary(connect(5, &[])));
    passes(&mut session, &Frame::binary(subscribe("other")));
    closes(&mut session, &Frame::binary(subscribe("$queue/secret/#")), 1008, "message.type");
}

/// Neither piece matches the pattern by itself, and the payload is not UTF-8.
#[test]
fn a_pattern_is_found_across_the_pieces_of_a_packet() {
    let upstream = RawUpstream::bind();
    let rules = "[routes.app.messages]\nprotocol = \"mqtt\"\ndeny_patterns = [\"<script\"]";
    let gateway = ruled(&upstream, rules).start();
    let mut session = Session::open(&gateway, &upstream);
    passes(&mut session, &Frame::binary(connect(5, &[])));
    let sent = packet(0x30, &[&text("a"), &[0], b"<script>\xff"]);
    session.client.say(Frame::binary(&sent[..10]));
    session.client.say(Frame::binary(&sent[10..]));
    session.client.expect_closing(1008, "message.pattern");
    session.upstream.expect_closing(1001, "message.pattern");
}

/// A broker; dropping it kills the process.
struct Mosquitto {
    child: Child,
    port: u16,
    _folder: TempDir,
}

impl Mosquitto {
    fn start() -> Self {
        let [port, plain] = [(); 2]
            .map(|()| TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port());
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("mosquitto.conf");
        let text = format!(
            "listener {port} 127.0.0.1\nprotocol websockets\nlistener {plain} 127.0.0.1\nallow_anonymous true\n"
        );
        fs::write(&file, text).unwrap();
        let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap());
        let child = Command::new("mosquitto")
            .args(["-c", file.to_str().unwrap()])
            .env("PATH", path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let listens = || TcpStream::connect(("127.0.0.1", port)).ok();
        eventually(listens).expect("mosquitto listens");
        Self { child, port, _folder: folder }
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[ignore = "needs mosquitto and node mqtt"]
fn mqtt_js_gets_an_error_for_a_refused_packet() {
    let broker = Mosquitto::start();
    let address = ([127, 0, 0, 1], broker.port).into();
    let issuer = "[jwt.main]\nalgorithms = [\"HS256\"]\nsecret = \"file:secret\"";
    let rules = example("MQTT")
        .replace("max_qos = 1\n", "")
        .replace("protocol = \"mqtt\"\n", "protocol = \"mqtt\"\nmax_size = \"512KiB\"\n")
        .replace("retain = \"refuse\"\n", "")
        .replace(
            "require_in = { sub = \"/client_id\" }\n",
            "require_in = { clients = \"/client_id\" }\n",
        );
    let gateway = Gateway::to(&[address])
        .prepare(super::super::write_files)
        .route("subprotocols = [\"mqtt\"]")
        .more(&rules)
        .auth("main")
        .more(issuer)
        .start();
    let claims = json!({ "sub": "ada", "exp": now() + 600, "rooms": ["red"], "clients": ["a", "b"], "role": "user" });
    let (url, ca) = (gateway.url("wss", "/ws"), gateway.ca_file());
    for version in ["4", "5"] {
        let arguments = [url.as_str(), ca.to_str().unwrap(), &sign(&claims), version];
        let steps = run_program(Tool::Node, "protocols/mqtt_client", &arguments);
        assert!(steps.iter().all(|step| step["ok"] == true), "{steps:?}");
        assert_eq!(steps.len(), 6);
    }
    let records = gateway.log_records();
    let refused = records.iter().filter(|record| record["event"] == "message.refused");
    assert!(
        refused.clone().count() > 0
            && refused.clone().all(|record| record["reason"] == "message.claim")
    );
}
