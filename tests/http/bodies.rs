//! Bodies in both directions: streamed, bounded, and never longer than they say.

use std::time::Duration;

use super::support::RawUpstream;
use super::{HELLO, answer, get, plain, serving};

#[test]
fn a_chunked_body_is_framed_anew() {
    let upstream = RawUpstream::bind();
    let gateway = serving(&[upstream.address()]).start();
    let mut client = gateway.connect();
    client.send_request(&plain("POST / HTTP/1.1").and("Transfer-Encoding", "chunked"));
    client.send(b"3;ext=1\r\nabc\r\n");
    let mut application = upstream.accept();
    let head = application.read_head();
    assert_eq!(head.only("transfer-encoding"), Some("chunked"));
    assert_eq!(application.take(8), b"3\r\nabc\r\n", "streamed, without the extension");
    client.send(b"2\r\nde\r\n0\r\n\r\n");
    assert_eq!(application.take(12), b"2\r\nde\r\n0\r\n\r\n");
    application.send(HELLO.as_bytes());
    // Where the body ended, the gateway learned from the HTTP library, which may have read on.
    assert!(client.read_response().says_close());
    client.expect_eof();
}

/// RFC 9110 section 6.5.
#[test]
fn trailers_pass_if_they_are_announced_and_harmless() {
    let upstream = RawUpstream::bind();
    let gateway = serving(&[upstream.address()]).start();
    let mut client = gateway.connect();
    let announced = "X-Sum, Content-Length, Host, Authorization, Cookie, X-Forwarded-For, X_Real_IP, X-Request-Id, \
                     Transfer-Encoding, Content-Type, Sec-WebSocket-Key, If-Match, Expect, Set-Cookie";
    let request = plain("POST / HTTP/1.1")
        .and("Transfer-Encoding", "chunked")
        .and("Trailer", announced)
        .and("TE", "trailers");
    client.send_request(&request);
    client
        .send(b"2\r\nab\r\n0\r\nX-Sum: 1\r\nContent-Length: 9\r\nHost: b\r\nAuthorization: c\r\n");
    client.send(
        b"Cookie: d=e\r\nX-Forwarded-For: 192.0.2.1\r\nX_Real_IP: 192.0.2.1\r\nX-Request-Id: 7\r\n",
    );
    client.send(
        b"Transfer-Encoding: f\r\nContent-Type: g\r\nSec-WebSocket-Key: h\r\nX-Silent: i\r\n",
    );
    client.send(b"If-Match: j\r\nExpect: k\r\nSet-Cookie: l=m\r\n\r\n");
    let mut application = upstream.accept();
    assert_eq!(application.read_head().only("trailer"), Some("x-sum"));
    let sent = b"2\r\nab\r\n0\r\nx-sum: 1\r\n\r\n";
    assert!(application.take(sent.len()).eq_ignore_ascii_case(sent));
    let head = "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n";
    application
        .send(format!("{head}{}", "2\r\ncd\r\n0\r\nX-Sum: 2\r\nX-Silent: 3\r\n\r\n").as_bytes());
    assert_eq!(client.read_head().only("trailer"), Some("X-Sum"));
    let sent = b"2\r\ncd\r\n0\r\nx-sum: 2\r\n\r\n";
    assert!(client.take(sent.len()).eq_ignore_ascii_case(sent));
    client.expect_eof();
}

/// Trailers beyond `max_head` end their connection, and no end of the body is sent.
#[test]
fn trailers_have_a_bound() {
    let upstream = RawUpstream::bind();
    let gateway = serving(&[upstream.address()]).start();
    let mut client = gateway.connect();
    let request =
        plain("POST / HTTP/1.1").and("Transfer-Encoding", "chunked").and("Trailer", "X-Sum");
    client.send_request(&request);
    let long = "x".repeat(70_000);
    client.send(format!("1\r\na\r\n0\r\nX-Sum: {long}\r\n\r\n").as_bytes());
    let mut application = upstream.accept();
    application.read_head();
    client.expect_gone();
    let got = application.expect_gone();
    assert!(!got.ends_with(b"\r\n\r\n"), "{got:?}");
}

#[test]
fn a_body_is_asked_for_once_its_request_is_admitted() {
    let upstream = RawUpstream::bind();
    let gateway = serving(&[upstream.address()]).start();
    let mut client = gateway.connect();
    let request = plain("POST / HTTP/1.1").and("Content-Length", "4");
    client.send_request(&request.and("Expect", "100-continue"));
    assert_eq!(client.read_head().status(), 100);
    client.send(b"body");
    let mut application = upstream.accept();
    application.read_head();
    assert_eq!(application.take(4), b"body");
    application.send(HELLO.as_bytes());
    assert_eq!(client.read_response().body, b"hello");
}

#[test]
fn a_body_has_a_limit() {
    let upstream = RawUpstream::bind();
    let gateway = serving(&[upstream.address()]).route("max_body = \"8B\"").start();
    let post = |length: &str| plain("POST / HTTP/1.1").and("Content-Length", length);
    gateway.expect_refusal(&post("9").and("Expect", "100-continue"), 413, "body.too_large");
    let too_long = post("18446744073709551616").bytes();
    gateway.expect_bare_refusal(&too_long, 400, "handshake.malformed");
    upstream.received_nothing();
    let mut client = gateway.connect();
    client.send(&[&post("8").bytes()[..], b"12345678"].concat());
    let mut application = upstream.accept();
    application.read_head();
    assert_eq!(application.take(8), b"12345678");
    application.send(HELLO.as_bytes());
    assert_eq!(client.read_response().status(), 200);
    let mut client = gateway.connect();
    client.send_request(&plain("POST / HTTP/1.1").and("Transfer-Encoding", "chunked"));
    client.send(b"5\r\n12345\r\n4\r\n6789\r\n0\r\n\r\n");
    gateway.check_refusal(&client.read_response(), 413, "body.too_large");
    client.expect_eof();
}

