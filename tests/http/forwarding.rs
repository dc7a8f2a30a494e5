//! The heads of requests at the application, and of answers at the client.

use super::support::{ACCEPT, Frame, Gateway, RawUpstream, Request};
use super::{HELLO, answer, get, plain, serving};

#[test]
fn a_page_and_its_socket_come_from_one_route() {
    let upstream = RawUpstream::bind();
    let gateway = serving(&[upstream.address()]).start();
    let mut client = gateway.connect();
    client.send_request(&get("/page?a=b"));
    let mut application = upstream.accept();
    answer(&mut application, HELLO);
    let response = client.read_response();
    assert_eq!((response.status(), &*response.body), (200, &b"hello"[..]));
    assert!(response.only("x-request-id").is_some() && !response.says_close(), "{response:?}");
    let record = gateway.wait_for_record(|record| record["event"] == "forwarded");
    assert_eq!((&record["status"], &record["bytes"]), (&200.into(), &5.into()), "{record}");
    assert_eq!(record["path"], "/page", "no query: {record}");
    assert_eq!(record["request_id"], response.only("x-request-id").unwrap());
    client.send_request(&Request::upgrade("/socket"));
    let (mut socket, _) = upstream.accept_upgrade("");
    assert_eq!(client.read_head().only("sec-websocket-accept"), Some(ACCEPT));
    client.say(Frame::text("hi"));
    socket.expect_frame(Frame::text("hi"));
}

#[test]
fn the_application_gets_the_request_with_fields_of_the_gateways_own() {
    let upstream = RawUpstream::bind();
    let gateway = serving(&[upstream.address()]).start();
    let mut client = gateway.connect();
    let request = plain("DELETE /a%20b?x=%0a&y HTTP/1.1")
        .and("Cookie", "session=1")
        .and("X-CamelCase-ID", "1")
        .and("X-Forwarded-For", "203.0.113.9")
        .and("Connection", "keep-alive, X-Hop")
        .and("X-Hop", "1")
        .and("TE", "trailers")
        .and("Expect", "100-continue")
        .and("Upgrade", "h2c")
        .and("HTTP2-Settings", "AAMAAABkAAQAoAAAAAIAAAAA")
        .and("Sec-WebSocket-Key", "x")
        .and("Content-Length", "0");
    client.send_request(&request);
    let mut application = upstream.accept();
    let got = answer(&mut application, HELLO);
    assert_eq!(got.line, "DELETE /a%20b?x=%0a&y HTTP/1.1");
    assert!(got.fields.iter().any(|(name, _)| name == "X-CamelCase-ID"), "{got:?}");
    assert_eq!(got.only("host"), Some("localhost"));
    assert_eq!(got.only("cookie"), Some("session=1"));
    assert_eq!(got.only("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(got.only("x-forwarded-proto"), Some("https"));
    assert_eq!(got.only("content-length"), Some("0"));
    for gone in
        ["x-hop", "te", "expect", "upgrade", "http2-settings", "sec-websocket-key", "connection"]
    {
        assert_eq!(got.all(gone), Vec::<&str>::new(), "{gone}");
    }
    // A connection whose client asks for another protocol carries no other request.
    assert!(client.read_response().says_close());
    client.expect_eof();
}

#[test]
fn a_route_maps_its_path_to_that_of_the_upstream() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()])
        .path("/app/*")
        .route("serve = [\"websocket\", \"http\"]\nupstream_path = \"/v2/*\"")
        .start();
    let mut client = gateway.connect();
    client.send_request(&get("/%61pp/x%20y/?z=/app/"));
    let mut application = upstream.accept();
    assert_eq!(answer(&mut application, HELLO).line, "GET /v2/x%20y/?z=/app/ HTTP/1.1");
    assert_eq!(client.read_response().status(), 200);
    client.send_request(&Request::upgrade("/app/socket"));
    let (_socket, request) = upstream.accept_upgrade("");
    assert_eq!(request.line, "GET /v2/socket HTTP/1.1");
    gateway.expect_refusal(&get("/app/../secret"), 400, "handshake.malformed");
}

/// Servers disagree about what such a path means: where one of its meanings is for another route, that route's token
/// would be passed by.
#[test]
fn an_ambiguous_path_is_forwarded_where_all_its_readings_have_one_route() {
    let (upstream, other) = (RawUpstream::bind(), RawUpstream::bind());
    let admin = format!(
        "[routes.admin]\npath = \"/admin/*\"\nserve = [\"http\"]\nupstream = [\"ws://{}\"]\nauth = \"none\"\n",
        other.address()
    );
    let gateway =
        serving(&[upstream.address()]).route("ambiguous_paths = true").more(&admin).start();
    let mut client = gateway.connect();
    for target in [
        "//",
        "//a/b//c?d=//",
        "/proxy/https://other.example/x",
        "/projects/group%2Fproject",
        "/queues/%2f/name",
        "/a;b=c/d;e",
        "/a%3Bb",
        "/adm%2fin/",
        "/admin%2Fx?y=%2e%2e/",
    ] {
        client.send_request(&get(target));
        if target.starts_with("/admin") {
            break;
        }
        let mut application = upstream.accept();
        assert_eq!(answer(&mut application, HELLO).line, format!("GET {target} HTTP/1.1"));
        assert_eq!(client.read_response().status(), 200);
        application.half_close();
    }
    gateway.check_refusal(&client.read_response(), 400, "handshake.malformed");
    for target in [
        "//admin/x",
        "//x/admin/y",
        "/%2Fx/admin/y",
        "/admin//x",
        "/admin/a;b",
        "/x;y/../admin/",
        "/x/..;/admin/",
        "/x%2f..%2fadmin/",
        "/a//./b",
        "/;/admin/x",
        "/a%5cb//",
        "/a%00//",
    ] {
        gateway.expect_bare_refusal(&get(target).bytes(), 400, "handshake.malformed");
    }
    gateway.expect_refusal(&Request::upgrade("/a//b"), 400, "handshake.malformed");
    gateway.expect_explained(&["--plain", "--path", "/a//b"], &["route any host, path /*"]);
    gateway.expect_explained(&["--plain", "--path", "/admin//b"], &["refused"]);
    upstream.received_nothing();
    other.received_nothing();
    let strict = serving(&[upstream.address()]).start();
    for target in ["//", "/a;b", "/a%2fb", "/a%3bb"] {
        strict.expect_refusal(&get(target), 400, "handshake.malformed");
    }
}

