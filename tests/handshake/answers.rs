//! The application's answers. Only a 101 that RFC 6455 section 4.1 accepts opens a session; a
//! gateway that looks at the status alone is a tunnel to whatever is behind it.

use std::io::Write;

use socket2::{Domain, Socket, Type};

use super::support::{ACCEPT, Frame, Gateway, RawUpstream, Request, Response, Session, Wire};

/// The client's answer when the application answers with `answer`, in which `ACCEPT` stands for
/// the right one. Both connections must end.
fn answered(answer: &str) -> (Gateway, Response) {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    let mut client = gateway.connect();
    client.send_request(&Request::upgrade("/ws"));
    let mut application = upstream.accept();
    let request = application.read_head();
    let key = request.only("sec-websocket-key").unwrap();
    let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
    application.send(answer.replace("ACCEPT", &accept).as_bytes());
    // Behind a refused handshake, nothing of the client's may reach the application.
    let response = client.read_response();
    assert_ne!(response.status(), 101, "{answer:?} was taken for an upgrade");
    client.expect_eof();
    let after = application.expect_gone();
    assert!(after.is_empty(), "behind the head: {after:?}");
    (gateway, response)
}

#[track_caller]
fn bad_gateway(answer: &str) {
    let (gateway, response) = answered(answer);
    gateway.check_refusal(&response, 502, "upstream.handshake");
    gateway.wait_for_error(|record| record["reason"] == "upstream.handshake");
}

const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\n";
const UPGRADE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\n";

#[test]
fn an_answer_without_accept_is_a_bad_gateway() {
    bad_gateway(&format!("{SWITCHING}{UPGRADE}\r\n"));
}

#[test]
fn an_answer_with_a_wrong_accept_is_a_bad_gateway() {
    let wrong = "AAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    bad_gateway(&format!("{SWITCHING}{UPGRADE}Sec-WebSocket-Accept: {wrong}\r\n\r\n"));
}

#[test]
fn an_accept_that_belongs_to_another_key_is_a_bad_gateway() {
    // The gateway has a key of its own, or the client's: either way this one is of no request.
    let other = ACCEPT.to_lowercase();
    bad_gateway(&format!("{SWITCHING}{UPGRADE}Sec-WebSocket-Accept: {other}\r\n\r\n"));
}

#[test]
fn an_accept_given_twice_is_a_bad_gateway() {
    let accept = "Sec-WebSocket-Accept: ACCEPT\r\n";
    bad_gateway(&format!("{SWITCHING}{UPGRADE}{accept}{accept}\r\n"));
}

#[test]
fn a_success_is_not_an_upgrade() {
    for status in ["200 OK", "204 No Content", "206 Partial Content"] {
        bad_gateway(&format!("HTTP/1.1 {status}\r\n{UPGRADE}Sec-WebSocket-Accept: ACCEPT\r\n\r\n"));
    }
}

#[test]
fn another_informational_answer_is_a_bad_gateway() {
    let valid = format!("{SWITCHING}{UPGRADE}Sec-WebSocket-Accept: ACCEPT\r\n\r\n");
    for status in ["100 Continue", "102 Processing", "103 Early Hints"] {
        bad_gateway(&format!("HTTP/1.1 {status}\r\n\r\n{valid}"));
    }
}

/// Nothing comes behind it, so that only its own refusal can end the handshake before its deadline.
#[test]
fn the_first_informational_answer_ends_the_handshake() {
    for status in ["100 Continue", "102 Processing", "103 Early Hints", "104 Upload", "199 Other"] {
        let (gateway, response) = answered(&format!("HTTP/1.1 {status}\r\nX: 1\r\n\r\n"));
        gateway.check_refusal(&response, 502, "upstream.handshake");
        let record = gateway.wait_for_error(|record| record["reason"] == "upstream.handshake");
        assert!(record["detail"].as_str().unwrap().contains(&status[..3]), "{record}");
    }
}

#[test]
fn informational_answers_without_end_are_not_read() {
    const MOST: usize = 64 << 20;
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    let mut client = gateway.connect();
    client.send_request(&Request::upgrade("/ws"));
    let mut application = upstream.accept();
    application.read_head();
    let answers = b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(4096);
    let mut sent = 0;
    while sent < MOST && application.write_all(&answers).is_ok() {
        sent += answers.len();
    }
    assert!(sent < MOST, "the gateway hangs up long before");
    gateway.check_refusal(&client.read_response(), 502, "upstream.handshake");
}

#[test]
fn an_upgrade_to_another_protocol_is_a_bad_gateway() {
    let accept = "Sec-WebSocket-Accept: ACCEPT\r\n";
    for fields in [
        "Upgrade: h2c\r\nConnection: Upgrade\r\n",
        "Upgrade: websocket, h2c\r\nConnection: Upgrade\r\n",
        "Connection: Upgrade\r\n",
        "Upgrade: websocket\r\n",
        "Upgrade: websocket\r\nConnection: keep-alive\r\n",
    ] {
        bad_gateway(&format!("{SWITCHING}{fields}{accept}\r\n"));
    }
}

