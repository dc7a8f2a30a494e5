//! Long polling of Socket.IO: the bodies of requests meet the rules for messages.

use serde_json::{Value, json};

use super::super::support::{
    Gateway, GatewayBuilder, RawUpstream, Request, Response, Wire, now, sign, write_secret,
};
use super::example;

const SESSION: &str = "/ws/socket.io/?EIO=4&transport=polling&sid=abc";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nok";
const SAY: &str = r#"42["say",{"room":"red"}]"#;
const REFUSED: &str = r#"427["say",{"room":"blue"}]"#;

fn polled(upstream: &RawUpstream, tables: &str) -> GatewayBuilder {
    let issuer = "[jwt.main]\nalgorithms = [\"HS256\"]\nsecret = \"file:secret\"";
    Gateway::to(&[upstream.address()])
        .path("/ws/*")
        .route("serve = [\"websocket\", \"http\"]")
        .auth("main")
        .prepare(write_secret)
        .more(tables)
        .more(issuer)
}

fn request(method: &str, target: &str, body: &[u8]) -> Request {
    let token = sign(&json!({ "sub": "ada", "exp": now() + 600, "rooms": ["red"] }));
    let mut request = Request::with_line(&format!("{method} {target} HTTP/1.1"))
        .and("Authorization", &format!("Bearer {token}"));
    for name in ["Upgrade", "Connection", "Sec-WebSocket-Version", "Sec-WebSocket-Key"] {
        request = request.without(name);
    }
    if body.is_empty() {
        return request;
    }
    let length = body.len().to_string();
    request.and("Content-Type", "text/plain;charset=UTF-8").and("Content-Length", &length)
}

/// A client that sends one request after the other.
struct Poller<'a> {
    gateway: Gateway,
    upstream: &'a RawUpstream,
}

impl Poller<'_> {
    fn send(&self, request: &Request, body: &[u8]) -> Wire {
        let mut client = self.gateway.connect();
        client.send(&[&request.bytes(), body].concat());
        client
    }

    /// A POST of the session that reaches the application; returns the body there, and the answer to the client.
    fn forwarded(&self, body: &str, answer: &str) -> (String, Response) {
        let mut client = self.send(&request("POST", SESSION, body.as_bytes()), body.as_bytes());
        let mut application = self.upstream.accept_unless(&mut client).expect("it is forwarded");
        let head = application.read_head();
        let length = head.only("content-length").unwrap().parse().unwrap();
        let body = String::from_utf8(application.take(length)).unwrap();
        application.send(answer.as_bytes());
        (body, client.read_response())
    }

    /// A POST of the session that the gateway answers.
    fn answered(&self, body: &str) -> Response {
        self.refused(&request("POST", SESSION, body.as_bytes()), body.as_bytes())
    }

    fn refused(&self, request: &Request, body: &[u8]) -> Response {
        let mut client = self.send(request, body);
        let response = client.read_response();
        self.upstream.received_nothing();
        response
    }
}

fn reason(response: &Response) -> (u16, String) {
    let problem: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    (response.status(), problem["reason"].as_str().unwrap_or_default().to_owned())
}

fn is_ok(response: &Response) -> bool {
    response.status() == 200 && response.body == b"ok"
}

