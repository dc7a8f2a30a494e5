//! The token in the message that opens a protocol: it opens the upstream, and is taken out of the message.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::support::{
    Frame, Gateway, Peer, RawUpstream, Request, Tool, Wire, eventually, run_program, sign_with,
};
use super::{guarded, now, token};

fn connect(gateway: &Gateway) -> Wire {
    let mut client = gateway.connect();
    client.send_request(&Request::upgrade("/ws"));
    assert_eq!(client.read_head().status(), 101);
    client
}

/// What the client says, and what the application then gets.
struct Case {
    place: &'static str,
    said: Frame,
    forwarded: Frame,
}

fn cases(token: &str) -> Vec<Case> {
    let init = json!({ "type": "connection_init", "payload": { "token": token, "room": "red" } });
    let left = json!({ "type": "connection_init", "payload": { "room": "red" } });
    let stomp = |passcode: &str| format!("CONNECT\naccept-version:1.2\n{passcode}host:x\n\n\0");
    vec![
        Case {
            place: "connection_init:token",
            said: Frame::text(init.to_string()),
            forwarded: Frame::text(left.to_string()),
        },
        Case {
            place: "stomp:passcode",
            said: Frame::text(stomp(&format!("passcode:Bearer {token}\n"))),
            forwarded: Frame::text(stomp("")),
        },
        Case {
            place: "stomp:passcode",
            said: Frame::binary(stomp(&format!("passcode:{token}\n"))),
            forwarded: Frame::binary(stomp("")),
        },
        Case {
            place: "mqtt",
            said: Frame::binary(mqtt(Some(token))),
            forwarded: Frame::binary(mqtt(None)),
        },
    ]
}

/// A CONNECT packet of MQTT 3.1.1 of the user `ada`.
fn mqtt(password: Option<&str>) -> Vec<u8> {
    let mut body = b"\0\x04MQTT\x04".to_vec();
    body.push(if password.is_some() { 0xc2 } else { 0x82 });
    body.extend(b"\0\x3c\0\x02id\0\x03ada");
    if let Some(password) = password {
        body.extend(u16::try_from(password.len()).unwrap().to_be_bytes());
        body.extend(password.as_bytes());
    }
    let mut packet = vec![0x10];
    match body.len() {
        short @ ..128 => packet.push(u8::try_from(short).unwrap()),
        long => {
            packet.extend([
                u8::try_from(long % 128).unwrap() | 0x80,
                u8::try_from(long / 128).unwrap(),
            ]);
        }
    }
    packet.extend(body);
    packet
}

#[test]
fn the_token_is_taken_out_of_the_opening_message() {
    let upstream = RawUpstream::bind();
    for Case { place, said, forwarded } in cases(&token("ada")) {
        let gateway = guarded(&upstream, &format!("token_from = [\"{place}\"]")).start();
        let mut client = connect(&gateway);
        upstream.received_nothing();
        client.send(
            &[said.masked(true).encode(), Frame::text("next").masked(true).encode()].concat(),
        );
        let (mut application, _) = upstream.accept_upgrade("");
        application.expect_frame(forwarded);
        application.expect_frame(Frame::text("next"));
        let opened = gateway.wait_for_record(|record| record["event"] == "session.opened");
        assert_eq!(opened["user"], "ada", "{place}");
    }
}

#[test]
fn with_forward_token_the_opening_message_is_forwarded_as_it_came() {
    let upstream = RawUpstream::bind();
    for Case { place, said, .. } in cases(&token("ada")) {
        let lines = format!("token_from = [\"{place}\"]\nforward_token = true");
        let gateway = guarded(&upstream, &lines).start();
        let mut client = connect(&gateway);
        client.say(said.clone());
        let (mut application, _) = upstream.accept_upgrade("");
        application.expect_frame(said);
    }
}

#[test]
fn another_opening_message_is_refused_before_there_is_an_upstream() {
    let upstream = RawUpstream::bind();
    let other = sign_with(
        b"another secret that is as long as it must be",
        &json!({ "sub": "eve", "exp": now() + 600 }),
    );
    for Case { place, said, .. } in cases(&other) {
        let gateway = guarded(&upstream, &format!("token_from = [\"{place}\"]")).start();
        for first in [said, Frame::text("hello"), Frame::binary("hello"), Frame::text("{}")] {
            let mut client = connect(&gateway);
            client.say(first);
            client.expect_closing(4401, "token.invalid");
        }
        upstream.received_nothing();
    }
}

#[test]
fn a_connect_packet_of_mqtt_may_be_split_over_messages() {
    let upstream = RawUpstream::bind();
    let gateway = guarded(&upstream, "token_from = [\"mqtt\"]\nmax_token = \"1KiB\"").start();
    let packet = mqtt(Some(&token("ada")));
    let mut client = connect(&gateway);
    for piece in [&packet[..1], &packet[1..2], &packet[2..40], &packet[40..]] {
        upstream.received_nothing();
        client.say(Frame::binary(piece));
    }
    let (mut application, _) = upstream.accept_upgrade("");
    application.expect_frame(Frame::binary(mqtt(None)));
    // A packet that does not end within max_token and 1 KiB is refused.
    let mut client = connect(&gateway);
    client.say(Frame::binary(b"\x10\xff\x7f"));
    for _ in 0..3 {
        client.say(Frame::binary([0; 1000]));
    }
    client.expect_closing(1009, "message.too_big");
    // Neither do messages without an end that bring it no nearer.
    let mut client = connect(&gateway);
    client.say(Frame::binary(b"\x10\xff"));
    for _ in 0..70 {
        client.say(Frame::binary(b""));
    }
    client.expect_closing(4401, "token.invalid");
}

