//! Requests that are no opening handshake (RFC 6455 section 4.2.1). None of them may reach the
//! application: a request that the two read differently is how requests are smuggled.

use super::support::{Gateway, RawUpstream, Request, Response, Session};

/// Refuses `request` in front of an application that must see nothing of it.
#[track_caller]
fn refuse(request: &Request, status: u16, reason: &str) -> Response {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    let response = gateway.expect_refusal(request, status, reason);
    upstream.received_nothing();
    response
}

/// The same for heads that the HTTP library may refuse by itself.
#[track_caller]
fn refuse_bytes(requests: &[Vec<u8>], status: u16, reason: &str) {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    for request in requests {
        gateway.expect_bare_refusal(request, status, reason);
        upstream.received_nothing();
    }
}

fn upgrade() -> Request {
    Request::upgrade("/ws")
}

#[test]
fn a_valid_handshake_is_answered_as_rfc_6455_asks() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    let mut session = Session::open(&gateway, &upstream);
    let response = &session.response;
    assert_eq!(response.only("sec-websocket-accept"), Some(super::support::ACCEPT));
    assert_eq!(response.only("upgrade").map(str::to_lowercase).as_deref(), Some("websocket"));
    assert_eq!(response.only("connection").map(str::to_lowercase).as_deref(), Some("upgrade"));
    assert_eq!(response.all("sec-websocket-protocol"), Vec::<&str>::new());
    assert_eq!(response.all("sec-websocket-extensions"), Vec::<&str>::new());
    session.prove_alive();
    let id = session.request_id();
    session.close(1000, "bye");
    let ended = gateway.wait_for_reason(&id, "closed");
    assert_eq!(ended["event"], "session.ended");
    assert_eq!(ended["code"], 1000);
    assert_eq!(gateway.error_records(), Vec::<serde_json::Value>::new());
}

#[test]
fn names_and_options_are_compared_without_case_and_in_lists() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    let request = upgrade()
        .set("Upgrade", "WebSocket")
        .set("Connection", "keep-alive")
        .and("connection", "x-one, UPGRADE")
        .and("Content-Length", "0");
    Session::open_with(&gateway, &upstream, &request, "").prove_alive();
}

#[test]
fn a_missing_key_is_malformed() {
    refuse(&upgrade().without("Sec-WebSocket-Key"), 400, "handshake.malformed");
}

#[test]
fn a_key_is_16_bytes_in_base64_and_given_once() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    let keys = [
        "",
        "c2hvcnQ=",
        "dGhlIHNhbXBsZSBub25jZSB0b28gbG9uZw==",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25j!Q==",
    ];
    for key in keys {
        let request = upgrade().set("Sec-WebSocket-Key", key);
        gateway.expect_refusal(&request, 400, "handshake.malformed");
    }
    let twice = upgrade().and("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA==");
    gateway.expect_refusal(&twice, 400, "handshake.malformed");
    upstream.received_nothing();
}

#[test]
fn an_unsupported_version_gets_the_supported_one() {
    for version in ["8", "1337", "013", "14"] {
        let response = refuse(&upgrade().set("Sec-WebSocket-Version", version), 426, "version");
        assert_eq!(response.only("sec-websocket-version"), Some("13"));
    }
}

#[test]
fn a_repeated_or_folded_version_is_malformed() {
    let twice = upgrade().and("Sec-WebSocket-Version", "13");
    refuse(&twice, 400, "handshake.malformed");
    let missing = upgrade().without("Sec-WebSocket-Version");
    refuse(&missing, 400, "handshake.malformed");
}

#[test]
fn another_method_is_not_allowed() {
    for method in ["POST", "HEAD", "OPTIONS", "CONNECT", "get"] {
        let target = if method == "CONNECT" { "localhost:80" } else { "/ws" };
        let upstream = RawUpstream::bind();
        let gateway = Gateway::to(&[upstream.address()]).start();
        let mut client = gateway.connect();
        client.send_request(&Request::with_line(&format!("{method} {target} HTTP/1.1")));
        let head = client.read_head();
        // An answer to HEAD has no body; CONNECT has a target of another form.
        let statuses: &[u16] = if method == "CONNECT" { &[400, 405] } else { &[405] };
        assert!(statuses.contains(&head.status()), "{method}: {head:?}");
        if head.status() == 405 {
            assert_eq!(head.only("allow"), Some("GET"));
        }
        gateway.wait_for_record(|record| record["event"] == "refused");
        upstream.received_nothing();
    }
}

#[test]
fn a_plain_request_gets_426() {
    let plain = upgrade().without("Upgrade").without("Connection");
    let response = refuse(&plain, 426, "upgrade.required");
    assert_eq!(response.only("upgrade"), Some("websocket"));
}

#[test]
fn an_upgrade_to_another_protocol_is_refused() {
    refuse(&upgrade().set("Upgrade", "h2c"), 426, "upgrade.required");
    refuse(&upgrade().set("Upgrade", "TLS/1.2"), 426, "upgrade.required");
    refuse(&upgrade().set("Upgrade", " , "), 426, "upgrade.required");
}

#[test]
fn an_upgrade_that_connection_does_not_name_is_malformed() {
    refuse(&upgrade().set("Connection", "keep-alive"), 400, "handshake.malformed");
    refuse(&upgrade().without("Connection"), 400, "handshake.malformed");
}

