//! What is a strike and what is not, each from an address of its own, so that no test is another's.

use std::net::SocketAddr;

use serde_json::json;

use super::support::{Frame, Gateway, RawUpstream, Request, Wire};
use super::{guarded, token};

const BAN: &str = "[firewall.ban]\nstrikes = 2\n";
const FOREIGN: &str = "https://evil.example";

/// Every address of 127.0.0.0/8 is the machine's.
fn address(number: u8) -> SocketAddr {
    ([127, 0, 7, number], 0).into()
}

fn handshake() -> Request {
    Request::upgrade("/ws")
}

fn answered(gateway: &Gateway, from: SocketAddr, bytes: &[u8]) {
    let mut client = gateway.connect_from(from);
    client.send(bytes);
    client.read_head();
}

/// Whether `from` is banned: its connections are dropped before anything is read.
fn is_banned(gateway: &Gateway, from: SocketAddr) -> bool {
    let banned = |record: &serde_json::Value| {
        record["event"] == "banned" && record["network"] == from.ip().to_string()
    };
    if !gateway.log_records().iter().any(banned) {
        return false;
    }
    Wire::client(gateway.tcp_from(from)).expect_gone();
    true
}

/// Sends each request twice, from an address of its own, and then something harmless, so that the
/// log is written up to there.
#[track_caller]
fn expect_bans(gateway: &Gateway, requests: &[(Vec<u8>, bool)], addresses: u8) {
    for (number, (bytes, strikes)) in (addresses..).zip(requests) {
        let from = address(number);
        (0..2).for_each(|_| answered(gateway, from, bytes));
        if *strikes {
            let network = from.ip().to_string();
            gateway.wait_for_record(|record| record["network"] == network.as_str());
        } else {
            // Were it banned, there would be no answer.
            answered(gateway, from, &handshake().set("Sec-WebSocket-Version", "7").bytes());
        }
        let text = String::from_utf8_lossy(bytes);
        assert_eq!(is_banned(gateway, from), *strikes, "{text:?}");
    }
}

#[test]
fn heads_that_no_browser_sends_cause_strikes() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).plain().more(BAN).start();
    let text = String::from_utf8(handshake().bytes()).unwrap();
    let strikes = [
        text.replace("Host: localhost\r\n", "Host: localhost\n"),
        handshake().and("Host", "evil.example").text(),
        handshake().without("Host").text(),
        handshake().and("X-Folded", "one\r\n two").text(),
        handshake().and("X-Spaced ", "one").text(),
        handshake().and("X-Control", "a\u{1}").text(),
        handshake().and("Content-Length", "0").and("Content-Length", "0").text(),
        handshake().and("Content-Length", "5").text(),
        handshake().set("Sec-WebSocket-Key", "short").text(),
        Request::with_line("POST /ws HTTP/1.1").and("Host", "evil.example").text(),
    ];
    let harmless = [
        // The same, in the name of a page whose host may be its own name for the gateway's address.
        handshake().and("Origin", "http://localhost").set("Sec-WebSocket-Key", "short").text(),
        // The same, in the name of a foreign page.
        handshake().and("Origin", FOREIGN).set("Sec-WebSocket-Key", "short").text(),
        handshake().and("Sec-Fetch-Site", "cross-site").set("Sec-WebSocket-Key", "short").text(),
        handshake().and("Origin", FOREIGN).and("Host", "evil.example").text(),
        // Whatever a page may choose.
        Request::upgrade("/ws;x").text(),
        Request::upgrade("//ws").text(),
        Request::upgrade("/ws%2fx").text(),
        Request::upgrade("/ws|\"").text(),
        Request::upgrade("/ws%00").text(),
        handshake().set("Host", "a_b!c").text(),
        handshake().and("Sec-WebSocket-Protocol", "a, a").text(),
        handshake().and("Cookie", "s=\u{1}").text(),
        Request::with_line("POST /ws HTTP/1.1").and("Content-Length", "5").text() + "hello",
        // `fetch` sends control characters, without an Origin to what it takes for its own host.
        Request::with_line("GET /ws HTTP/1.1")
            .without("Upgrade")
            .without("Connection")
            .and("X-Control", "a\u{1}")
            .text(),
        Request::with_line("OPTIONS /ws HTTP/1.1").without("Upgrade").text(),
        // What other protocols say first: TLS, and STUN for a page's TURN server.
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\r\n\r\n".to_owned(),
        "\0\u{3}\0\u{8}!\u{12}\r\n\r\n".to_owned(),
    ];
    let requests: Vec<_> = strikes
        .into_iter()
        .map(|text| (text.into_bytes(), true))
        .chain(harmless.into_iter().map(|text| (text.into_bytes(), false)))
        .collect();
    expect_bans(&gateway, &requests, 1);
}