#[test]
fn an_answer_keeps_its_status_and_fields() {
    let upstream = RawUpstream::bind();
    let gateway = serving(&[upstream.address()]).start();
    let mut client = gateway.connect();
    client.send_request(&get("/"));
    let mut application = upstream.accept();
    let fields = "Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-camelCase: 1\r\nETag: \"x\"\r\n\
                  Access-Control-Allow-Origin: *\r\nKeep-Alive: timeout=5\r\nConnection: X-Hop\r\n\
                  X-Hop: 1\r\nContent-Length: 3\r\n\r\n404";
    answer(&mut application, &format!("HTTP/1.1 404 Nothing\r\n{fields}"));
    let response = client.read_response();
    assert_eq!((response.status(), &*response.body), (404, &b"404"[..]));
    assert_eq!(response.all("set-cookie"), ["a=1", "b=2"]);
    assert_eq!(response.only("access-control-allow-origin"), Some("*"));
    assert!(response.fields.iter().any(|(name, _)| name == "X-camelCase"), "{response:?}");
    for hop in ["keep-alive", "x-hop"] {
        assert_eq!(response.all(hop), Vec::<&str>::new());
    }
}

#[test]
fn an_answer_to_head_and_a_304_have_no_body() {
    let upstream = RawUpstream::bind();
    let gateway = serving(&[upstream.address()]).start();
    let mut client = gateway.connect();
    client.send_request(&plain("HEAD / HTTP/1.1"));
    let mut application = upstream.accept();
    answer(&mut application, "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n");
    let head = client.read_head();
    assert_eq!((head.status(), head.only("content-length")), (200, Some("1234")));
    client.send_request(&get("/").and("If-None-Match", "\"x\""));
    answer(&mut application, "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n");
    assert_eq!(client.read_head().status(), 304);
    client.send_request(&get("/"));
    answer(&mut application, HELLO);
    assert_eq!(client.read_response().body, b"hello");
}

/// Origins are for handshakes: what a page of another site may read, the application says (CORS).
#[test]
fn a_preflight_is_the_applications() {
    let upstream = RawUpstream::bind();
    let gateway = serving(&[upstream.address()]).start();
    let mut client = gateway.connect();
    let preflight = plain("OPTIONS /api HTTP/1.1")
        .and("Origin", "https://elsewhere.example")
        .and("Access-Control-Request-Method", "PUT");
    client.send_request(&preflight);
    let mut application = upstream.accept();
    let allowed = "Access-Control-Allow-Origin: https://elsewhere.example";
    let got = answer(&mut application, &format!("HTTP/1.1 204 No Content\r\n{allowed}\r\n\r\n"));
    assert_eq!(got.only("access-control-request-method"), Some("PUT"));
    let response = client.read_head();
    assert_eq!(response.status(), 204);
    assert_eq!(response.only("access-control-allow-origin"), Some("https://elsewhere.example"));
    gateway.expect_refusal(
        &Request::upgrade("/").and("Origin", "https://elsewhere.example"),
        403,
        "origin.denied",
    );
}

#[test]
fn an_answer_that_is_none_is_a_bad_gateway() {
    for bad in [
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n1",
        "HTTP/1.1 200 OK\r\nBad Name: 1\r\n\r\n",
        "",
    ] {
        let upstream = RawUpstream::bind();
        let gateway = serving(&[upstream.address()]).start();
        let mut client = gateway.connect();
        client.send_request(&get("/"));
        let mut application = upstream.accept();
        answer(&mut application, bad);
        application.half_close();
        let response = client.read_response();
        gateway.check_refusal(&response, 502, "upstream.handshake");
    }
}

#[test]
fn early_hints_are_bounded() {
    let upstream = RawUpstream::bind();
    let gateway = serving(&[upstream.address()]).start();
    let mut client = gateway.connect();
    client.send_request(&get("/"));
    let mut application = upstream.accept();
    let hint = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n";
    answer(&mut application, &(hint.repeat(8) + HELLO));
    assert_eq!(client.read_response().body, b"hello");
    client.send_request(&get("/"));
    answer(&mut application, &(hint.repeat(9) + HELLO));
    gateway.check_refusal(&client.read_response(), 502, "upstream.handshake");
}

/// A URL parser takes two slashes at the beginning for the mark of a host.
#[test]
fn a_mapped_path_does_not_begin_with_a_host() {
    let upstream = RawUpstream::bind();
    let gateway = serving(&[upstream.address()])
        .path("/api/*")
        .route("ambiguous_paths = true\nupstream_path = \"/*\"")
        .start();
    for target in ["/api//x/admin", "/api/%2fx/admin"] {
        gateway.expect_refusal(&get(target), 400, "handshake.malformed");
    }
    upstream.received_nothing();
    let mut client = gateway.connect();
    client.send_request(&get("/api/a//b"));
    assert_eq!(upstream.accept().read_head().line, "GET /a//b HTTP/1.1");
}
