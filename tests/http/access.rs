//! Everything that guards a socket guards a page.

use super::support::{Gateway, RawUpstream, Request};
use super::{HELLO, answer, get, plain, serving};

pub(super) const SECRET: &str = "0123456789abcdef0123456789abcdef";

pub(super) fn token(more: &str) -> String {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_framewall"))
        .args(["token", "mint", "--user", "ann", "--secret", "env:PLAIN_SECRET"])
        .args(more.split_whitespace())
        .env("PLAIN_SECRET", SECRET)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

pub(super) const ISSUER: &str = "[jwt.main]\nalgorithms = [\"HS256\"]\nsecret = \"file:secret\"\n\
    token_from = [\"header\", \"cookie:session\"]\nforward = { \"X-User\" = \"sub\" }\nleeway = \"0s\"\n";

fn guarded(upstream: &RawUpstream) -> Gateway {
    serving(&[upstream.address()])
        .auth("main")
        .prepare(|folder, _| std::fs::write(folder.join("secret"), SECRET).unwrap())
        .more(ISSUER)
        .start()
}

#[test]
fn a_page_wants_the_token_of_its_route() {
    let upstream = RawUpstream::bind();
    let gateway = guarded(&upstream);
    let response = gateway.expect_refusal(&get("/"), 401, "token.missing");
    assert_eq!(response.only("www-authenticate"), Some("Bearer"));
    assert!(!response.says_close(), "the client may ask again with a token");
    gateway.expect_refusal(&get("/").and("Authorization", "Bearer a.b.c"), 401, "token.invalid");
    upstream.received_nothing();
    let mut client = gateway.connect();
    let good = token("");
    let cookie = format!("a=1; session={good}; b=2");
    client.send_request(&get("/").and("Cookie", &cookie).and("X-User", "eve"));
    let mut application = upstream.accept();
    let got = answer(&mut application, HELLO);
    assert_eq!(got.only("x-user"), Some("ann"));
    assert_eq!(got.only("cookie"), Some("a=1; b=2"), "the credential was removed");
    assert_eq!(client.read_response().status(), 200);
    let record = gateway.wait_for_record(|record| record["event"] == "forwarded");
    assert_eq!(record["user"], "ann");
    let both = get("/").and("Cookie", &cookie).and("Authorization", "Bearer a.b.c");
    gateway.expect_refusal(&both, 400, "token.multiple");
}

/// Neither by a Connection field that names them, nor by other spellings, nor over several lines.
#[test]
fn no_credential_and_no_claim_of_the_client_reaches_the_application() {
    let upstream = RawUpstream::bind();
    let gateway = guarded(&upstream);
    let good = token("");
    let (bearer, cookie) = (format!("Bearer {good}"), format!("session={good}"));
    for request in [
        get("/").and("Authorization", &bearer).and("Connection", "authorization, x-user"),
        get("/")
            .and("X-User", "eve")
            .and("authorization", &bearer)
            .and("X_User", "eve")
            .and("x.user", "eve"),
        get("/").and("Cookie", &cookie).and("Connection", "cookie"),
        get("/").and("Cookie", "a=1").and("Cookie", &cookie).and("x-USER", "eve"),
    ] {
        let mut client = gateway.connect();
        client.send_request(&request);
        let mut application = upstream.accept();
        let got = answer(&mut application, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        assert_eq!(got.only("x-user"), Some("ann"), "{got:?}");
        let all = format!("{got:?}");
        assert!(!all.contains(&good) && !all.contains("eve"), "{all}");
        assert_eq!(client.read_head().status(), 204);
    }
}

#[test]
fn a_stream_of_events_ends_with_its_token() {
    let upstream = RawUpstream::bind();
    let gateway = guarded(&upstream);
    let mut client = gateway.connect();
    let good = token("--lifetime 2s");
    client.send_request(&get("/").and("Authorization", &format!("Bearer {good}")));
    let mut application = upstream.accept();
    answer(&mut application, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n");
    client.read_head();
    assert_eq!(client.take(6), b"1\r\nx\r\n");
    assert_eq!(client.expect_gone(), b"", "no last chunk");
    application.expect_gone();
}

#[test]
fn routes_are_for_kinds_of_requests() {
    let (pages, sockets) = (RawUpstream::bind(), RawUpstream::bind());
    let second = format!(
        "[routes.pages]\npath = \"/*\"\nserve = [\"http\"]\nauth = \"none\"\nupstream = [\"ws://{}\"]\n",
        pages.address()
    );
    let gateway = Gateway::to(&[sockets.address()]).path("/*").more(&second).start();
    let mut client = gateway.connect();
    client.send_request(&get("/ws"));
    answer(&mut pages.accept(), HELLO);
    assert_eq!(client.read_response().body, b"hello");
    client.send_request(&Request::upgrade("/ws"));
    sockets.accept_upgrade("");
    assert_eq!(client.read_head().status(), 101);

    let only =
        Gateway::to(&[sockets.address()]).path("/ws").more(&second.replace("/*", "/p/*")).start();
    only.expect_refusal(&get("/ws"), 426, "upgrade.required");
    only.expect_refusal(&get("/elsewhere"), 404, "route.none");
    only.expect_refusal(&Request::upgrade("/p/"), 404, "route.none");
    only.expect_refusal(&plain("TRACE /p/ HTTP/1.1"), 405, "method");
}

#[test]
fn firewall_bans_and_limits_are_for_pages_too() {
    let upstream = RawUpstream::bind();
    let gateway = serving(&[upstream.address()])
        .more("[admin]\nsocket = \"admin.sock\"\n[limits]\nhandshakes_per_ip = \"1/h burst 1\"\n")
        .start();
    let mut client = gateway.connect();
    // A page makes many requests: they are no handshakes.
    for _ in 0..3 {
        client.send_request(&get("/"));
        let mut application = upstream.accept_now().unwrap_or_else(|| upstream.accept());
        answer(&mut application, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        assert_eq!(client.read_head().status(), 204);
    }
    let (code, _, errors) = gateway.admin(&["ban", "127.0.0.1"]);
    assert_eq!(code, Some(0), "{errors}");
    client.send_request(&get("/"));
    let response = client.read_response();
    gateway.check_refusal(&response, 403, "ban.active");
    client.expect_eof();
}

#[test]
fn requests_have_a_rate_of_their_address_and_of_their_user() {
    let upstream = RawUpstream::bind();
    let answered = |gateway: &Gateway, request: &Request| {
        let mut client = gateway.connect();
        client.send_request(request);
        let application = upstream.accept_unless(&mut client);
        if let Some(mut application) = application {
            answer(
                &mut application,
                "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            );
        }
        client.read_response()
    };
    let limits = "[limits]\nrequests = \"1/h burst 2\"\n";
    let gateway = serving(&[upstream.address()]).more(limits).start();
    assert_eq!(answered(&gateway, &get("/")).status(), 200);
    assert_eq!(answered(&gateway, &get("/")).status(), 200);
    let refused = answered(&gateway, &get("/"));
    gateway.check_refusal(&refused, 429, "limit.requests");
    assert!(refused.only("retry-after").is_some() && !refused.says_close(), "{refused:?}");
    // A handshake is none of them.
    gateway.expect_refusal(&Request::upgrade("/").set("Origin", "null"), 403, "origin.denied");

    // Behind a trusted proxy: the user of one address is the user of another.
    let gateway = serving(&[upstream.address()])
        .auth("main")
        .prepare(|folder, _| std::fs::write(folder.join("secret"), SECRET).unwrap())
        .server("trusted_proxies = [\"127.0.0.1\"]")
        .more(&format!("{ISSUER}{limits}"))
        .start();
    let bearer = format!("Bearer {}", token(""));
    let from =
        |address: &str| get("/").and("Authorization", &bearer).and("X-Forwarded-For", address);
    assert_eq!(answered(&gateway, &from("203.0.113.1")).status(), 200);
    assert_eq!(answered(&gateway, &from("203.0.113.2")).status(), 200);
    let refused = answered(&gateway, &from("203.0.113.3"));
    gateway.check_refusal(&refused, 429, "limit.requests");
}

#[test]
fn a_route_has_a_rate_of_its_own() {
    let gateway = serving(&[RawUpstream::unused_address()])
        .path("/app")
        .route("requests = \"1/h burst 2\"")
        .more(
            "[limits]\nrequests = \"1/h burst 5\"\n[routes.other]\npath = \"/other\"\nserve = [\"http\"]\n\
             auth = \"none\"\nupstream = [\"ws://127.0.0.1:1\"]\nrequests = \"1/h burst 1\"\n",
        )
        .start();
    for _ in 0..2 {
        gateway.expect_refusal(&get("/app"), 503, "upstream.unavailable");
    }
    gateway.expect_refusal(&get("/app"), 429, "limit.requests");
    gateway.expect_refusal(&get("/other"), 503, "upstream.unavailable");
    gateway.expect_refusal(&get("/other"), 429, "limit.requests");
    // The rate of all routes counts all five.
    gateway.expect_refusal(&get("/elsewhere"), 429, "limit.requests");
}

/// Behind a trusted proxy: the user of one address is the user of another.
#[test]
fn a_route_has_a_rate_of_each_user() {
    let gateway = serving(&[RawUpstream::unused_address()])
        .auth("main")
        .route("requests = \"1/h burst 1\"")
        .prepare(|folder, _| std::fs::write(folder.join("secret"), SECRET).unwrap())
        .server("trusted_proxies = [\"127.0.0.1\"]")
        .more(ISSUER)
        .start();
    let bearer = format!("Bearer {}", token(""));
    let from =
        |address: &str| get("/").and("Authorization", &bearer).and("X-Forwarded-For", address);
    gateway.expect_refusal(&from("203.0.113.1"), 503, "upstream.unavailable");
    gateway.expect_refusal(&from("203.0.113.2"), 429, "limit.requests");
}

#[test]
fn refused_requests_count_for_the_rate() {
    let gateway = serving(&[RawUpstream::unused_address()])
        .path("/app")
        .more("[limits]\nrequests = \"1/h burst 2\"\n")
        .start();
    gateway.expect_refusal(&get("/elsewhere"), 404, "route.none");
    gateway.expect_refusal(&plain("TRACE /app HTTP/1.1"), 405, "method");
    gateway.expect_refusal(&get("/elsewhere"), 429, "limit.requests");
}

#[test]
fn an_open_answer_counts_for_the_address_behind_a_proxy() {
    let upstream = RawUpstream::bind();
    let gateway = serving(&[upstream.address()])
        .server("trusted_proxies = [\"127.0.0.1\"]")
        .more("[limits]\nconnections_per_ip = 1\n")
        .start();
    let from = |address: &str| get("/").and("X-Forwarded-For", address);
    let mut stream = gateway.connect();
    stream.send_request(&from("203.0.113.1"));
    let mut application = upstream.accept();
    answer(&mut application, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!(stream.read_head().status(), 200);
    gateway.expect_refusal(&from("203.0.113.1"), 429, "limit.connections");
    let mut other = gateway.connect();
    other.send_request(&from("203.0.113.2"));
    answer(&mut upstream.accept(), HELLO);
    assert_eq!(other.read_response().status(), 200);
    application.send(b"0\r\n\r\n");
    assert_eq!(stream.take(5), b"0\r\n\r\n");
    stream.send_request(&from("203.0.113.1"));
    let mut application = upstream.accept_now().unwrap_or(application);
    answer(&mut application, HELLO);
    assert_eq!(stream.read_response().status(), 200);
}

#[test]
fn explain_decides_about_a_page_as_the_gateway_does() {
    let upstream = RawUpstream::bind();
    let gateway = guarded(&upstream);
    let good = token("");
    gateway.expect_explained(
        &["--ip", "192.0.2.1", "--path", "/page", "--plain", "--token", &good],
        &["head a well-formed request for localhost/page", "admitted as ann"],
    );
    let (code, text) = gateway.explain(&["--ip", "192.0.2.1", "--path", "/page", "--plain"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("token.missing") && !text.contains("origin "), "{text}");
}
