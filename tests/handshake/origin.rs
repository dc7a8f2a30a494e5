//! Cross-site WebSocket hijacking: which pages may connect (RFC 6455 section 10.2).

use super::support::{Gateway, RawUpstream, Request, Session};

fn from(origin: &str) -> Request {
    Request::upgrade("/ws").and("Origin", origin)
}

#[track_caller]
fn denied(gateway: &Gateway, upstream: &RawUpstream, origins: &[&str]) {
    for origin in origins {
        gateway.expect_refusal(&from(origin), 403, "origin.denied");
        upstream.received_nothing();
    }
}

#[test]
fn without_a_list_only_the_same_origin_may_connect() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    for origin in ["https://localhost", "https://LOCALHOST:443"] {
        Session::open_with(&gateway, &upstream, &from(origin), "").prove_alive();
    }
    let with_port = from("https://localhost:8443").set("Host", "localhost:8443");
    Session::open_with(&gateway, &upstream, &with_port, "").prove_alive();
    let listening = format!("https://localhost:{}", gateway.address().port());
    denied(
        &gateway,
        &upstream,
        &[
            "http://localhost",
            "https://localhost:8443",
            &listening,
            "https://localhost.evil.example",
            "https://evil.example",
            "https://127.0.0.1",
            "https://localhost/",
            "https://user@localhost",
            "https://localhost https://evil.example",
            "wss://localhost",
            "file://",
            "null",
            "",
        ],
    );
    let to_port = from("https://localhost").set("Host", "localhost:8443");
    gateway.expect_refusal(&to_port, 403, "origin.denied");
    upstream.received_nothing();
}

#[test]
fn listed_origins_are_compared_exactly() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()])
        .route("origins = [\"https://chat.example.com\"]")
        .start();
    for origin in ["https://chat.example.com", "https://Chat.Example.com:443"] {
        Session::open_with(&gateway, &upstream, &from(origin), "").prove_alive();
    }
    denied(
        &gateway,
        &upstream,
        &[
            "http://chat.example.com",
            "https://chat.example.com:8443",
            "https://chat.example.com.evil.example",
            "https://evilchat.example.com",
            "https://a.chat.example.com",
            "https://example.com",
            "https://chat.example.com@evil.example",
            "https://localhost",
            "http://localhost",
            "http://127.0.0.1",
            "null",
        ],
    );
}

#[test]
fn two_origins_are_refused() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    let twice = from("https://localhost").and("Origin", "https://localhost");
    gateway.expect_refusal(&twice, 403, "origin.denied");
    let other = from("https://localhost").and("origin", "https://evil.example");
    gateway.expect_refusal(&other, 403, "origin.denied");
    upstream.received_nothing();
}

#[test]
fn a_program_without_origin_passes_unless_one_is_required() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).route("require_origin = true").start();
    gateway.expect_refusal(&Request::upgrade("/ws"), 403, "origin.denied");
    upstream.received_nothing();
    Session::open_with(&gateway, &upstream, &from("https://localhost"), "").prove_alive();
}

#[test]
fn any_origin_may_be_allowed_in_so_many_words() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).route("origins = [\"*\"]").start();
    Session::open_with(&gateway, &upstream, &from("https://anybody.example"), "").prove_alive();
}

#[test]
fn the_scheme_of_an_untrusted_proxy_is_not_believed() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).plain().start();
    let forged = from("https://localhost").and("X-Forwarded-Proto", "https");
    gateway.expect_refusal(&forged, 403, "origin.denied");
    upstream.received_nothing();
    Session::open_with(&gateway, &upstream, &from("http://localhost"), "").prove_alive();
}

#[test]
fn the_scheme_of_a_trusted_proxy_is_believed() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()])
        .server("trusted_proxies = [\"127.0.0.1/32\"]")
        .plain()
        .start();
    let secure = from("https://localhost")
        .and("X-Forwarded-For", "198.51.100.7")
        .and("X-Forwarded-Proto", "https");
    Session::open_with(&gateway, &upstream, &secure, "").prove_alive();
}