/// RFC 9110 section 5.6.1.2: nothing was chosen.
#[test]
fn an_answer_may_have_lists_with_empty_elements() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).websocket("compression = \"inspect\"").start();
    let request = Request::upgrade("/ws")
        .and("Sec-WebSocket-Protocol", "chat.v1")
        .and("Sec-WebSocket-Extensions", "permessage-deflate");
    let nothing = Vec::<&str>::new();
    for (fields, chosen) in [
        ("Sec-WebSocket-Extensions: \r\n", &nothing[..]),
        ("Sec-WebSocket-Extensions: ,\r\nSec-WebSocket-Protocol: \r\n", &nothing),
        ("Connection: ,\r\nUpgrade: ,\r\nSec-WebSocket-Protocol: ,chat.v1,\r\n", &["chat.v1"]),
    ] {
        let mut session = Session::open_with(&gateway, &upstream, &request, fields);
        assert_eq!(session.response.all("sec-websocket-protocol"), chosen, "{fields:?}");
        assert_eq!(session.response.all("sec-websocket-extensions"), nothing, "{fields:?}");
        session.prove_alive();
    }
}

#[test]
fn a_subprotocol_or_extension_that_was_not_offered_is_a_bad_gateway() {
    for field in
        ["Sec-WebSocket-Protocol: chat.v1\r\n", "Sec-WebSocket-Extensions: permessage-deflate\r\n"]
    {
        bad_gateway(&format!("{SWITCHING}{UPGRADE}Sec-WebSocket-Accept: ACCEPT\r\n{field}\r\n"));
    }
}

#[test]
fn noise_is_a_bad_gateway() {
    bad_gateway("SSH-2.0-OpenSSH_9.2\r\n\r\n");
    bad_gateway("HTTP/1.1 101 Switching Protocols\r\nUpgrade websocket\r\n\r\n");
}

#[test]
fn a_refusal_of_the_application_is_relayed() {
    let (_gateway, response) = answered(
        "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nX-Why: members only\r\n\
         Keep-Alive: timeout=5\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\n\
         Content-Length: 12\r\n\r\nmembers only",
    );
    assert_eq!(response.status(), 403);
    assert_eq!(response.body, b"members only");
    assert_eq!(response.only("x-why"), Some("members only"));
    assert_eq!(response.only("connection").map(str::to_lowercase).as_deref(), Some("close"));
    for hop in ["keep-alive", "x-hop", "upgrade"] {
        assert_eq!(response.all(hop), Vec::<&str>::new());
    }
}

/// RFC 6455 section 4.4 and RFC 9110 section 15.5.22.
#[test]
fn a_version_refusal_lists_the_supported_versions() {
    let versions = "Sec-WebSocket-Version: 13, 8\r\nSec-WebSocket-Version: 7\r\n";
    let rest = "Sec-WebSocket-Accept: x\r\nContent-Length: 0\r\n\r\n";
    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\n";
    let (_gateway, response) =
        answered(&format!("HTTP/1.1 426 Upgrade Required\r\n{upgrade}{versions}{rest}"));
    assert_eq!(response.status(), 426);
    assert_eq!(response.all("sec-websocket-version"), ["13, 8", "7"]);
    assert_eq!(response.only("upgrade"), Some("websocket"));
    assert_eq!(response.only("connection"), Some("upgrade, close"));
    assert_eq!(response.all("sec-websocket-accept"), Vec::<&str>::new());
    let (_gateway, response) =
        answered(&format!("HTTP/1.1 400 Bad Request\r\n{upgrade}{versions}{rest}"));
    assert_eq!(response.all("sec-websocket-version"), ["13, 8", "7"]);
    assert_eq!((response.only("upgrade"), response.only("connection")), (None, Some("close")));
}

#[test]
fn a_cut_body_of_a_refusal_is_logged() {
    const MOST: usize = 64 * 1024;
    for (length, cut) in [(MOST, false), (MOST + 1, true), (3 * MOST, true)] {
        let body = "x".repeat(length);
        let head = "HTTP/1.1 500 Internal Server Error\r\n";
        let answer = format!("{head}Content-Length: {length}\r\n\r\n{body}");
        let upstream = RawUpstream::bind();
        let gateway = Gateway::to(&[upstream.address()]).start();
        let mut client = gateway.connect();
        client.send_request(&Request::upgrade("/ws"));
        let mut application = upstream.accept();
        application.read_head();
        // The gateway may hang up before it took the rest.
        let _ = application.try_send(answer.as_bytes());
        assert_eq!(client.read_response().body.len(), MOST);
        let record = gateway.wait_for_record(|record| record["event"] == "answered");
        assert_eq!(record.get("body_cut"), cut.then_some(&true.into()), "{length}: {record}");
    }
}

