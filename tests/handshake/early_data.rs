//! Bytes that a client sends behind its handshake before the 101 (Pingora, CVE-2026-2833): they
//! must not reach an application that has not agreed to a WebSocket.

use super::support::{Frame, Gateway, RawUpstream, Request, Wire};

/// A client that sends `early` right behind its handshake, and the application's end, its head read.
fn eager(gateway: &Gateway, upstream: &RawUpstream, early: &[u8]) -> (Wire, Wire) {
    let mut client = gateway.connect();
    client.send(&[&Request::upgrade("/ws").bytes(), early].concat());
    let mut application = upstream.accept();
    application.read_head();
    (client, application)
}

#[test]
fn early_data_does_not_reach_an_upstream_that_refuses() {
    let smuggled = b"GET /admin HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for status in ["403 Forbidden", "404 Not Found", "500 Internal Server Error"] {
        let upstream = RawUpstream::bind();
        let gateway = Gateway::to(&[upstream.address()]).start();
        let (mut client, mut application) = eager(&gateway, &upstream, smuggled);
        application.send(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes());
        let answer = client.read_response();
        assert_eq!(answer.status(), status[..3].parse::<u16>().unwrap());
        assert_eq!(application.expect_gone(), b"");
        upstream.received_nothing();
    }
}

#[test]
fn early_data_does_not_reach_an_upstream_that_did_not_upgrade() {
    let smuggled = b"GET /admin HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    ] {
        let upstream = RawUpstream::bind();
        let gateway = Gateway::to(&[upstream.address()]).start();
        let (mut client, mut application) = eager(&gateway, &upstream, smuggled);
        application.send(answer.as_bytes());
        let answer = client.read_response();
        gateway.check_refusal(&answer, 502, "upstream.handshake");
        assert_eq!(application.expect_gone(), b"");
        upstream.received_nothing();
    }
}

#[test]
fn early_frames_are_held_until_the_101() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    let early = Frame::text("early").masked(true).encode();
    let mut client = gateway.connect();
    client.send(&[Request::upgrade("/ws").bytes(), early].concat());
    let (mut application, _) = upstream.accept_upgrade("");
    assert_eq!(client.read_head().status(), 101);
    application.expect_frame(Frame::text("early"));
}

#[test]
fn early_frames_are_judged_like_any_other() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    let mut client = gateway.connect();
    let unmasked = Frame::text("early").encode();
    client.send(&[Request::upgrade("/ws").bytes(), unmasked].concat());
    let (mut application, _) = upstream.accept_upgrade("");
    assert_eq!(client.read_head().status(), 101);
    client.expect_closing(1002, "frame.protocol");
    application.expect_closing(1001, "frame.protocol");
}

#[test]
fn an_upgraded_connection_is_never_used_again() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    for _ in 0..3 {
        // Each session is accepted on a connection of its own, or accept_upgrade would wait forever.
        let mut session = super::support::Session::open(&gateway, &upstream);
        session.prove_alive();
        session.close(1000, "");
    }
    upstream.received_nothing();
}