/// Most clients read no answer before their body is sent. A connection that was closed earlier would be reset, and
/// the answer lost.
#[test]
fn a_client_that_sends_all_of_a_refused_body_reads_why() {
    const SIZE: usize = 20 << 20;
    let upstream = RawUpstream::bind();
    let gateway = serving(&[upstream.address()]).start();
    let post = plain("POST / HTTP/1.1").and("Content-Length", &SIZE.to_string());
    let mut client = gateway.connect();
    client.send_request(&post);
    client.send(&vec![b'x'; SIZE]);
    gateway.check_refusal(&client.read_response(), 413, "body.too_large");
    upstream.received_nothing();
    // The same for an answer of the application.
    let gateway = serving(&[upstream.address()]).route("max_body = \"off\"").start();
    let mut client = gateway.connect();
    client.send_request(&post);
    let mut application = upstream.accept();
    answer(&mut application, HELLO);
    client.send(&vec![b'x'; SIZE]);
    let response = client.read_response();
    assert_eq!((response.status(), &*response.body), (200, &b"hello"[..]));
}

#[test]
fn a_body_that_stops_is_not_awaited() {
    let upstream = RawUpstream::bind();
    let gateway = serving(&[upstream.address()]).route("body_timeout = \"300ms\"").start();
    let mut client = gateway.connect();
    client.send_request(&plain("POST / HTTP/1.1").and("Content-Length", "4"));
    client.send(b"bo");
    gateway.check_refusal(&client.read_response(), 408, "body.timeout");
    client.expect_eof();
    // An answer that does not begin.
    let mut client = gateway.connect();
    client.send_request(&get("/"));
    gateway.check_refusal(&client.read_response(), 504, "upstream.timeout");
}

/// The answer may come before the body has ended; the client's connection ends with it.
#[test]
fn an_early_answer_passes() {
    let upstream = RawUpstream::bind();
    let gateway = serving(&[upstream.address()]).start();
    let mut client = gateway.connect();
    client.send_request(&plain("POST / HTTP/1.1").and("Content-Length", "1000000"));
    client.send(b"the beginning");
    let mut application = upstream.accept();
    answer(&mut application, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
    let response = client.read_response();
    assert_eq!((response.status(), &*response.body), (403, &b"no"[..]));
    client.expect_eof();
    application.expect_gone();
}

#[test]
fn an_answer_is_streamed() {
    let upstream = RawUpstream::bind();
    let gateway = serving(&[upstream.address()]).start();
    let mut client = gateway.connect();
    client.send_request(&get("/events").and("Accept", "text/event-stream"));
    let mut application = upstream.accept();
    answer(
        &mut application,
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    assert_eq!(client.read_head().only("content-type"), Some("text/event-stream"));
    for _ in 0..3 {
        application.send(b"9\r\ndata: 1\n\n\r\n");
        assert_eq!(client.take(14), b"9\r\ndata: 1\n\n\r\n");
    }
    drop(client);
    application.expect_gone();
}

#[test]
fn an_answer_that_breaks_off_is_no_whole_answer() {
    let upstream = RawUpstream::bind();
    let gateway = serving(&[upstream.address()]).start();
    for head in ["Content-Length: 10", "Transfer-Encoding: chunked"] {
        let mut client = gateway.connect();
        client.send_request(&get("/"));
        let mut application = upstream.accept();
        answer(&mut application, &format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n"));
        client.read_head();
        drop(application);
        let rest = client.expect_gone();
        assert!(!rest.ends_with(b"0\r\n\r\n"), "{rest:?}");
        let cut = |record: &serde_json::Value| record["body_cut"] == true;
        gateway.wait_for_record(cut);
    }
}

#[test]
fn large_bodies_pass_both_ways() {
    const SIZE: usize = 3 << 20;
    let upstream = RawUpstream::bind();
    let gateway = serving(&[upstream.address()]).start();
    let mut client = gateway.connect();
    client.send_request(&plain("POST / HTTP/1.1").and("Content-Length", &SIZE.to_string()));
    let body: Vec<u8> = (0..=250).cycle().take(SIZE).collect();
    let sent = body.clone();
    let mut application = upstream.accept();
    let echo = std::thread::spawn(move || {
        application.read_head();
        let got = application.take(SIZE);
        application.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n").as_bytes());
        application.send(&got);
        application
    });
    client.send(&sent);
    assert!(client.read_response().body == body);
    echo.join().unwrap();
}

/// The kernel's buffers fill, and the application waits; nothing is kept in the gateway.
#[test]
fn a_slow_reader_slows_the_application() {
    let upstream = RawUpstream::bind();
    let gateway = serving(&[upstream.address()]).start();
    let mut client = gateway.connect();
    client.send_request(&get("/"));
    let mut application = upstream.accept();
    answer(&mut application, "HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n");
    let before = gateway.resident_kib();
    let sent = application.flood(&[b'x'; 8192], Duration::from_millis(300), 256 << 20);
    assert!(sent < 64 << 20, "{sent} bytes were taken");
    assert!(gateway.resident_kib() < before + 8 * 1024);
}