#[test]
fn a_forged_token_is_a_strike_only_where_no_foreign_page_can_put_one() {
    let upstream = RawUpstream::bind();
    let places = "token_from = [\"header\", \"query:t\", \"cookie:s\", \"subprotocol\"]\n";
    let gateway = guarded(&upstream)
        .plain()
        .more(places)
        .more(BAN)
        .route("origins = [\"https://app.example\"]")
        .more(
            "[routes.any]\npath = \"/any\"\nupstream = [\"ws://127.0.0.1:1\"]\nauth = \"main\"\n\
             origins = [\"*\"]\n\
             [routes.named]\nhost = [\"localhost\"]\npath = \"/named\"\nauth = \"main\"\n\
             upstream = [\"ws://127.0.0.1:1\"]\norigins = [\"*\"]\n",
        )
        .start();
    let forged = token("ada", 3600).rsplit_once('.').unwrap().0.to_owned() + ".Zm9yZ2Vk";
    let header = |path| Request::upgrade(path).and("Authorization", &format!("Bearer {forged}"));
    let query = |path: &str| Request::upgrade(&format!("{path}?t={forged}"));
    let cookie = |path| Request::upgrade(path).and("Cookie", &format!("s={forged}"));
    let offer = |path| {
        Request::upgrade(path).and("Sec-WebSocket-Protocol", &format!("chat, bearer.{forged}"))
    };
    let of = |request: Request, origin| request.and("Origin", origin).bytes();
    let requests = [
        (header("/ws").bytes(), true),
        (query("/ws").bytes(), true),
        (cookie("/ws").bytes(), true),
        (offer("/ws").bytes(), true),
        (of(header("/ws"), "https://app.example"), true),
        (of(query("/ws"), "https://app.example"), true),
        (of(offer("/ws"), "https://app.example"), true),
        (of(cookie("/ws"), "https://app.example"), false),
        (of(header("/any"), FOREIGN), false),
        (of(query("/any"), FOREIGN), false),
        (of(offer("/any"), FOREIGN), false),
        (of(cookie("/any"), FOREIGN), false),
        (of(query("/any"), "http://localhost"), false),
        (of(query("/named"), "http://localhost"), true),
        (of(query("/named"), FOREIGN), false),
        (query("/any").and("Sec-Fetch-Site", "cross-site").bytes(), false),
        (Request::upgrade("/ws").bytes(), false),
        (of(query("/ws"), FOREIGN), false),
    ];
    expect_bans(&gateway, &requests, 101);
}

/// A page can let its own name lead to the gateway's address: its Host and its Origin agree.
#[test]
fn a_forged_token_of_the_same_origin_strikes_only_where_the_host_is_named() {
    let upstream = RawUpstream::bind();
    let start =
        || guarded(&upstream).more("token_from = [\"query:t\", \"subprotocol\"]\n").more(BAN);
    let forged = token("ada", 3600).rsplit_once('.').unwrap().0.to_owned() + ".Zm9yZ2Vk";
    let page = |scheme: &str, host: &str| {
        let origin = format!("{scheme}://{host}");
        let of = |request: Request| request.set("Host", host).and("Origin", &origin).bytes();
        let offer = format!("chat, bearer.{forged}");
        [
            of(Request::upgrade(&format!("/ws?t={forged}"))),
            of(handshake().and("Sec-WebSocket-Protocol", &offer)),
        ]
    };
    let all = |pages: [Vec<u8>; 2], strikes| pages.map(|page| (page, strikes));
    let rebound = all(page("http", "evil.example"), false);
    expect_bans(&start().plain().start(), &rebound, 141);
    let named = start().plain().route("host = [\"a.example\"]").start();
    expect_bans(&named, &all(page("http", "a.example"), true), 151);
    expect_bans(&named, &rebound, 161);
    expect_bans(&start().start(), &all(page("https", "localhost"), true), 171);
}

/// Sends a frame in a session of its own, and waits for it to be closed.
fn say(gateway: &Gateway, upstream: &RawUpstream, from: SocketAddr, origin: &str, frame: &Frame) {
    let mut client = gateway.connect_from(from);
    let request = Request::upgrade("/ws");
    let request = if origin.is_empty() { request } else { request.and("Origin", origin) };
    client.send_request(&request);
    let _application = upstream.accept_upgrade("");
    assert_eq!(client.read_head().status(), 101);
    client.say(frame.clone());
    assert_ne!(client.expect_close().0, 1000);
}

