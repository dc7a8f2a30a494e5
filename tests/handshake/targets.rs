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
    let targets: [&[u8]; 9] = [
        b"/ws/a#b",
        b"/ws/a?<b",
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
fn an_absolute_target_is_for_its_own_host() {
    let (one, any) = (RawUpstream::bind(), RawUpstream::bind());
    let gateway = Gateway::to(&[any.address()])
        .more(&format!(
            "[routes.one]\nhost = [\"one.example\"]\npath = \"/ws\"\nupstream = [\"ws://{}\"]\n\
             auth = \"none\"",
            one.address()
        ))
        .start();
    for (target, line, host) in [
        ("http://one.example/ws", "GET /ws HTTP/1.1", "one.example"),
        ("ws://ONE.example.:8443/ws?a=b", "GET /ws?a=b HTTP/1.1", "one.example:8443"),
        ("WSS://one.example:/%77s", "GET /%77s HTTP/1.1", "one.example"),
    ] {
        // Host is ignored, RFC 9112 section 3.2.2.
        let request = Request::upgrade(target).set("Host", "localhost");
        let session = Session::open_with(&gateway, &one, &request, "");
        assert_eq!(session.request.line, line);
        assert_eq!(session.request.only("host"), Some(host));
        any.received_nothing();
    }
    let request = Request::upgrade("https://localhost/ws").set("Host", "one.example");
    let same = request.and("Origin", "https://localhost");
    let session = Session::open_with(&gateway, &any, &same, "");
    assert_eq!(session.request.only("host"), Some("localhost"));
    let (_, text) = gateway.explain(&["--path", "http://one.example./ws"]);
    assert!(text.contains("host one.example, path /ws (routes.one)"), "{text}");
    let elsewhere = Request::upgrade("http://localhost/ws").set("Host", "evil.example");
    let elsewhere = elsewhere.and("Origin", "https://evil.example");
    gateway.expect_refusal(&elsewhere, 403, "origin.denied");
    one.received_nothing();
    any.received_nothing();
}

#[test]
fn targets_in_another_form_are_refused() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    for target in [
        "*",
        "ws",
        "ftp://localhost/ws",
        "localhost:80",
        "http://127.1/ws",
        "http://a..b/ws",
        "http:///ws",
        "http://user@localhost/ws",
    ] {
        let request = Request::upgrade(target).bytes();
        gateway.expect_bare_refusal(&request, 400, "handshake.malformed");
        upstream.received_nothing();
    }
}

/// Each is named in the log, and none is a strike: any page can make a browser send most of them.
#[test]
fn a_refused_target_is_logged_with_its_place_and_is_no_strike() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()])
        .path("/ws/*")
        .more("[firewall.ban]\nstrikes = 1\nwithin = \"1m\"\nduration = \"1m\"\n")
        .start();
    for (target, detail) in [
        ("//ws/a", "the path has // at byte 2"),
        ("/ws//a", "the path has // at byte 5"),
        ("/ws/a|b", "the path has '|' at byte 6, which must be percent-encoded"),
        ("/ws/\"a\"", "the request target has '\"' at byte 5, which must be percent-encoded"),
        ("/ws/a`", "the path has '`' at byte 6, which must be percent-encoded"),
        ("/ws/a;b", "the path has a ; at byte 6"),
        ("/ws/%2e%2e/a", "the path has the segment . or .. at byte 5"),
        (
            "/ws/a%5cb",
            "the path has a percent-encoded slash, backslash or control character at byte 6",
        ),
        ("/ws/%zz", "the path has a % at byte 5 that two hexadecimal digits do not follow"),
        ("/ws/a b", "the request target has ' ' at byte 6, which must be percent-encoded"),
        ("/ws/a?<b>", "the request target has '<' at byte 7, which must be percent-encoded"),
        ("/ws/a#b", "the request target has '#' at byte 6, which must be percent-encoded"),
        ("/ws/\u{e4}", "the request target has '\u{e4}' at byte 5, which must be percent-encoded"),
        ("/ws/\u{1}", "the request target has '\\u{1}' at byte 5, which must be percent-encoded"),
        (
            "ws",
            "the request target is neither a path that starts with / nor an http, https, ws or wss URI",
        ),
        (
            "http://.a/ws/a",
            "the host in the request target has no canonical form: the host has an empty label",
        ),
    ] {
        gateway.expect_bare_refusal(&Request::upgrade(target).bytes(), 400, "handshake.malformed");
        let named = |record: &serde_json::Value| {
            record["detail"].as_str().is_some_and(|text| text.starts_with(detail))
        };
        gateway.wait_for_record(named);
        upstream.received_nothing();
    }
    for host in ["a..b", "127.1", "m\u{fc}nchen.example"] {
        let request = Request::upgrade("/ws/a").set("Host", host);
        gateway.expect_refusal(&request, 400, "handshake.malformed");
    }
    Session::open_with(&gateway, &upstream, &Request::upgrade("/ws/a"), "").prove_alive();
}

/// The HTTP library has a table of its own; no character comes to a refusal without its name.
#[test]
fn every_character_is_taken_or_named() {
    let upstream = RawUpstream::bind();
    for before in ["/ws/", "/ws/?"] {
        // One each: the log holds what one address can write.
        let gateway = Gateway::to(&[upstream.address()]).path("/ws/*").start();
        for character in (b'!'..=b'~').map(char::from).filter(|byte| !"%?".contains(*byte)) {
            let target = format!("{before}a{character}b");
            let mut client = gateway.connect();
            client.send(&Request::upgrade(&target).bytes());
            let application = upstream.accept_unless(&mut client);
            let taken = application.is_some();
            if let Some(mut application) = application {
                assert_eq!(application.read_head().line, format!("GET {target} HTTP/1.1"));
            } else {
                assert_eq!(client.read_response().status(), 400, "{target}");
                let place = before.len() + 2;
                let named = format!(" {character:?} at byte {place}");
                let named = if character == ';' { named.replace('\'', "") } else { named };
                gateway.wait_for_record(|record| {
                    record["detail"].as_str().is_some_and(|detail| detail.contains(&named))
                });
            }
            let refused = if before.contains('?') { "\"#<>" } else { "\"#;<>[\\]^`{|}" };
            assert_eq!(taken, !refused.contains(character), "{target}");
        }
    }
}

#[test]
fn a_star_matches_every_path_with_the_prefix() {
    let (all, below) = (RawUpstream::bind(), RawUpstream::bind());
    let gateway = Gateway::to(&[all.address()])
        .path("/*")
        .more(&format!(
            "[routes.below]\npath = \"/ws/*\"\nupstream = [\"ws://{}\"]\nauth = \"none\"",
            below.address()
        ))
        .start();
    for (targets, upstream, other) in [
        (&["/", "/?a", "/ws", "/wsx", "/a", "/a/", "/a/b/c", "http://localhost"][..], &all, &below),
        (&["/ws/", "/ws/?a", "/ws/a", "/ws/a/b/"], &below, &all),
    ] {
        for target in targets {
            Session::open_with(&gateway, upstream, &Request::upgrade(target), "").prove_alive();
            other.received_nothing();
        }
    }
    gateway.expect_explained(&["--path", "/"], &["route any host, path /* (routes.app)"]);
    gateway.expect_explained(&["--path", "/ws"], &["route any host, path /* (routes.app)"]);
    gateway.expect_explained(&["--path", "/ws/"], &["route any host, path /ws/* (routes.below)"]);
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
