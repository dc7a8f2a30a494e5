//! Request targets. The application gets them byte for byte as they came; what another server could
//! read as another path is refused.

use super::support::{Gateway, RawUpstream, Request, Session};

#[test]
fn the_target_is_forwarded_as_it_came() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).path("/ws/*").start();
    for target in ["/ws/a?b=c&d=%0d%0aX-Evil:%201", "/ws/%7euser/%C3%A4", "/ws/a/?"] {
        let session = Session::open_with(&gateway, &upstream, &Request::upgrade(target), "");
        assert_eq!(session.request.line, format!("GET {target} HTTP/1.1"));
        assert_eq!(session.request.all("x-evil"), Vec::<&str>::new());
    }
}

#[test]
fn paths_that_servers_read_differently_are_refused() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).path("/ws/*").start();
    let targets = [
        "/ws/../admin",
        "/ws/%2e%2e/admin",
        "/ws/.%2E/admin",
        "/ws/./a",
        "/ws//a",
        "//ws/a",
        "/ws/a%2fb",
        "/ws/a%5Cb",
        "/ws/a%00",
        "/ws/a%0d%0aX-Evil:1",
        "/ws/a;b=c",
        "/ws/a%3bb",
        "/ws/a%zz",
        "/ws/a%4",
        "/ws/a\\b",
        "/ws/a\"b",
    ];
    for target in targets {
        let request = Request::upgrade(target).bytes();
        gateway.expect_bare_refusal(&request, 400, "handshake.malformed");
        upstream.received_nothing();
    }
}

#[test]
fn characters_that_no_target_may_have_are_refused() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).path("/ws/*").start();
    let targets: [&[u8]; 8] = [
        b"/ws/a#b",
        b"/ws/a?b#c",
        b"/ws/a b",
        b"/ws/a\tb",
        b"/ws/a\x01b",
        b"/ws/a\x7fb",
        b"/ws/a?b\x01c",
        b"/ws/\xff",
    ];
    for target in targets {
        let head = Request::with_line("TARGET").bytes();
        let rest = head.strip_prefix(b"TARGET").unwrap();
        let request = [b"GET ", target, b" HTTP/1.1", rest].concat();
        gateway.expect_bare_refusal(&request, 400, "handshake.malformed");
        upstream.received_nothing();
    }
}

#[test]
fn targets_in_another_form_are_refused() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    for target in ["*", "ws", "http://localhost/ws", "https://evil.example/ws"] {
        let request = Request::upgrade(target).bytes();
        gateway.expect_bare_refusal(&request, 400, "handshake.malformed");
        upstream.received_nothing();
    }
}

#[test]
fn a_path_without_a_route_is_not_found() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    for target in ["/", "/w", "/WS", "/ws/", "/ws/a", "/wsx", "/?/ws"] {
        gateway.expect_refusal(&Request::upgrade(target), 404, "route.none");
    }
    upstream.received_nothing();
}

#[test]
fn routes_match_the_canonical_path() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    let request = Request::upgrade("/%77s?token=secret");
    let session = Session::open_with(&gateway, &upstream, &request, "");
    assert_eq!(session.request.line, "GET /%77s?token=secret HTTP/1.1");
    gateway.wait_for_record(|record| record["event"] == "session.opened");
    let log = format!("{:?}", gateway.log_records());
    assert!(!log.contains("hush-hush"), "a query string in the log: {log}");
}

#[test]
fn hosts_select_routes() {
    let (one, any) = (RawUpstream::bind(), RawUpstream::bind());
    let gateway = Gateway::to(&[any.address()])
        .more(&format!(
            "[routes.one]\nhost = [\"one.example\", \"*.one.example\"]\npath = \"/ws\"\n\
             upstream = [\"ws://{}\"]\nauth = \"none\"",
            one.address()
        ))
        .plain()
        .start();
    let upgrade = |host: &str| Request::upgrade("/ws").set("Host", host);
    for host in ["one.example", "ONE.example:8443", "a.one.example"] {
        Session::open_with(&gateway, &one, &upgrade(host), "").prove_alive();
        any.received_nothing();
    }
    for host in ["two.example", "a.b.one.example", "oneXexample", "127.0.0.1"] {
        Session::open_with(&gateway, &any, &upgrade(host), "").prove_alive();
        one.received_nothing();
    }
}
