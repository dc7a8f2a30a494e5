//! Attacks on the border between two messages, with raw sockets: a request that is taken for two, an answer that is
//! taken for another's, and fields by which a client speaks for the gateway. A refused request ends its connection and
//! the application sees nothing of it, or one request that does not end.

use std::time::Duration;

use super::support::{RawUpstream, Request, Wire, eventually};
use super::{HELLO, answer, get, plain, serving};

/// A request behind another one: the application must never see it.
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: localhost\r\n\r\n";
const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";

/// The head of a POST with these lines behind Host.
fn post(lines: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n")
}

/// Heads whose end, body, host or target is in doubt, and the status of their refusal.
#[rustfmt::skip]
const HEADS: &[(&str, u16)] = &[
    // The length of the body.
    ("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding:\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\ncontent-length: 0\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0, 0\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5,\r\n\r\nhello", 400),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: +5\r\n\r\nhello", 400),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1 0\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0x5\r\n\r\nhello", 400),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5.0\r\n\r\nhello", 400),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5e0\r\n\r\nhello", 400),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: \u{665}\r\n\r\nhello", 400),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length:\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 18446744073709551615\r\n\r\n", 431),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 18446744073709551621\r\n\r\nhello", 400),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length : 5\r\n\r\nhello", 400),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length\t: 5\r\n\r\nhello", 400),
    ("POST / HTTP/1.1\r\nHost: localhost\r\n Content-Length: 5\r\n\r\nhello", 400),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: \r\n 5\r\n\r\nhello", 400),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\0\r\n\r\nhello", 400),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length\0: 5\r\n\r\nhello", 400),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nX: 1\rContent-Length: 5\r\n\r\nhello", 400),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nX: 1\nContent-Length: 5\r\n\r\nhello", 400),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\nhello", 400),
    ("POST / HTTP/1.1\nHost: localhost\nContent-Length: 5\n\nhello", 400),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nX\r\nContent-Length: 5\r\n\r\nhello", 400),
    ("POST / HTTP/1.1\r\nHost: localhost\r\n: 1\r\nContent-Length: 5\r\n\r\nhello", 400),
    // Transfer-Encoding.
    ("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunkedx\r\n\r\n0\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding\t:chunked\r\n\r\n0\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: localhost\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunk\r\n ed\r\n\r\n0\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\u{b}\r\n\r\n0\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\0\r\n\r\n0\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nX: 1\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: localhost\r\nX: 1\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("POST / HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    // The version and the line.
    ("GET / HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n", 400),
    ("GET / HTTP/1.2\r\nHost: localhost\r\n\r\n", 400),
    ("GET / HTTP/2.0\r\nHost: localhost\r\n\r\n", 400),
    ("GET / http/1.1\r\nHost: localhost\r\n\r\n", 400),
    ("GET /\r\nHost: localhost\r\n\r\n", 400),
    ("GET  / HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    ("GET / HTTP/1.1 \r\nHost: localhost\r\n\r\n", 400),
    ("GET / x HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    ("GET\t/\tHTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    ("\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    ("\rGET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    (" GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    ("G(T / HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    // The host.
    ("GET / HTTP/1.1\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: localhost\r\nhost: elsewhere\r\n\r\n", 400),
    ("GET http://localhost/ HTTP/1.1\r\nHost: localhost\r\nHost: a\r\n\r\n", 400),
    ("GET http://localhost/ HTTP/1.1\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: localhost, elsewhere\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: ann@localhost\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: localhost..\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: localhost:80:80\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: localhost/\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: localhost\r\n elsewhere\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost : localhost\r\n\r\n", 400),
    ("GET http://ann@localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    // The target.
    ("OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    ("GET localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    ("GET //elsewhere/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    ("GET /a/../b HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    ("GET /a%2f..%2fb HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    ("GET /%00 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    ("GET /a#b HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    ("GET /\u{1} HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    ("GET file:///etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    ("CONNECT localhost:80 HTTP/1.1\r\nHost: localhost:80\r\nConnection: close\r\n\r\n", 405),
    ("CONNECT / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 405),
    ("TRACE / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 405),
    ("trace / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 405),
    ("Connect / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 405),
];

/// Expects one answer with this status, and the end of the connection behind it.
fn expect_one_answer(client: &mut Wire, status: u16, sent: &str) {
    let rest = client.expect_gone();
    let text = String::from_utf8_lossy(&rest);
    let answers = text.matches("HTTP/1.").count();
    let is_this = text.get(8..13) == Some(&format!(" {status} "));
    assert!(is_this && answers == 1, "{sent:?} was answered with {text:?}");
}

#[test]
fn a_head_in_doubt_is_refused_with_its_connection() {
    let upstream = RawUpstream::bind();
    let gateway = serving(&[upstream.address()])
        .server("health_path = \"/healthz\"")
        .more(
            "[firewall.ban]\nexempt = [\"127.0.0.1\"]\n[limits]\nhandshakes_per_ip = \"1000/s\"\n",
        )
        .start();
    for (head, status) in HEADS {
        // As the first request of a connection, and as one that was pipelined behind another.
        for first in ["", "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"] {
            let mut client = gateway.connect();
            client.send(format!("{first}{head}{HIDDEN}").as_bytes());
            if !first.is_empty() {
                assert_eq!(client.read_response().body, b"ok\n");
            }
            expect_one_answer(&mut client, *status, head);
            upstream.received_nothing();
        }
    }
}

/// The host that decides is the one that the application gets, whatever TLS said.
#[test]
fn a_host_of_another_certificate_is_refused() {
    let upstream = RawUpstream::bind();
    let gateway = serving(&[upstream.address()])
        .certificate(&["one.example"])
        .certificate(&["two.example"])
        .start();
    for head in [
        "GET / HTTP/1.1\r\nHost: TWO.example.\r\n\r\n",
        "GET https://two.example:443/ HTTP/1.1\r\nHost: one.example\r\n\r\n",
    ] {
        let mut client = gateway.connect_as("one.example");
        client.send(format!("{head}{HIDDEN}").as_bytes());
        expect_one_answer(&mut client, 421, head);
    }
    upstream.received_nothing();
}

/// The gateway answers a health check itself. A head in doubt, or a body, ends the connection all the same.
#[test]
fn a_health_check_hides_no_request() {
    let upstream = RawUpstream::bind();
    let gateway = serving(&[upstream.address()]).server("health_path = \"/healthz\"").start();
    for lines in [
        "Host: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Host: localhost\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "Host: localhost\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
        "Host: localhost\r\nContent-Length: 2\r\n\r\nab",
        "Host: localhost\n\n",
        "Host: localhost\r\nHost: elsewhere\r\n\r\n",
    ] {
        let mut client = gateway.connect();
        client.send(format!("GET /healthz HTTP/1.1\r\n{lines}{HIDDEN}").as_bytes());
        expect_one_answer(&mut client, 200, lines);
        upstream.received_nothing();
    }
}

/// Chunked bodies that are not one by the letter of RFC 9112 section 7.1.
#[rustfmt::skip]
const BODIES: &[&str] = &[
    "\r\n", " 5\r\nhello\r\n0\r\n\r\n", "5 \r\nhello\r\n0\r\n\r\n", "5\t\r\nhello\r\n0\r\n\r\n", "5 ;a\r\nhello\r\n0\r\n\r\n",
    "+5\r\nhello\r\n0\r\n\r\n", "-5\r\nhello\r\n0\r\n\r\n", "0x5\r\nhello\r\n0\r\n\r\n", "5h\r\nhello\r\n0\r\n\r\n", "g\r\nhello\r\n",
    "5,5\r\nhello\r\n0\r\n\r\n", "5\nhello\r\n0\r\n\r\n", "5\n\nhello\r\n0\r\n\r\n", "5\rhello\r\n0\r\n\r\n", "5\0\r\nhello\r\n0\r\n\r\n",
    "ffffffffffffffff1\r\nhello\r\n0\r\n\r\n", "10000000000000005\r\nhello\r\n0\r\n\r\n",
    "00000000000000005\r\nhello\r\n0\r\n\r\n", ";a\r\nhello\r\n0\r\n\r\n",
    // Extensions.
    "5;a\nhello\r\n0\r\n\r\n", "5;a\n5\r\nhello\r\n0\r\n\r\n", "5;a\rb\r\nhello\r\n0\r\n\r\n", "5;\0\r\nhello\r\n0\r\n\r\n", "5;a=\"\n\"\r\nhello\r\n0\r\n\r\n",
    // The end of a chunk.
    "5\r\nhello0\r\n\r\n", "5\r\nhello\n0\r\n\r\n", "5\r\nhello\r0\r\n\r\n", "5\r\nhello\r\r\n0\r\n\r\n", "5\r\nhello!\r\n0\r\n\r\n", "4\r\nhello\r\n0\r\n\r\n",
    // The end of the body.
    "0\r\n\n", "0\n\r\n", "0\n\n", "0\r\n\r\r\n", "0\r\nX: 1\n\r\n", "0\r\nX: 1\rY: 2\r\n\r\n", "0\r\n X: 1\r\n\r\n", "0\r\nX\r\n\r\n", "0\r\nX : 1\r\n\r\n",
    "0\r\nX: \0\r\n\r\n", "0\r\nX: 1\r\n folded\r\n\r\n",
];

#[test]
fn a_chunked_body_in_doubt_is_never_finished() {
    let upstream = RawUpstream::bind();
    let gateway = serving(&[upstream.address()])
        .more(
            "[firewall.ban]\nexempt = [\"127.0.0.1\"]\n[limits]\nhandshakes_per_ip = \"1000/s\"\n",
        )
        .start();
    let many_trailers = format!("0\r\n{}\r\n", "X: 1\r\n".repeat(1000));
    for body in BODIES.iter().copied().chain([many_trailers.as_str()]) {
        let mut client = gateway.connect();
        client.send(format!("{}{body}{HIDDEN}", post(CHUNKED)).as_bytes());
        expect_one_answer(&mut client, 400, body);
        while let Some(mut application) = upstream.accept_now() {
            let seen = application.expect_gone();
            let seen = String::from_utf8_lossy(&seen);
            assert!(!seen.contains("hidden") && !seen.ends_with("0\r\n\r\n"), "{body:?}: {seen:?}");
        }
    }
}

/// A request, and what the application must get of it and must not get.
struct Rewritten {
    sent: String,
    has: &'static [&'static str],
    lacks: &'static [&'static str],
    body: &'static str,
}

/// The row of a GET with these lines and this body.
fn get_row(
    lines: &str,
    has: &'static [&'static str],
    lacks: &'static [&'static str],
    body: &'static str,
) -> Rewritten {
    let sent = format!("GET / HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n{body}");
    Rewritten { sent, has, lacks, body }
}

#[rustfmt::skip]
fn rewritten() -> Vec<Rewritten> {
    const FIVE: &[&str] = &["POST / HTTP/1.1", "Content-Length: 5", "Host: localhost"];
    const CHUNKS: &[&str] = &["POST / HTTP/1.1", "Transfer-Encoding: chunked", "Host: localhost"];
    let five = |lines: &str, lacks| Rewritten { sent: post(lines) + "hello", has: FIVE, lacks, body: "hello" };
    let chunked = |lines: &str, chunks: &str, lacks, body| Rewritten { sent: post(lines) + chunks, has: CHUNKS, lacks, body };
    let line = |line: &str, has, lacks| Rewritten { sent: format!("{line}\r\n\r\n"), has, lacks, body: "" };
    vec![
        // The length of the body.
        five("Content-Length: 005\r\n", &[]),
        five("content-length:\t5 \r\n", &[]),
        five("Content-Length: 5\r\nConnection: content-length, host\r\n", &["Connection"]),
        five("Content-Length: 5\r\nContent_Length: 50\r\nContent.Length: 6\r\nTransfer_Encoding: chunked\r\n", &["50", "6", "chunked"]),
        chunked("transfer-ENCODING:\tChunked \r\nTE: trailers\r\nTrailer: Host, Content-Length\r\n",
            "5;a=\"b\";c\r\nhello\r\n0\r\nHost: a\r\nContent-Length: 9\r\nX-User: eve\r\n\r\n",
            &["Trailer", "TE", "X-User", "Content-Length"], "5\r\nhello\r\n0\r\n\r\n"),
        chunked("Transfer-Encoding: chunked\r\nConnection: transfer-encoding\r\n", "000A\r\n0123456789\r\n00\r\n\r\n",
            &["Content-Length", "Connection"], "A\r\n0123456789\r\n0\r\n\r\n"),
        // A server may take the body of a GET for the next request: it gets none on this connection.
        get_row("Content-Length: 5\r\n", &["GET / HTTP/1.1", "Content-Length: 5", "Connection: close"], &[], "hello"),
        get_row("Transfer-Encoding: chunked\r\n", &["GET / HTTP/1.1", "Transfer-Encoding: chunked", "Connection: close"], &[],
            "5\r\nhello\r\n0\r\n\r\n"),
        // The host.
        line("GET / HTTP/1.1\r\nHost: LocalHost.:0443", &["Host: localhost:443", "X-Forwarded-Host: localhost:443"], &[]),
        line("GET http://other.example/a HTTP/1.1\r\nHost: localhost",
            &["GET /a HTTP/1.1", "Host: other.example", "X-Forwarded-Host: other.example"], &["localhost"]),
        line("\r\n\r\nGET / HTTP/1.1\r\nHost: localhost", &["GET / HTTP/1.1", "Host: localhost"], &[]),
        // Another protocol.
        get_row("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\nHTTP2_Settings: AAMA\r\n",
            &["Host: localhost"], &["Upgrade", "HTTP2-Settings", "HTTP2_Settings", "Connection"], ""),
        // Fields that name the client, in spellings that servers fold, and named as hop-by-hop.
        get_row("Connection: X-Forwarded-For, X-Request-Id, cookie\r\nX-Forwarded-For: 203.0.113.1\r\nX_Forwarded_For: 203.0.113.1\r\n\
            x.forwarded.host: evil\r\nX-FORWARDED-HOST: evil\r\nX-Forwarded_Proto: http\r\nX-Host: evil\r\nForwarded: host=evil\r\n\
            X-Original-URL: /admin\r\nX-Rewrite-URL: /admin\r\nX-HTTP-Host-Override: evil\r\nX-Request-Id: evil\r\nCookie: a=b\r\n",
            &["X-Forwarded-For: 127.0.0.1", "X-Forwarded-Host: localhost", "X-Forwarded-Proto: https", "X-Request-Id: "],
            &["203.0.113.1", "evil", "/admin", "Cookie", "host=evil"], ""),
    ]
}

/// Every request that passes is written anew, with one length of its body and one host.
#[test]
fn the_application_gets_one_request_with_one_length_and_one_host() {
    let upstream = RawUpstream::bind();
    let gateway = serving(&[upstream.address()]).start();
    for Rewritten { sent, has, lacks, body } in rewritten() {
        let mut client = gateway.connect();
        client.send(sent.as_bytes());
        let mut application = upstream.accept();
        let head = String::from_utf8(application.read_raw_head()).unwrap();
        let lines: Vec<_> = head.lines().map(str::to_ascii_lowercase).collect();
        let count = |beginning: &str| {
            let beginning = beginning.to_ascii_lowercase();
            lines.iter().filter(|line| line.starts_with(&beginning)).count()
        };
        for has in has.iter().chain(&["Host: ", "X-Forwarded-For: ", "X-Forwarded-Host: "]) {
            assert_eq!(count(has), 1, "{has}: {sent:?}: {head:?}");
        }
        for lacks in lacks {
            let value = format!(": {}", lacks.to_ascii_lowercase());
            let found = count(lacks) > 0 || lines.iter().any(|line| line.ends_with(&value));
            assert!(!found, "{lacks}: {sent:?}: {head:?}");
        }
        assert_eq!(application.take(body.len()), body.as_bytes(), "{sent:?}");
        application.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello");
        assert_eq!(client.read_response().body, b"hello", "{sent:?}");
        drop(client);
        assert_eq!(application.expect_gone(), b"", "{sent:?}");
    }
}

/// A refused handshake ends its connection, and the bytes behind it are not read as a request.
#[test]
fn nothing_behind_a_refused_upgrade_is_a_request() {
    let upstream = RawUpstream::bind();
    let gateway = serving(&[upstream.address()]).start();
    for (request, status) in [
        (Request::upgrade("/").set("Sec-WebSocket-Version", "8"), 426),
        (Request::upgrade("/").without("Sec-WebSocket-Key"), 400),
        (Request::upgrade("/").without("Connection"), 400),
        (Request::upgrade("/").and("Content-Length", "5"), 400),
        (Request::with_line("POST / HTTP/1.1"), 405),
        (Request::upgrade("/").and("Origin", "https://elsewhere.example"), 403),
    ] {
        let mut client = gateway.connect();
        client.send(format!("{}{HIDDEN}", request.text()).as_bytes());
        expect_one_answer(&mut client, status, &request.text());
        upstream.received_nothing();
    }
    // By the application: the connection to it is not used for another request.
    let mut client = gateway.connect();
    client.send(format!("{}{HIDDEN}", Request::upgrade("/").text()).as_bytes());
    let mut application = upstream.accept();
    answer(&mut application, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
    expect_one_answer(&mut client, 403, "an upgrade");
    application.expect_gone();
}

/// A body behind a refusal is not read as the next request, and neither is one that the application did not want.
#[test]
fn the_body_of_a_refused_request_is_no_request() {
    let upstream = RawUpstream::bind();
    let gateway = serving(&[upstream.address()]).route("max_body = \"64B\"").start();
    let length = HIDDEN.len();
    for (request, status) in [
        (
            format!(
                "POST /a//b HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{HIDDEN}"
            ),
            400,
        ),
        (
            format!(
                "TRACE / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{HIDDEN}"
            ),
            405,
        ),
        (post("Content-Length: 999\r\n") + HIDDEN, 413),
    ] {
        let mut client = gateway.connect();
        client.send(request.as_bytes());
        expect_one_answer(&mut client, status, &request);
        upstream.received_nothing();
    }
    // Answered early, with the body not yet sent, and with it already there.
    for (lines, is_sent) in [("Expect: 100-continue\r\n", false), ("", true)] {
        let mut client = gateway.connect();
        let head = post(&format!("{lines}Content-Length: {length}\r\n"));
        client.send(head.as_bytes());
        let mut application = upstream.accept();
        application.read_head();
        application.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
        let mut response = client.read_head();
        if response.status() == 100 {
            response = client.read_head();
        }
        assert_eq!((response.status(), client.take(2)), (403, b"no".to_vec()));
        if is_sent {
            let _ = client.try_send(HIDDEN.as_bytes());
        }
        let seen = String::from_utf8(application.expect_gone()).unwrap();
        assert!(!seen.contains("hidden") || is_sent, "{seen}");
        client.expect_gone();
        assert!(upstream.accept_now().is_none());
    }
}

/// Answers whose end is in doubt, or that are no answers to the request.
#[rustfmt::skip]
const ANSWERS: &[&str] = &[
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nhello",
    "HTTP/1.1 304 Not Modified\r\nContent-Length: 5, 6\r\n\r\n",
    "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: evil\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
    "HTTP/2 200 OK\r\nContent-Length: 0\r\n\r\n",
    "<html>hello</html>\r\n\r\n",
];

#[test]
fn an_answer_in_doubt_is_a_bad_gateway_and_its_connection_is_closed() {
    let upstream = RawUpstream::bind();
    let gateway = serving(&[upstream.address()]).start();
    for bad in ANSWERS {
        let mut client = gateway.connect();
        client.send_request(&get("/"));
        let mut application = upstream.accept();
        answer(&mut application, bad);
        let response = client.read_response();
        assert_eq!(
            (response.status(), response.reason()),
            (502, "upstream.handshake".to_owned()),
            "{bad:?}"
        );
        application.expect_gone();
    }
}

/// An answer that has more bytes than its head allows: they are no part of another answer, and the connection is not
/// used again, even where they come later.
#[test]
fn bytes_behind_an_answer_are_nobodys() {
    const FORGED: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged";
    let upstream = RawUpstream::bind();
    let gateway = serving(&[upstream.address()]).start();
    for (method, head, body) in [
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", FORGED),
        (
            "GET",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            FORGED,
        ),
        ("GET", "HTTP/1.1 204 No Content\r\nContent-Length: 50\r\n\r\n", FORGED),
        ("GET", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", FORGED),
        ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 50\r\n\r\n", FORGED),
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n", FORGED),
        ("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", FORGED),
    ] {
        let mut client = gateway.connect();
        client.send_request(&plain(&format!("{method} / HTTP/1.1")));
        let mut application = upstream.accept();
        application.read_head();
        application.send(format!("{head}{body}").as_bytes());
        let first = client.read_head();
        let is_chunked = first.only("transfer-encoding").is_some();
        if method == "GET" && first.status() == 200 {
            client.take(if is_chunked { 15 } else { 5 });
        }
        if first.status() == 204 {
            assert_eq!((first.only("content-length"), is_chunked), (None, false), "{first:?}");
        }
        application.expect_gone();
        client.send_request(&get("/"));
        let mut application = upstream.accept();
        answer(
            &mut application,
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
        );
        assert_eq!(client.read_response().body, b"hello", "{head:?}");
        assert_eq!(client.unread(), b"");
    }
}

/// The same bytes after the connection was kept.
#[test]
fn late_bytes_are_no_answer_to_the_next_request() {
    let upstream = RawUpstream::bind();
    let gateway = serving(&[upstream.address()]).start();
    let mut client = gateway.connect();
    client.send_request(&get("/"));
    let mut application = upstream.accept();
    answer(&mut application, HELLO);
    assert_eq!(client.read_response().body, b"hello");
    application.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged");
    std::thread::sleep(Duration::from_millis(50));
    client.send_request(&get("/"));
    answer(&mut upstream.accept(), HELLO);
    assert_eq!(client.read_response().body, b"hello");
}

/// In HTTP/1.0 a chunked body could not be sent, and the body of a 204 may come later.
#[test]
fn a_connection_whose_next_request_is_in_doubt_is_not_kept() {
    for head in [
        "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.0 304 Not Modified\r\nConnection: keep-alive\r\n\r\n",
    ] {
        let upstream = RawUpstream::bind();
        let gateway = serving(&[upstream.address()]).start();
        let mut client = gateway.connect();
        client.send_request(&get("/"));
        let mut first = upstream.accept();
        answer(&mut first, head);
        client.read_head();
        client.send(format!("{}5\r\nhello\r\n0\r\n\r\n", post(CHUNKED)).as_bytes());
        let mut application = upstream.accept();
        assert_eq!(application.read_head().line, "POST / HTTP/1.1", "{head:?}");
        assert_eq!(application.take(15), b"5\r\nhello\r\n0\r\n\r\n");
        application.send(HELLO.as_bytes());
        assert_eq!(client.read_response().body, b"hello");
    }
}

/// A request that ends the process of an application is sent again once, over a new connection, and not once for
/// every kept connection.
#[test]
fn a_request_is_sent_again_once() {
    let upstream = RawUpstream::bind();
    let gateway = serving(&[upstream.address()]).start();
    let mut clients: Vec<_> = (0..4).map(|_| gateway.connect()).collect();
    let mut kept = Vec::new();
    for client in &mut clients {
        client.send_request(&get("/"));
        let mut application = upstream.accept();
        application.read_head();
        kept.push(application);
    }
    for (client, application) in clients.iter_mut().zip(&mut kept) {
        application.send(HELLO.as_bytes());
        client.read_response();
    }
    clients[0].send_request(&get("/deadly"));
    let last = kept.last_mut().unwrap();
    last.read_head();
    drop(kept.pop());
    upstream.accept().read_head();
    assert_eq!(clients[0].read_response().status(), 502);
    assert!(upstream.accept_now().is_none());
    drop(gateway);
    for mut application in kept {
        assert_eq!(application.expect_gone(), b"");
    }
}

/// Behind bytes that are not read, nothing notices the end of a client: its answer is not waited for without end.
#[test]
fn a_client_whose_end_would_not_be_noticed_is_not_kept() {
    let upstream = RawUpstream::bind();
    let gateway = serving(&[upstream.address()])
        .server("handshake_timeout = \"1s\"")
        .route("body_timeout = \"300ms\"")
        .start();
    for request in [get("/").text() + &HIDDEN.repeat(2000), post(CHUNKED) + "0\r\n\r\n" + HIDDEN] {
        let mut client = gateway.connect();
        client.send(request.as_bytes());
        let mut application = upstream.accept();
        answer(&mut application, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        application.expect_gone();
        client.read_head();
        assert_eq!(client.expect_gone(), b"");
        assert!(upstream.accept_now().is_none());
    }
}

/// A client that does not take its answer is not waited for without end.
#[test]
fn a_reader_that_stops_is_not_awaited() {
    let upstream = RawUpstream::bind();
    let gateway = serving(&[upstream.address()])
        .server("handshake_timeout = \"1s\"")
        .route("body_timeout = \"300ms\"")
        .start();
    let mut client = gateway.connect();
    client.send_request(&get("/"));
    let mut application = upstream.accept();
    answer(&mut application, "HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n");
    let ended = eventually(|| application.try_send(&[b'x'; 8192]).err());
    assert!(ended.is_some());
    // Those that have nothing to take are.
    let requests = [
        get("/").text(),
        post("Content-Length: 5\r\n") + "hello",
        post(CHUNKED) + "5\r\nhello\r\n0\r\n\r\n",
        get("/").text() + HIDDEN,
    ];
    let mut waiting = requests.map(|request| {
        let mut client = gateway.connect();
        client.send(request.as_bytes());
        let mut application = upstream.accept();
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
        answer(&mut application, head);
        client.read_head();
        (client, application)
    });
    std::thread::sleep(Duration::from_secs(3));
    for (client, application) in &mut waiting {
        application.send(b"0\r\n\r\n");
        assert_eq!(client.take(5), b"0\r\n\r\n");
    }
}
