//! Fields towards the application: the ones that are the client's alone, and the ones that an
//! application believes because only the gateway may set them.

use super::support::{Frame, Gateway, KEY, RawUpstream, Request, Session};

const FORGED: &str = "203.0.113.66";

fn open(gateway: &Gateway, upstream: &RawUpstream, request: &Request) -> Session {
    Session::open_with(gateway, upstream, request, "")
}

#[test]
fn fields_of_the_application_pass() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    let request = Request::upgrade("/ws")
        .and("Cookie", "session=1; theme=dark")
        .and("Authorization", "Bearer of-the-application")
        .and("User-Agent", "test")
        .and("X-App", "one")
        .and("x-app", "two");
    let session = open(&gateway, &upstream, &request);
    let head = &session.request;
    assert_eq!(head.only("host"), Some("localhost"));
    assert_eq!(head.only("cookie"), Some("session=1; theme=dark"));
    assert_eq!(head.only("authorization"), Some("Bearer of-the-application"));
    assert_eq!(head.all("x-app"), ["one", "two"]);
}

#[test]
fn the_head_towards_the_application_is_written_anew() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    let request = Request::upgrade("/ws")
        .set("Connection", "keep-alive, Upgrade")
        .and("Keep-Alive", "timeout=5")
        .and("TE", "trailers")
        .and("Expect", "100-continue")
        .and("Trailer", "X-Later")
        .and("Proxy-Authorization", "Basic c2VjcmV0")
        .and("Proxy-Connection", "keep-alive")
        .and("Content-Length", "0");
    let session = open(&gateway, &upstream, &request);
    let head = &session.request;
    assert_eq!(head.line, "GET /ws HTTP/1.1");
    assert_eq!(head.only("upgrade"), Some("websocket"));
    assert_eq!(head.only("connection"), Some("Upgrade"));
    assert_eq!(head.only("sec-websocket-version"), Some("13"));
    let key = head.only("sec-websocket-key").unwrap();
    assert_eq!(key.len(), KEY.len());
    for hop in [
        "keep-alive",
        "te",
        "expect",
        "trailer",
        "proxy-authorization",
        "proxy-connection",
        "content-length",
        "transfer-encoding",
    ] {
        assert_eq!(head.all(hop), Vec::<&str>::new(), "{hop}");
    }
}

/// Traefik, CVE-2024-45410 and CVE-2026-29054.
#[test]
fn fields_that_connection_lists_are_stripped_and_the_gateways_own_stay() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    let request = Request::upgrade("/ws")
        .set("Connection", "Upgrade, X-One, x-forwarded-for, X-Real-Ip")
        .and("connection", "X-TWO, host, X-Request-Id, Sec-WebSocket-Key")
        .and("X-One", "1")
        .and("x-two", "2")
        .and("X-Three", "3");
    let session = open(&gateway, &upstream, &request);
    let head = &session.request;
    assert_eq!(head.all("x-one"), Vec::<&str>::new());
    assert_eq!(head.all("x-two"), Vec::<&str>::new());
    assert_eq!(head.only("x-three"), Some("3"));
    assert_eq!(head.only("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(head.only("x-real-ip"), Some("127.0.0.1"));
    assert_eq!(head.only("host"), Some("localhost"));
    assert_eq!(head.only("connection"), Some("Upgrade"));
    assert!(head.only("x-request-id").is_some_and(|id| !id.is_empty()));
    assert!(head.only("sec-websocket-key").is_some());
}

/// Traefik, CVE-2026-88011, and oauth2-proxy, CVE-2025-64484: applications that read `_` and `.`
/// as `-` believe the folded name.
#[test]
fn a_clients_claims_about_its_address_are_dropped_in_every_spelling() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    let mut request = Request::upgrade("/ws");
    for name in [
        "X-Forwarded-For",
        "x_forwarded_for",
        "X.Forwarded.For",
        "X-Forwarded_For",
        "X-FORWARDED-HOST",
        "X_Forwarded_Proto",
        "X-Forwarded-Server",
        "X-Real-IP",
        "X_Real_IP",
        "x.real.ip",
        "X-Client-IP",
        "True-Client-IP",
        "true_client_ip",
        "CF-Connecting-IP",
        "CF_Connecting.IP",
        "X-Request-Id",
        "X_Request_Id",
    ] {
        request = request.and(name, FORGED);
    }
    request = request.and("Forwarded", &format!("for={FORGED}"));
    let session = open(&gateway, &upstream, &request);
    let head = format!("{:?}", session.request);
    assert!(!head.contains(FORGED), "{head}");
    assert_eq!(session.request.only("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(session.request.only("x-forwarded-proto"), Some("https"));
    let opened = gateway.wait_for_record(|record| record["event"] == "session.opened");
    assert_eq!(opened["request_id"], session.request_id());
    assert!(opened["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{opened}");
}

/// oauth2-proxy, CVE-2026-76835: what the client wrote itself is on the left.
#[test]
fn a_trusted_proxy_is_read_from_right_to_left() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()])
        .server("trusted_proxies = [\"127.0.0.1/32\", \"10.0.0.0/8\"]")
        .start();
    for (chain, client) in [
        ("198.51.100.7", "198.51.100.7"),
        ("203.0.113.66, 198.51.100.7", "198.51.100.7"),
        ("203.0.113.66, 198.51.100.7, 10.1.2.3", "198.51.100.7"),
        ("203.0.113.66, ::ffff:198.51.100.7", "198.51.100.7"),
        ("203.0.113.66, 198.51.100.7, ::ffff:10.1.2.3", "198.51.100.7"),
    ] {
        let request = Request::upgrade("/ws").and("X-Forwarded-For", chain);
        let session = open(&gateway, &upstream, &request);
        let forwarded = session.request.all("x-forwarded-for").join(", ");
        assert!(forwarded.ends_with("127.0.0.1"), "{forwarded}");
        let id = session.request_id();
        let opened = gateway.wait_for_record(|record| {
            record["event"] == "session.opened" && record["request_id"] == id
        });
        let peer = opened["peer"].as_str().unwrap();
        assert!(peer.starts_with(client), "{chain}: {peer}");
    }
}

#[test]
fn the_request_id_ties_the_records_together() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    let mut session = Session::open(&gateway, &upstream);
    let id = session.request_id();
    session.client.say(Frame::close(1000, ""));
    session.upstream.expect_closing(1000, "");
    gateway.wait_for_reason(&id, "closed");
    let events: Vec<_> = gateway
        .log_records()
        .into_iter()
        .filter(|record| record["request_id"] == id)
        .map(|record| record["event"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(events, ["session.opened", "session.ended"]);
}
