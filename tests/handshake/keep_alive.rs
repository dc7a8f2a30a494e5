//! Several requests on one connection (RFC 9112 section 9.3): plain HTTP is refused and the connection stays, so
//! that the probe of a load balancer costs no TLS handshake. Every request is checked as the first one was.

use super::support::{ACCEPT, Frame, Gateway, RawUpstream, Request, Response, Wire};

fn plain(line: &str) -> Request {
    Request::with_line(line).without("Upgrade").without("Connection")
}

fn probe() -> Request {
    plain("GET /ws HTTP/1.1")
}

/// Asks, and expects the answer to a probe.
#[track_caller]
fn expect_probe(gateway: &Gateway, client: &mut Wire, says_close: bool) -> Response {
    client.send_request(&probe());
    let response = client.read_response();
    gateway.check_refusal(&response, 426, "upgrade.required");
    assert_eq!(response.says_close(), says_close, "{response:?}");
    response
}

#[test]
fn plain_requests_and_then_a_handshake_share_a_connection() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).server("health_path = \"/healthz\"").start();
    let mut client = gateway.connect();
    let ids: Vec<_> = (0..3)
        .map(|_| {
            expect_probe(&gateway, &mut client, false).problem().unwrap()["request_id"].clone()
        })
        .collect();
    assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2], "{ids:?}");
    for _ in 0..2 {
        client.send_request(&plain("GET /healthz HTTP/1.1"));
        assert_eq!(client.read_response().body, b"ok\n");
        client.send_request(&plain("HEAD /healthz HTTP/1.1"));
        assert_eq!(client.read_head().status(), 200);
        client.send_request(&plain("OPTIONS /ws HTTP/1.1"));
        assert_eq!(client.read_response().status(), 405);
    }
    client.send_request(&Request::upgrade("/ws"));
    let (mut application, _) = upstream.accept_upgrade("");
    assert_eq!(client.read_head().only("sec-websocket-accept"), Some(ACCEPT));
    client.say(Frame::text("hello"));
    application.expect_frame(Frame::text("hello"));
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    let mut client = gateway.connect();
    let early = Frame::text("early").masked(true);
    let sent = [probe().bytes(), probe().bytes(), Request::upgrade("/ws").bytes(), early.encode()];
    client.send(&sent.concat());
    assert_eq!(client.read_response().status(), 426);
    assert_eq!(client.read_response().status(), 426);
    let (mut application, _) = upstream.accept_upgrade("");
    assert_eq!(client.read_head().status(), 101);
    application.expect_frame(Frame::text("early"));
}

/// Requests with a body, and handshakes, end their connection with their refusal: what follows is not answered.
#[test]
fn nothing_behind_another_refusal_is_a_request() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    let with_body = |name, value| plain("POST /ws HTTP/1.1").and(name, value);
    for (request, status) in [
        (with_body("Content-Length", "200"), 405),
        (with_body("Transfer-Encoding", "chunked"), 405),
        (plain("GET /ws HTTP/1.0"), 400),
        (probe().and("Connection", "close"), 426),
        (Request::upgrade("/elsewhere"), 404),
        (Request::upgrade("/ws").set("Sec-WebSocket-Version", "8"), 426),
        (Request::upgrade("/ws").without("Sec-WebSocket-Key"), 400),
    ] {
        let mut client = gateway.connect();
        client.send(&[request.bytes(), probe().bytes()].concat());
        let response = client.read_response();
        assert_eq!(response.status(), status, "{request:?}");
        assert!(response.says_close(), "{response:?}");
        client.expect_eof();
    }
    // A kept connection does not make a head more welcome.
    for (malformed, status) in [
        (&b"GET /ws HTTP/1.1\nHost: localhost\n\n"[..], 400),
        (b"GET /ws HTTP/1.1\r\nHost: localhost\r\n folded\r\n\r\n", 400),
        (b"\x16\x03\x01\x00\x05hello", 400),
    ] {
        let mut client = gateway.connect();
        expect_probe(&gateway, &mut client, false);
        client.send(malformed);
        assert_eq!(client.read_response().status(), status);
        client.expect_eof();
    }
    upstream.received_nothing();
}

#[test]
fn each_request_counts_as_a_handshake_of_its_address() {
    let gateway = Gateway::to(&[RawUpstream::unused_address()])
        .more("[limits]\nhandshakes_per_ip = \"1/h burst 3\"\nconnections_per_ip = 1\n")
        .start();
    let mut client = gateway.connect();
    for _ in 0..3 {
        expect_probe(&gateway, &mut client, false);
    }
    client.send_request(&probe());
    let response = client.read_response();
    gateway.check_refusal(&response, 429, "limit.handshakes");
    assert!(response.only("retry-after").is_some() && response.says_close(), "{response:?}");
    client.expect_eof();
}

#[test]
fn a_kept_connection_counts_once_for_its_address() {
    let gateway = Gateway::to(&[RawUpstream::unused_address()])
        .more("[limits]\nconnections_per_ip = 1\n")
        .start();
    let mut client = gateway.connect();
    expect_probe(&gateway, &mut client, false);
    assert_eq!(gateway.connect_plainly().expect_gone(), b"");
    expect_probe(&gateway, &mut client, false);
    client.half_close();
    client.expect_eof();
    let mut next = gateway.connect();
    expect_probe(&gateway, &mut next, false);
}

#[test]
fn a_ban_reaches_the_next_request() {
    let gateway = Gateway::to(&[RawUpstream::unused_address()])
        .more("[admin]\nsocket = \"admin.sock\"\n")
        .start();
    let mut client = gateway.connect();
    expect_probe(&gateway, &mut client, false);
    let (code, _, errors) = gateway.admin(&["ban", "127.0.0.1"]);
    assert_eq!(code, Some(0), "{errors}");
    client.send_request(&probe());
    let response = client.read_response();
    gateway.check_refusal(&response, 403, "ban.active");
    client.expect_eof();
}

#[test]
fn a_reload_ends_kept_connections_with_their_next_answer() {
    let gateway = Gateway::to(&[RawUpstream::unused_address()]).start();
    let mut client = gateway.connect();
    expect_probe(&gateway, &mut client, false);
    gateway.hang_up("reloaded");
    expect_probe(&gateway, &mut client, true);
    client.expect_eof();
}

#[test]
fn a_stop_does_not_wait_for_kept_connections() {
    let mut gateway = Gateway::to(&[RawUpstream::unused_address()]).start();
    let mut client = gateway.connect();
    expect_probe(&gateway, &mut client, false);
    gateway.terminate();
    client.expect_gone();
    assert_eq!(gateway.exit_code(), Some(0));
    assert!(gateway.error_records().is_empty(), "{:?}", gateway.error_records());
}

#[test]
fn a_connection_carries_a_thousand_requests() {
    let gateway =
        Gateway::to(&[RawUpstream::unused_address()]).server("health_path = \"/healthz\"").start();
    let mut client = gateway.connect();
    for number in 1..=1000 {
        client.send_request(&plain("GET /healthz HTTP/1.1"));
        assert_eq!(client.read_response().says_close(), number == 1000, "{number}");
    }
    client.expect_eof();
}