/// A client of Socket.IO awaits the packet OPEN before it says anything; that of the application comes later.
#[test]
fn the_gateway_opens_engine_io_itself() {
    let upstream = RawUpstream::bind();
    let gateway = guarded(&upstream, "token_from = [\"socketio:token\"]").start();
    let mut client = connect(&gateway);
    let open = client.read_frame();
    assert!(open.payload.starts_with(b"0{\"sid\":"), "{open:?}");
    upstream.received_nothing();
    let auth = json!({ "token": token("ada"), "room": "red" });
    client.say(Frame::text(format!("40/admin,{auth}")));
    let (mut application, _) = upstream.accept_upgrade("");
    application.say(Frame::text("0{\"sid\":\"x\",\"upgrades\":[]}"));
    application.expect_frame(Frame::text("40/admin,{\"room\":\"red\"}"));
    application.say(Frame::text("40/admin,{\"sid\":\"y\"}"));
    client.expect_frame(Frame::text("40/admin,{\"sid\":\"y\"}"));

    let mut client = connect(&gateway);
    client.read_frame();
    client.say(Frame::text(format!("40{auth}")));
    let (mut application, _) = upstream.accept_upgrade("");
    application.say(Frame::text("hello"));
    client.expect_closing(1014, "upstream.protocol");
}

/// What is left of the opening meets the rules of the route: here a namespace that no type lists.
#[test]
fn the_rest_of_the_opening_is_judged() {
    let upstream = RawUpstream::bind();
    let rules = "[routes.app.messages]\nprotocol = \"socketio\"\n[routes.app.messages.types.say]";
    let gateway = guarded(&upstream, "token_from = [\"socketio:token\"]").more(rules).start();
    let mut client = gateway.connect();
    client.send_request(&Request::upgrade("/ws?EIO=4&transport=websocket"));
    assert_eq!(client.read_head().status(), 101);
    client.read_frame();
    client.say(Frame::text(format!("40/admin,{}", json!({ "token": token("ada") }))));
    let (mut application, _) = upstream.accept_upgrade("");
    application.say(Frame::text("0{\"sid\":\"x\",\"upgrades\":[]}"));
    client.expect_closing(1008, "message.type");
}

/// A real client opens a session with a token, on a route that judges what it says after it.
fn opens(place: &str, path: &str, library: &str, upstream: SocketAddr) -> Value {
    let application = RawUpstream::bind();
    let lines = format!("token_from = [\"{place}\"]");
    let protocol = match place.split_once(':') {
        Some(("connection_init", _)) => "graphql-ws",
        Some((protocol, _)) => protocol,
        None => place,
    };
    let rules = format!("[routes.app.messages]\nprotocol = \"{protocol}\"");
    let mut gateway = guarded(&application, &lines).upstreams(&[upstream]).path(path).more(&rules);
    let names = "[\"graphql-transport-ws\", \"graphql-ws\", \"v12.stomp\", \"mqtt\"]";
    if library != "socket.io" {
        gateway = gateway.route(&format!("subprotocols = {names}"));
    }
    let gateway = gateway.start();
    let (url, ca) = (gateway.url("wss", path), gateway.ca_file());
    let run = |token: &str| {
        let arguments = [library, &url, ca.to_str().unwrap(), token];
        run_program(Tool::Node, "opening_client", &arguments).remove(0)
    };
    let other = sign_with(
        b"another secret that is as long as it must be",
        &json!({ "sub": "eve", "exp": now() + 600 }),
    );
    let refused = run(&other);
    assert!(refused["error"].is_string(), "{library}: {refused}");
    let opened = run(&token("ada"));
    assert_eq!(opened, json!({ "hello": "world" }), "{library}: {:?}", gateway.log_records());
    opened
}

#[test]
#[ignore = "needs node graphql-ws, subscriptions-transport-ws, socket.io, stompjs and stomp-broker-js"]
fn clients_of_each_protocol_hand_in_a_token() {
    for (library, place, path) in [
        ("graphql-ws", "connection_init:token", "/ws"),
        ("subscriptions-transport-ws", "connection_init:token", "/ws"),
        ("socket.io", "socketio:token", "/socket.io/"),
        ("stomp", "stomp:passcode", "/ws"),
    ] {
        let mut peer = Peer::start(Tool::Node, "opening_server", &[library]);
        opens(place, path, library, peer.address());
        let opening = peer.says().to_string();
        assert!(!opening.contains("token") && !opening.contains("passcode"), "{opening}");
    }
}

/// A broker of MQTT; dropping it ends the process.
struct Broker {
    child: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl Broker {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let free = || {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap()
        };
        let (address, plain) = (free(), free());
        let lines = format!(
            "listener {} 127.0.0.1\nprotocol websockets\nlistener {} 127.0.0.1\nallow_anonymous true\n",
            address.port(),
            plain.port()
        );
        let file = folder.path().join("mosquitto.conf");
        std::fs::write(&file, lines).unwrap();
        let child = Command::new("/usr/sbin/mosquitto")
            .arg("-c")
            .arg(&file)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let broker = Self { child, address, _folder: folder };
        eventually(|| std::net::TcpStream::connect(address).ok()).expect("the broker listens");
        broker
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[ignore = "needs mosquitto and node mqtt"]
fn clients_of_mqtt_hand_in_a_token_as_password() {
    let broker = Broker::start();
    for library in ["mqtt4", "mqtt5"] {
        opens("mqtt", "/ws", library, broker.address);
    }
}