#[test]
fn frames_that_no_browser_sends_cause_strikes() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()])
        .plain()
        .more(BAN)
        .route("origins = [\"*\"]\nhost = [\"localhost\"]")
        .websocket("max_frame_size = \"125B\"\nmax_message_size = \"125B\"")
        .start();
    let cases = [
        ("", Frame::text("x").with_rsv(4), true),
        ("", Frame::new(0x3, "x"), true),
        ("", Frame::text(b"\xff"), true),
        ("http://localhost", Frame::new(0x3, "x"), true),
        ("", Frame::text("x".repeat(126)), false),
        ("", Frame::close(1005, ""), false),
        (FOREIGN, Frame::new(0x3, "x"), false),
    ];
    for (number, (origin, frame, strikes)) in (1..).zip(cases) {
        let from = address(200 + number);
        (0..2).for_each(|_| say(&gateway, &upstream, from, origin, &frame));
        if strikes {
            let network = from.ip().to_string();
            gateway.wait_for_record(|record| record["network"] == network.as_str());
        } else {
            answered(&gateway, from, &handshake().set("Sec-WebSocket-Version", "7").bytes());
        }
        assert_eq!(is_banned(&gateway, from), strikes, "{origin} {frame:?}");
    }
}

#[test]
fn a_head_that_a_trusted_proxy_wrote_is_no_strike_of_its_client() {
    let upstream = RawUpstream::bind();
    let proxy = "trusted_proxies = [\"127.0.0.1\"]";
    let gateway = Gateway::to(&[upstream.address()]).server(proxy).more(BAN).start();
    let broken = handshake().and("X-Forwarded-For", "203.0.113.7").set("Sec-WebSocket-Key", "x");
    for _ in 0..5 {
        gateway.expect_refusal(&broken, 400, "handshake.malformed");
    }
    assert!(gateway.log_records().iter().all(|record| record["event"] != "banned"));
}

/// The commonest first error is found by its record.
#[test]
fn a_refusal_record_shows_the_request_without_its_query() {
    let upstream = RawUpstream::bind();
    let gateway = guarded(&upstream).plain().start();
    let secret = "a-secret-of-the-query";
    let host = |request: Request| request.set("Host", "app.example:8443");
    let asked = |path: &str| host(Request::upgrade(&format!("{path}?token={secret}")));
    let plain = |method: &str| {
        host(Request::with_line(&format!("{method} /page?token={secret} HTTP/1.1")))
            .without("Upgrade")
            .without("Connection")
    };
    for (request, status, reason, method, path, hint) in [
        (asked("/nowhere"), 404, "route.none", "GET", "/nowhere", true),
        (asked("/ws"), 401, "token.missing", "GET", "/ws", false),
        (asked("/ws;x"), 400, "handshake.malformed", "GET", "/ws", false),
        (plain("GET"), 426, "upgrade.required", "GET", "/page", true),
        (plain("HEAD"), 426, "upgrade.required", "HEAD", "/page", true),
        (plain("POST"), 405, "method", "POST", "/page", false),
        (plain("DELETE"), 405, "method", "DELETE", "/page", false),
    ] {
        let mut client = gateway.connect();
        client.send_request(&request);
        assert_eq!(client.read_head().status(), status, "{method} {path}");
        let record = gateway.wait_for_record(|record| {
            record["reason"] == reason && record["path"] == path && record["method"] == method
        });
        assert_eq!(record["host"], "app.example:8443", "{record}");
        let said = record["hint"].as_str().is_some_and(|hint| hint.contains("framewall explain"));
        assert_eq!(said, hint, "{record}");
    }
    // No request could be made of this one.
    gateway.answer_to(format!("GET /a|b?token={secret} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
    let record = gateway.wait_for_record(|record| record["path"] == "/a|b");
    assert_eq!((&record["host"], &record["method"]), (&json!("h"), &json!("GET")));
    let log = std::fs::read_to_string(gateway.folder().join("framewall.log")).unwrap();
    assert!(!log.contains(secret), "{log}");
}

#[test]
fn an_ordinary_post_is_the_wrong_method_and_head_is_answered_like_get() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    let plain = |line: &str| Request::with_line(line).without("Upgrade").without("Connection");
    let post =
        plain("POST /ws HTTP/1.1").and("Content-Length", "4").and("Content-Type", "text/plain");
    let mut client = gateway.connect();
    client.send(&[post.bytes(), b"text".to_vec()].concat());
    let response = client.read_response();
    gateway.check_refusal(&response, 405, "method");
    assert_eq!(response.only("allow"), Some("GET"));
    let chunked = plain("PUT /ws HTTP/1.1").and("Transfer-Encoding", "chunked");
    let mut client = gateway.connect();
    client.send(&[chunked.bytes(), b"0\r\n\r\n".to_vec()].concat());
    gateway.check_refusal(&client.read_response(), 405, "method");
    gateway.expect_refusal(&plain("GET /ws HTTP/1.1"), 426, "upgrade.required");
    let mut client = gateway.connect();
    client.send_request(&plain("HEAD /ws HTTP/1.1").and("Connection", "close"));
    assert_eq!(client.read_head().status(), 426);
    client.expect_eof();
    gateway.expect_refusal(&Request::with_line("POST /ws HTTP/1.1"), 405, "method");
}