#[test]
fn a_redirect_and_a_failure_are_relayed() {
    let (_gateway, response) = answered(
        "HTTP/1.1 302 Found\r\nLocation: https://login.example/\r\nContent-Length: 0\r\n\r\n",
    );
    assert_eq!(
        (response.status(), response.only("location")),
        (302, Some("https://login.example/"))
    );
    let (_gateway, response) =
        answered("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\n\r\noops");
    assert_eq!((response.status(), response.body.as_slice()), (500, &b"oops"[..]));
}

#[test]
fn the_chosen_subprotocol_crosses() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    let request = Request::upgrade("/ws")
        .and("Sec-WebSocket-Protocol", "chat.v1, chat.v2")
        .and("Sec-WebSocket-Protocol", "chat.v3");
    let fields = "Sec-WebSocket-Protocol: chat.v3\r\n";
    let session = Session::open_with(&gateway, &upstream, &request, fields);
    assert_eq!(session.request.only("sec-websocket-protocol"), Some("chat.v1, chat.v2, chat.v3"));
    assert_eq!(session.response.only("sec-websocket-protocol"), Some("chat.v3"));
}

#[test]
fn only_listed_subprotocols_are_offered_on() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()])
        .route("subprotocols = [\"chat.v2\", \"chat.v1\"]")
        .start();
    let offer = "secret.v1, chat.v1, chat.v2";
    let request = Request::upgrade("/ws").and("Sec-WebSocket-Protocol", offer);
    let session = Session::open_with(&gateway, &upstream, &request, "");
    assert_eq!(session.request.only("sec-websocket-protocol"), Some("chat.v1, chat.v2"));
    // The application chose none, and so the client is told: they would not speak the same.
    assert_eq!(session.response.all("sec-websocket-protocol"), Vec::<&str>::new());
    let opened = gateway.wait_for_record(|record| record["event"] == "session.opened");
    assert_eq!((&opened["unlisted"], opened.get("subprotocol")), (&"secret.v1".into(), None));
}

/// A subprotocol may be a credential of the application's.
#[test]
fn the_log_names_short_subprotocols_alone() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).route("subprotocols = [\"chat.v1\"]").start();
    let offer = "graphql-transport-ws, 0123456789abcdef01234, v0, v1, v2, v3, v4, v5, v6, v7, v8";
    let request = Request::upgrade("/ws").and("Sec-WebSocket-Protocol", offer);
    let session = Session::open_with(&gateway, &upstream, &request, "");
    assert_eq!(session.request.all("sec-websocket-protocol"), Vec::<&str>::new());
    let opened = gateway.wait_for_record(|record| record["event"] == "session.opened");
    let named = "graphql-transport-ws, (21 characters), v0, v1, v2, v3, v4, v5 and 3 more";
    assert_eq!(opened["unlisted"], named);
}

#[test]
fn the_offer_of_an_extension_is_stripped() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    let request = Request::upgrade("/ws")
        .and("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits")
        .and("sec-websocket-extensions", "x-unknown");
    let session = Session::open_with(&gateway, &upstream, &request, "");
    assert_eq!(session.request.all("sec-websocket-extensions"), Vec::<&str>::new());
    assert_eq!(session.response.all("sec-websocket-extensions"), Vec::<&str>::new());
}

#[test]
fn frames_right_behind_the_101_are_not_lost() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    let mut client = gateway.connect();
    client.send_request(&Request::upgrade("/ws"));
    let mut application = upstream.accept();
    let request = application.read_head();
    let key = request.only("sec-websocket-key").unwrap();
    let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
    let head = format!("{SWITCHING}{UPGRADE}Sec-WebSocket-Accept: {accept}\r\n\r\n");
    application.send(&[head.into_bytes(), Frame::text("welcome").encode()].concat());
    assert_eq!(client.read_head().status(), 101);
    client.expect_frame(Frame::text("welcome"));
}

#[test]
fn no_frame_follows_a_101_that_the_client_did_not_read() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).plain();
    let gateway = gateway.server("handshake_timeout = \"1s\"").start();
    // Small segments keep the gateway's send buffer small, too.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(2304).unwrap();
    socket.set_tcp_mss(200).unwrap();
    socket.connect(&gateway.address().into()).unwrap();
    let mut client = Wire::client(socket.into());
    client.send_request(&Request::upgrade("/ws"));
    let fields: String = ["X-Filler: ", &"a".repeat(620), "\r\n"].concat().repeat(90);
    let (mut application, _) = upstream.accept_upgrade(&fields);
    application.send_frame(&Frame::text("a frame of the application"));
    gateway.wait_for_record(|record| record["reason"] == "client.lost");
    let text = String::from_utf8(client.expect_gone()).unwrap();
    assert!(!text.contains("\r\n\r\n") && !text.contains("a frame"), "{text}");
}