#[test]
fn a_body_is_refused() {
    let mut with_length = upgrade().and("Content-Length", "5").bytes();
    with_length.extend_from_slice(b"hello");
    let chunked = upgrade().and("Transfer-Encoding", "chunked").bytes();
    let smuggled = b"0\r\n\r\nGET /admin HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let chunked = [chunked, smuggled.to_vec()].concat();
    let identity = upgrade().and("Transfer-Encoding", "identity").bytes();
    refuse_bytes(&[with_length, chunked, identity], 400, "handshake.malformed");
}

#[test]
fn lengths_that_contradict_each_other_are_refused() {
    let both = upgrade().and("Content-Length", "5").and("Transfer-Encoding", "chunked");
    let twice = upgrade().and("Content-Length", "0").and("Content-Length", "0");
    let different = upgrade().and("Content-Length", "0").and("Content-Length", "5");
    let odd = upgrade().and("Content-Length", "+0");
    let list = upgrade().and("Content-Length", "0, 0");
    let requests = [both, twice, different, odd, list].map(|request| request.bytes());
    refuse_bytes(&requests, 400, "handshake.malformed");
}

#[test]
fn folded_lines_and_bare_line_feeds_are_refused() {
    let head = upgrade().and("X-Folded", "one\r\n two").bytes();
    let start = upgrade().and("X-Folded", "one\r\n\tSec-WebSocket-Protocol: two").bytes();
    let bare = upgrade().and("X-Bare", "one\nX-Smuggled: two").bytes();
    let spaced = upgrade().and("X-Spaced ", "one").bytes();
    refuse_bytes(&[head, start, bare, spaced], 400, "handshake.malformed");
}

#[test]
fn an_upgrade_in_http_1_0_is_refused() {
    let old = Request::with_line("GET /ws HTTP/1.0").bytes();
    refuse_bytes(&[old], 400, "handshake.malformed");
}

#[test]
fn host_is_given_once_and_is_a_host() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    let twice = upgrade().and("Host", "evil.example");
    gateway.expect_refusal(&twice, 400, "handshake.malformed");
    gateway.expect_refusal(&upgrade().without("Host"), 400, "handshake.malformed");
    for host in ["", "a b", "localhost:99999", "user@localhost", "local/host"] {
        gateway.expect_refusal(&upgrade().set("Host", host), 400, "handshake.malformed");
    }
    upstream.received_nothing();
}

/// RFC 9110 section 5.6.1.2, and section 7.8 for Upgrade. React Native sends a blank
/// Sec-WebSocket-Protocol.
#[test]
fn lists_may_have_empty_elements_and_upgrade_more_than_one() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).websocket("compression = \"inspect\"").start();
    for request in [
        upgrade().set("Upgrade", "websocket, h2c"),
        upgrade().set("Upgrade", "h2c, WebSocket"),
        upgrade().and("Upgrade", "h2c"),
        upgrade().and("Upgrade", "websocket"),
        upgrade().set("Upgrade", ",websocket,"),
        upgrade().set("Connection", ", keep-alive,, Upgrade"),
        upgrade().and("Connection", ""),
        upgrade().and("Sec-WebSocket-Protocol", ""),
        upgrade().and("Sec-WebSocket-Protocol", " "),
        upgrade().and("Sec-WebSocket-Protocol", ","),
        upgrade().and("Sec-WebSocket-Extensions", ""),
        upgrade().and("Sec-WebSocket-Extensions", " , "),
    ] {
        let session = Session::open_with(&gateway, &upstream, &request, "");
        let head = &session.request;
        assert_eq!(head.only("upgrade"), Some("websocket"), "{request:?}");
        assert_eq!(head.only("connection"), Some("Upgrade"), "{request:?}");
        for nothing in ["sec-websocket-protocol", "sec-websocket-extensions"] {
            assert_eq!(head.all(nothing), Vec::<&str>::new(), "{request:?}");
        }
    }
    let request = upgrade()
        .and("Sec-WebSocket-Protocol", ",a,, b,")
        .and("Sec-WebSocket-Extensions", "permessage-deflate,");
    let session = Session::open_with(&gateway, &upstream, &request, "");
    assert_eq!(session.request.only("sec-websocket-protocol"), Some("a, b"));
    let offered = "permessage-deflate; client_no_context_takeover";
    assert_eq!(session.request.only("sec-websocket-extensions"), Some(offered));
}

#[test]
fn subprotocols_are_tokens_each_once() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    for offer in ["a b", "a, a", "a, \"b\"", "a/b"] {
        let request = upgrade().and("Sec-WebSocket-Protocol", offer);
        gateway.expect_refusal(&request, 400, "handshake.malformed");
    }
    upstream.received_nothing();
}

#[test]
fn too_many_fields_and_too_many_bytes_are_refused() {
    let mut many = upgrade();
    for index in 0..2000 {
        many = many.and(&format!("X-Field-{index}"), "1");
    }
    let long = upgrade().and("X-Long", &"a".repeat(128 * 1024));
    refuse_bytes(&[many.bytes(), long.bytes()], 431, "head.too_large");
}

#[test]
fn bytes_that_are_not_http_are_refused() {
    let noise = [b"\x00\x01\x02\x03\r\n\r\n".to_vec(), b"HELO example\r\n\r\n".to_vec()];
    refuse_bytes(&noise, 400, "handshake.malformed");
}

#[test]
fn a_second_request_behind_a_refused_one_is_never_read() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    let refused = upgrade().set("Sec-WebSocket-Version", "1337").bytes();
    let both = [refused, upgrade().bytes()].concat();
    let response = gateway.answer_to(&both);
    gateway.check_refusal(&response, 426, "version");
    upstream.received_nothing();
}