#[test]
fn refused_packets_of_a_body_are_taken_out_and_answered() {
    let upstream = RawUpstream::bind();
    let gateway = polled(&upstream, &example("Socket.IO")).start();
    let poller = Poller { gateway, upstream: &upstream };
    let (body, response) = poller.forwarded(&format!("3\u{1e}{SAY}"), OK);
    assert_eq!(body, format!("3\u{1e}{SAY}"));
    assert!(is_ok(&response));
    let (body, response) = poller.forwarded(&format!("{SAY}\u{1e}{REFUSED}\u{1e}430[]"), OK);
    assert_eq!(body, format!("{SAY}\u{1e}430[]"));
    assert!(is_ok(&response));
    assert!(is_ok(&poller.answered(&format!("{REFUSED}\u{1e}42[\"other\"]"))));
    // The next poll of this session gets the answers, and of no other.
    let other = request("GET", &SESSION.replace("abc", "abd"), b"");
    let mut client = poller.send(&other, b"");
    let mut application = upstream.accept_unless(&mut client).expect("another session");
    application.read_head();
    application.send(OK.as_bytes());
    assert!(is_ok(&client.read_response()));
    let poll = request("GET", SESSION, b"").and("Origin", "https://other.example");
    let response = poller.refused(&poll, b"");
    let text = String::from_utf8(response.body.clone()).unwrap();
    let answers: Vec<_> = text.split('\u{1e}').collect();
    assert!(answers[0].starts_with(r#"437[{"error":"message.claim""#), "{text}");
    assert!(answers[1].starts_with(r#"437[{"error":"message.claim""#), "{text}");
    assert!(answers[2].starts_with(r#"42["exception",{"message":"message.type""#), "{text}");
    let origin = |response: &Response| {
        response.only("access-control-allow-origin").unwrap_or_default().to_owned()
    };
    assert_eq!(origin(&response), "");
    assert!(is_ok(&poller.answered(REFUSED)));
    let poll = request("GET", SESSION, b"").and("Origin", "https://localhost");
    assert_eq!(origin(&poller.refused(&poll, b"")), "https://localhost");
    let mut client = poller.send(&request("GET", SESSION, b""), b"");
    application.read_head();
    application.send(OK.as_bytes());
    assert!(is_ok(&client.read_response()), "no answer is left");
    poller.gateway.wait_for_record(|record| {
        record["event"] == "message.refused" && record["reason"] == "message.type"
    });
}

#[test]
fn a_packet_that_ends_the_session_refuses_the_body() {
    let upstream = RawUpstream::bind();
    let tables = example("Socket.IO").replace("on_violation = \"answer\"", "");
    let poller = Poller { gateway: polled(&upstream, &tables).start(), upstream: &upstream };
    let big = format!("42[\"say\",\"{}\"]", "x".repeat(70_000));
    for (body, status, expected) in [
        (format!("{SAY}\u{1e}{REFUSED}"), 403, "message.claim"),
        (r#"42["other"]"#.to_owned(), 403, "message.type"),
        (String::from("4"), 400, "message.structure"),
        (format!("{SAY}\u{1e}"), 400, "message.structure"),
        (r#"453-["upload"]"#.to_owned(), 400, "message.structure"),
        ("bAQ==".to_owned(), 400, "message.structure"),
        (big.clone(), 413, "message.too_big"),
        (format!("b{}", "A".repeat(100_000)), 413, "message.too_big"),
    ] {
        assert_eq!(reason(&poller.answered(&body)), (status, expected.to_owned()), "{body:.80}");
    }
    let many = vec!["3"; 10_001].join("\u{1e}");
    assert_eq!(reason(&poller.answered(&many)), (400, "message.structure".to_owned()));
    let long = [SAY; 20].join("\u{1e}");
    assert_eq!(poller.forwarded(&long, OK).0, long);
    // The head says how long it is.
    let length = (2_usize << 20).to_string();
    let huge = request("POST", SESSION, b"x").set("Content-Length", &length);
    assert_eq!(reason(&poller.refused(&huge, b"")), (413, "body.too_large".to_owned()));
}

const TWO: &str = r#"452-7["upload",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#;

#[test]
fn attachments_come_with_later_requests() {
    let upstream = RawUpstream::bind();
    let gateway = polled(&upstream, &example("Socket.IO")).start();
    let poller = Poller { gateway, upstream: &upstream };
    assert_eq!(poller.forwarded(TWO, OK).0, TWO);
    assert_eq!(poller.forwarded("bAQ==", OK).0, "bAQ==");
    assert_eq!(poller.forwarded(&format!("bAQI=\u{1e}{SAY}"), OK).0, format!("bAQI=\u{1e}{SAY}"));
    // None is due any more, and none of a packet that the application has refused.
    let structure = (400, "message.structure".to_owned());
    assert_eq!(reason(&poller.answered("bAQ==")), structure);
    let refused = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(poller.forwarded(TWO, refused).1.status(), 400);
    assert_eq!(reason(&poller.answered("bAQ==")), structure);
    // What follows a refused packet is discarded like it.
    assert!(is_ok(&poller.answered(&TWO.replace("upload", "say"))));
    assert!(is_ok(&poller.answered("bAQ==\u{1e}bAQI=")));
    assert_eq!(poller.forwarded(TWO, OK).0, TWO);
    // A packet in between cannot be taken back.
    assert_eq!(reason(&poller.answered(SAY)), structure);
}

#[test]
fn the_rate_of_a_type_is_that_of_the_session_id() {
    let upstream = RawUpstream::bind();
    let tables = example("Socket.IO").replace("5/m", "1/h").replace("\"answer\"", "\"close\"");
    let poller = Poller { gateway: polled(&upstream, &tables).start(), upstream: &upstream };
    let upload = r#"42["upload"]"#;
    assert_eq!(poller.forwarded(upload, OK).0, upload);
    assert_eq!(reason(&poller.answered(upload)), (429, "message.rate".to_owned()));
}

#[test]
fn only_engine_io_4_is_read() {
    let upstream = RawUpstream::bind();
    let gateway = polled(&upstream, &example("Socket.IO")).start();
    let poller = Poller { gateway, upstream: &upstream };
    let body = SAY.as_bytes();
    let post = |target: &str| request("POST", target, body);
    for (request, expected) in [
        (post("/ws/?EIO=3&transport=polling&sid=a"), "protocol.version"),
        (post("/ws/?sid=a"), "protocol.version"),
        (post("/ws/?%45IO=4&transport=polling&sid=a"), "handshake.malformed"),
        (post("/ws/?EIO=4&EIO=3&transport=polling&sid=a"), "handshake.malformed"),
        (post("/ws/?EIO=4&transport=polling&sid=a&j=1"), "handshake.malformed"),
        (post("/ws/?EIO=4&transport=websocket&sid=a"), "handshake.malformed"),
        (post("/ws/?EIO=4&transport=polling"), "message.structure"),
        (request("PUT", SESSION, body), "message.structure"),
        (request("GET", SESSION, body), "message.structure"),
        (post(SESSION).and("Content-Encoding", "gzip"), "message.structure"),
        (post(SESSION).set("Content-Type", "application/octet-stream"), "message.structure"),
        (post(SESSION).set("Content-Type", "text/plain;charset=utf-16"), "message.structure"),
    ] {
        let response = poller.refused(&request, body);
        assert_eq!(reason(&response), (400, expected.to_owned()), "{}", request.text());
    }
    let (bytes, latin) = (b"42[\"say\",\"\xe4\"]", request("POST", SESSION, b"42[\"say\",\"x\"]"));
    assert_eq!(reason(&poller.refused(&latin, bytes)), (400, "message.structure".to_owned()));
    let token = request("GET", "/", b"").value("Authorization").unwrap().to_owned();
    for (query, expected) in [
        ("", "protocol.version"),
        ("?EIO=3&transport=websocket", "protocol.version"),
        ("?EIO=4&transport=polling", "handshake.malformed"),
    ] {
        let upgrade = Request::upgrade(&format!("/ws/{query}")).and("Authorization", &token);
        assert_eq!(reason(&poller.refused(&upgrade, b"")), (400, expected.to_owned()), "{query}");
    }
}

/// The ids of sessions are the client's to invent.
#[test]
fn a_user_keeps_no_more_sessions_than_its_share() {
    let upstream = RawUpstream::bind();
    let gateway = polled(&upstream, &example("Socket.IO")).start();
    let poller = Poller { gateway, upstream: &upstream };
    let begun = |sid: &str| {
        let body = TWO.replace("upload", "say");
        let target = SESSION.replace("abc", sid);
        poller.refused(&request("POST", &target, body.as_bytes()), body.as_bytes())
    };
    for number in 0..64 {
        assert!(is_ok(&begun(&number.to_string())), "{number}");
    }
    assert_eq!(reason(&begun("more")), (503, "capacity".to_owned()));
    assert!(is_ok(&poller.answered(REFUSED)), "its packets are refused as before");
}

/// The time for the handshake is not that for the body.
#[test]
fn a_slow_body_leaves_the_upstream_its_time() {
    let upstream = RawUpstream::bind();
    let gateway = polled(&upstream, &example("Socket.IO"));
    let gateway = gateway.server("handshake_timeout = \"1s\"").start();
    // A handshake of TLS that waits for the application takes longer than no time.
    gateway.rewrite(|text| {
        text.replace("upstream = [\"ws:", "upstream_ca = \"ca.pem\"\nupstream = [\"wss:")
    });
    gateway.hang_up("reloaded");
    let poller = Poller { gateway, upstream: &upstream };
    let mut client = poller.send(&request("POST", SESSION, SAY.as_bytes()), b"4");
    // The deadline of this connection is the later one.
    let mut other = poller.gateway.connect();
    other.send(b"G");
    assert_eq!(other.read_response().status(), 408);
    client.send(&SAY.as_bytes()[1..]);
    let mut application = upstream.accept_unless(&mut client).expect("it is asked");
    assert_eq!(application.take(3)[..2], [22, 3], "a record of a handshake");
    application.send(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    let response = client.read_response();
    assert_eq!(reason(&response), (503, "upstream.unavailable".to_owned()));
}

/// The script of the client, and whatever else the route serves.
#[test]
fn other_plain_requests_are_not_judged() {
    let upstream = RawUpstream::bind();
    let gateway = polled(&upstream, &example("Socket.IO")).start();
    let poller = Poller { gateway, upstream: &upstream };
    let form = request("POST", "/ws/form?a=b", b"anything");
    for (request, body) in
        [(request("GET", "/ws/socket.io.js", b""), &b""[..]), (form, &b"anything"[..])]
    {
        let mut client = poller.send(&request, body);
        let mut application = upstream.accept_unless(&mut client).expect("it is forwarded");
        application.read_head();
        assert_eq!(application.take(body.len()), body);
        application.send(OK.as_bytes());
        assert!(is_ok(&client.read_response()));
    }
}
