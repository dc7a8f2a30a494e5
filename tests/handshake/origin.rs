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

/// Origins of pages that are on no web server, and texts that are no origin.
const ODD: [&str; 12] = [
    "null",
    "",
    "file://",
    "qrc://",
    "capacitor://localhost",
    "ionic://localhost:8100",
    "chrome-extension://aapbdbdomjkkjkaonfhkkikfgjllcleb",
    "moz-extension://0a1b2c3d-0000-4000-8000-012345678901",
    "app://12345",
    "file:///android_asset",
    "https://127.1",
    "no origin, m\u{fc}nchen",
];

#[test]
fn a_star_allows_any_origin() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()])
        .route("origins = [\"*\"]\nrequire_origin = true")
        .start();
    for origin in ["https://anybody.example"].iter().chain(&ODD) {
        let mut client = gateway.connect();
        client.send_request(&from(origin));
        let mut application = upstream.accept();
        let head = application.read_head();
        assert_eq!(head.only("origin"), Some(*origin));
    }
    let twice = from("null").and("Origin", "null");
    gateway.expect_refusal(&twice, 403, "origin.denied");
    gateway.expect_refusal(&Request::upgrade("/ws"), 403, "origin.denied");
    upstream.received_nothing();
}

#[test]
fn an_origin_of_no_web_server_is_denied_unless_it_is_listed() {
    let upstream = RawUpstream::bind();
    for route in ["", "origins = [\"https://chat.example.com\", \"app://other\"]"] {
        let gateway = Gateway::to(&[upstream.address()]).route(route).start();
        denied(&gateway, &upstream, &ODD);
    }
    for listed in &ODD[..9] {
        let gateway = Gateway::to(&[upstream.address()])
            .route(&format!("origins = [\"{listed}\", \"https://localhost\"]"))
            .start();
        for origin in [listed, "https://localhost"] {
            Session::open_with(&gateway, &upstream, &from(origin), "").prove_alive();
        }
        let others: Vec<_> = ODD.iter().filter(|odd| *odd != listed).copied().collect();
        denied(&gateway, &upstream, &others);
        let arguments = ["--path", "/ws", "--origin", listed];
        let (code, text) = gateway.explain(&arguments);
        assert_eq!(code, Some(0), "{text}");
    }
}

#[test]
fn a_star_in_an_origin_is_one_label() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()])
        .route("origins = [\"https://*.Example.com.\", \"https://*.example.com:8443\"]")
        .start();
    for origin in
        ["https://a.example.com", "https://A.example.com.:443", "https://b-c.example.com:8443"]
    {
        Session::open_with(&gateway, &upstream, &from(origin), "").prove_alive();
    }
    denied(
        &gateway,
        &upstream,
        &[
            "https://example.com",
            "https://.example.com",
            "https://a.b.example.com",
            "https://aexample.com",
            "https://a.example.com.evil.example",
            "http://a.example.com",
            "https://a.example.com:444",
            "https://*.example.com",
            "null",
        ],
    );
}

#[test]
fn an_open_session_is_judged_again_by_its_origin() {
    let upstream = RawUpstream::bind();
    for (origin, stays) in [("null", true), ("", false), ("file:///x", false), ("https://a", false)]
    {
        let gateway = Gateway::to(&[upstream.address()]).route("origins = [\"*\"]").start();
        let mut session = Session::open_with(&gateway, &upstream, &from(origin), "");
        session.prove_alive();
        gateway.rewrite(|text| text.replace("origins = [\"*\"]", "origins = [\"null\"]"));
        gateway.hang_up("reloaded");
        if stays {
            session.prove_alive();
        } else {
            session.client.expect_closing(4403, "origin.denied");
        }
    }
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
