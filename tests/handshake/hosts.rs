//! One canonical host: every spelling of a host takes the same route, meets the same server name and
//! origin, and reaches the application in the same form; `explain` says the same.

use std::path::Path;

use super::support::{Authority, Gateway, RawUpstream, Request, Session};

fn write_secret(folder: &Path, _: &Authority) {
    std::fs::write(folder.join("secret"), [b'x'; 64]).unwrap();
}

/// A route for any host that admits anybody, and beside it routes for hosts that want a token.
fn side_by_side(open: &RawUpstream, protected: &RawUpstream) -> Gateway {
    Gateway::to(&[open.address()])
        .prepare(write_secret)
        .more(&format!(
            "[routes.admin]\n\
             host = [\"Admin.example.com.\", \"*.Admin.example.com.\", \"[0:0::1]\", \"127.0.0.1\"]\n\
             path = \"/ws\"\nupstream = [\"ws://{}\"]\nauth = \"main\"\n\
             [jwt.main]\nalgorithms = [\"HS256\"]\nsecret = \"file:secret\"\n",
            protected.address()
        ))
        .start()
}

fn to(host: &str) -> Request {
    Request::upgrade("/ws").set("Host", host)
}

/// What `explain` decides, its last line squeezed.
fn explained(gateway: &Gateway, host: &str) -> String {
    let (_, text) = gateway.explain(&["--path", "/ws", "--host", host]);
    text.lines().last().unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn no_spelling_of_a_protected_host_takes_the_open_route() {
    let (open, protected) = (RawUpstream::bind(), RawUpstream::bind());
    let gateway = side_by_side(&open, &protected);
    for host in [
        "admin.example.com",
        "ADMIN.example.com",
        "admin.example.com.",
        "admin.example.com:443",
        "admin.example.com.:443",
        "admin.example.com:",
        "admin.example.com.:",
        "x.admin.example.com.",
        "[::1]",
        "[0:0::1]",
        "[::0001]:8443",
        "[0:0:0:0:0:0:0:1]:",
        "127.0.0.1",
        "127.0.0.1.",
        "127.0.0.1.:80",
    ] {
        gateway.expect_refusal(&to(host), 401, "token.missing");
        assert_eq!(explained(&gateway, host), "refused token.missing (401)", "{host}");
        let absolute = Request::upgrade(&format!("ws://{host}/ws"));
        gateway.expect_refusal(&absolute, 401, "token.missing");
        open.received_nothing();
        protected.received_nothing();
    }
}

#[test]
fn the_application_gets_the_host_that_was_judged() {
    let (open, protected) = (RawUpstream::bind(), RawUpstream::bind());
    let gateway = side_by_side(&open, &protected);
    for (host, canonical) in [
        ("Chat.Example.com", "chat.example.com"),
        ("chat.example.com.", "chat.example.com"),
        ("chat.example.com.:443", "chat.example.com:443"),
        ("chat.example.com:", "chat.example.com"),
        ("chat.example.com:08443", "chat.example.com:8443"),
        ("[2001:DB8:0:0::A]:8443", "[2001:db8::a]:8443"),
        ("[::2]", "[::2]"),
        ("127.0.0.2.", "127.0.0.2"),
        ("XN--mnchen-3ya.example.", "xn--mnchen-3ya.example"),
        ("under_score.example", "under_score.example"),
        ("y.x.admin.example.com", "y.x.admin.example.com"),
    ] {
        assert_eq!(explained(&gateway, host), "admitted as anybody", "{host}");
        let session = Session::open_with(&gateway, &open, &to(host), "");
        assert_eq!(session.request.only("host"), Some(canonical), "{host}");
        assert_eq!(session.request.only("x-forwarded-host"), Some(canonical), "{host}");
        let forwarded = format!("for=127.0.0.1;host=\"{canonical}\";proto=https");
        assert_eq!(session.request.only("forwarded"), Some(forwarded.as_str()), "{host}");
        protected.received_nothing();
    }
}

#[test]
fn a_host_without_a_canonical_form_is_refused_for_its_reason() {
    let (open, protected) = (RawUpstream::bind(), RawUpstream::bind());
    let gateway = side_by_side(&open, &protected);
    for (host, why) in [
        ("", "the host is empty"),
        ("127.1", "the host ends in a number and is not an IPv4 address"),
        ("0x7f000001", "the host ends in a number and is not an IPv4 address"),
        ("2130706433", "the host ends in a number and is not an IPv4 address"),
        ("0177.0.0.1", "the host ends in a number and is not an IPv4 address"),
        (".admin.example.com", "the host has an empty label"),
        ("admin..example.com", "the host has an empty label"),
        ("admin.example.com..", "the host has an empty label"),
        ("admin.example.com:99999", "the port is not a number below 65536"),
        ("user@admin.example.com", "there is a user name or password before the host"),
        ("admin.example.com/", "the host has '/' at byte 18"),
        ("admin%2eexample.com", "the host has '%' at byte 6"),
        ("::1", "the host is an IPv6 address without brackets"),
        ("[::1", "the host is not an IPv6 address in brackets"),
        ("[fe80::1%25eth0]", "the host is not an IPv6 address in brackets, without a zone"),
        ("m\u{fc}nchen.example", "written with its A-labels (xn--...)"),
    ] {
        let response = gateway.expect_refusal(&to(host), 400, "handshake.malformed");
        let id = response.problem().unwrap()["request_id"].clone();
        let record = gateway.wait_for_record(|record| record["request_id"] == id);
        let detail = record["detail"].as_str().unwrap();
        assert!(detail.starts_with("the Host header has no canonical form: "), "{host}: {detail}");
        assert!(detail.contains(why), "{host}: {detail}");
        assert_eq!(explained(&gateway, host), "refused handshake.malformed (400)", "{host}");
        open.received_nothing();
        protected.received_nothing();
    }
    let none = gateway.expect_refusal(
        &Request::upgrade("/ws").without("Host"),
        400,
        "handshake.malformed",
    );
    assert_eq!(none.status(), 400);
    gateway.expect_refusal(&to("a").and("Host", "a"), 400, "handshake.malformed");
    let records = gateway.log_records();
    for detail in ["the Host header is missing", "there is more than one Host header"] {
        assert!(records.iter().any(|record| record["detail"] == detail), "{detail}");
    }
}

#[test]
fn the_same_origin_is_that_of_the_canonical_host() {
    let (open, protected) = (RawUpstream::bind(), RawUpstream::bind());
    let gateway = side_by_side(&open, &protected);
    for (host, origin) in [
        ("chat.example.com.", "https://chat.example.com."),
        ("chat.example.com.", "https://chat.example.com"),
        ("chat.example.com", "https://chat.example.com.:443"),
        ("chat.example.com:", "https://chat.example.com"),
        ("[0:0::2]:8443", "https://[::2]:8443"),
        ("127.0.0.2.", "https://127.0.0.2"),
    ] {
        let request = to(host).and("Origin", origin);
        Session::open_with(&gateway, &open, &request, "").prove_alive();
    }
    for origin in ["https://chat.example.com..", "https://.chat.example.com", "https://127.1"] {
        let request = to("chat.example.com").and("Origin", origin);
        gateway.expect_refusal(&request, 403, "origin.denied");
        open.received_nothing();
    }
}

#[test]
fn a_server_name_is_compared_in_the_canonical_form() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()])
        .certificate(&["one.example"])
        .certificate(&["two.example"])
        .start();
    for host in ["two.example.", "TWO.example.:443", "two.example:"] {
        let mut client = gateway.connect_as("one.example");
        client.send_request(&to(host));
        gateway.check_refusal(&client.read_response(), 421, "sni.mismatch");
        upstream.received_nothing();
        for name in ["two.example", "Two.Example"] {
            let mut client = gateway.connect_as(name);
            client.send_request(&to(host));
            let (_, request) = upstream.accept_upgrade("");
            assert_eq!(client.read_head().status(), 101);
            assert!(request.only("host").unwrap().starts_with("two.example"));
        }
    }
    for (name, verdict) in [("TWO.example.", "admitted"), ("one.example.", "refused")] {
        let arguments = ["--path", "/ws", "--host", "two.example.", "--server-name", name];
        let (_, text) = gateway.explain(&arguments);
        assert!(text.lines().last().unwrap().starts_with(verdict), "{text}");
    }
}
