//! Connections of clients, and connections to upstreams that are kept for further requests.

use super::support::{RawUpstream, Request};
use super::{HELLO, answer, get, plain, serving};

#[test]
fn requests_share_the_connections_at_both_sides() {
    let upstream = RawUpstream::bind();
    let gateway = serving(&[upstream.address()]).start();
    let mut client = gateway.connect();
    client.send_request(&get("/1"));
    let mut application = upstream.accept();
    answer(&mut application, HELLO);
    assert_eq!(client.read_response().body, b"hello");
    for path in ["/2", "/3"] {
        client.send_request(&get(path));
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n";
        assert!(answer(&mut application, chunked).line.starts_with(&format!("GET {path} ")));
        assert_eq!(client.read_head().only("transfer-encoding"), Some("chunked"));
        assert_eq!(client.take(12), b"2\r\nab\r\n0\r\n\r\n");
    }
    // Another client's request uses it, too.
    let mut other = gateway.connect();
    other.send_request(&get("/4"));
    answer(&mut application, HELLO);
    assert_eq!(other.read_response().body, b"hello");
    assert!(upstream.accept_now().is_none(), "one connection for all");
}

#[test]
fn an_answer_with_trailers_is_whole_and_leaves_its_connection() {
    let upstream = RawUpstream::bind();
    let gateway = serving(&[upstream.address()]).start();
    let mut client = gateway.connect();
    client.send_request(&get("/1"));
    let mut application = upstream.accept();
    let trailed = "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n\
                   2\r\nab\r\n0\r\nX-Sum: 1\r\n\r\n";
    answer(&mut application, trailed);
    client.read_head();
    assert_eq!(client.take(7), b"2\r\nab\r\n");
    let record = gateway.wait_for_record(|record| record["event"] == "forwarded");
    assert_eq!(record["body_cut"], serde_json::Value::Null, "{record}");
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let upstream = RawUpstream::bind();
    let gateway = serving(&[upstream.address()]).start();
    let mut client = gateway.connect();
    let post = plain("POST /2 HTTP/1.1").and("Content-Length", "4");
    client.send(&[&get("/1").bytes(), &post.bytes()[..], b"body", &get("/3").bytes()].concat());
    let mut application = upstream.accept();
    answer(&mut application, HELLO);
    assert!(application.read_head().line.starts_with("POST /2 "));
    assert_eq!(application.take(4), b"body");
    application.send(HELLO.as_bytes());
    assert!(answer(&mut application, HELLO).line.starts_with("GET /3 "));
    for _ in 0..3 {
        assert_eq!(client.read_response().body, b"hello");
    }
}

#[test]
fn a_kept_connection_that_the_application_closed_is_not_used() {
    let upstream = RawUpstream::bind();
    let gateway = serving(&[upstream.address()]).start();
    let mut client = gateway.connect();
    client.send_request(&get("/1"));
    let mut application = upstream.accept();
    answer(&mut application, HELLO);
    assert_eq!(client.read_response().status(), 200);
    application.half_close();
    client.send_request(&get("/2"));
    answer(&mut upstream.accept(), HELLO);
    assert_eq!(client.read_response().status(), 200);
    application.expect_gone();
}

/// The application closes at the moment when the request arrives: a GET is sent again, on a new connection.
#[test]
fn a_request_without_effect_is_sent_again() {
    let upstream = RawUpstream::bind();
    let gateway = serving(&[upstream.address()]).start();
    let mut client = gateway.connect();
    for (line, is_sent_again) in [("GET / HTTP/1.1", true), ("POST / HTTP/1.1", false)] {
        client.send_request(&get("/"));
        let mut application = upstream.accept();
        answer(&mut application, HELLO);
        assert_eq!(client.read_response().status(), 200);
        client.send_request(&plain(line));
        application.read_head();
        drop(application);
        if is_sent_again {
            answer(&mut upstream.accept(), "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
            assert_eq!(client.read_head().status(), 204);
        } else {
            assert_eq!(client.read_response().status(), 502);
            assert!(upstream.accept_now().is_none());
        }
    }
}

#[test]
fn what_an_application_sends_between_two_answers_is_nobodys_answer() {
    let upstream = RawUpstream::bind();
    let gateway = serving(&[upstream.address()]).start();
    let mut client = gateway.connect();
    client.send_request(&get("/1"));
    let mut application = upstream.accept();
    let longer = format!("{HELLO}HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged");
    answer(&mut application, &longer);
    assert_eq!(client.read_response().body, b"hello");
    client.send_request(&get("/2"));
    answer(&mut upstream.accept(), HELLO);
    assert_eq!(client.read_response().body, b"hello");
}

#[test]
fn the_next_upstream_gets_a_request_that_the_first_did_not() {
    let upstream = RawUpstream::bind();
    let gateway = serving(&[RawUpstream::unused_address(), upstream.address()]).start();
    let mut client = gateway.connect();
    client.send(
        &[&plain("POST / HTTP/1.1").and("Content-Length", "4").bytes()[..], b"body"].concat(),
    );
    let mut application = upstream.accept();
    application.read_head();
    assert_eq!(application.take(4), b"body");
    application.send(HELLO.as_bytes());
    assert_eq!(client.read_response().body, b"hello");
    let unserved = serving(&[RawUpstream::unused_address()]).start();
    let response = unserved.answer_to(&get("/").bytes());
    unserved.check_refusal(&response, 503, "upstream.unavailable");
}

/// A connection that saw an upgrade carries no plain request.
#[test]
fn a_refused_handshake_leaves_no_connection() {
    let upstream = RawUpstream::bind();
    let gateway = serving(&[upstream.address()]).start();
    let mut client = gateway.connect();
    client.send_request(&Request::upgrade("/"));
    let mut application = upstream.accept();
    answer(&mut application, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.read_response().status(), 403);
    client.expect_eof();
    let mut client = gateway.connect();
    client.send_request(&get("/"));
    answer(&mut upstream.accept(), HELLO);
    assert_eq!(client.read_response().status(), 200);
}

#[test]
fn a_client_that_leaves_ends_its_request() {
    let upstream = RawUpstream::bind();
    let gateway = serving(&[upstream.address()]).start();
    let mut client = gateway.connect();
    client.send_request(&get("/slow"));
    let mut application = upstream.accept();
    application.read_head();
    drop(client);
    assert_eq!(application.expect_gone(), b"");
}

#[test]
fn a_stop_lets_a_request_be_answered() {
    let upstream = RawUpstream::bind();
    let mut gateway = serving(&[upstream.address()]).start();
    let mut client = gateway.connect();
    client.send_request(&get("/slow"));
    let mut application = upstream.accept();
    application.read_head();
    gateway.terminate();
    gateway.wait_for_record(|record| record["event"] == "stopping");
    application.send(HELLO.as_bytes());
    assert_eq!(client.read_response().body, b"hello");
    client.expect_eof();
    assert_eq!(gateway.exit_code(), Some(0));
}

/// Both would last longer than the grace.
#[test]
fn a_stop_ends_an_event_stream_and_lets_another_answer_finish() {
    let upstream = RawUpstream::bind();
    let mut gateway = serving(&[upstream.address()])
        .server("shutdown_spread = \"1s\"\nshutdown_grace = \"1h\"")
        .start();
    let mut reader = gateway.connect();
    reader.send_request(&get("/events"));
    let mut events = upstream.accept();
    let stream = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n\
                  9\r\ndata: 1\n\n\r\n";
    answer(&mut events, stream);
    reader.read_head();
    assert_eq!(reader.take(14), b"9\r\ndata: 1\n\n\r\n");
    let mut client = gateway.connect();
    client.send_request(&get("/file"));
    let mut application = upstream.accept();
    answer(&mut application, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel");
    client.read_head();
    gateway.terminate();
    assert_eq!(reader.take(5), b"0\r\n\r\n", "the answer ends as a whole one does");
    reader.expect_gone();
    events.expect_gone();
    application.send(b"lo");
    assert_eq!(client.take(5), b"hello");
    assert_eq!(gateway.exit_code(), Some(0));
}

/// The answer of a request may take hours, and a kept connection waits for a minute: the next request is judged by
/// the configuration that is in force then.
#[test]
fn a_request_after_a_reload_is_judged_by_the_new_configuration() {
    let upstream = RawUpstream::bind();
    let gateway = serving(&[upstream.address()]).start();
    let mut waiting = gateway.connect();
    waiting.send_request(&get("/1"));
    let mut application = upstream.accept();
    answer(&mut application, HELLO);
    assert_eq!(waiting.read_response().body, b"hello");
    let mut slow = gateway.connect();
    slow.send_request(&get("/slow"));
    application.read_head();
    gateway.rewrite(|text| format!("{text}\n[firewall]\ndeny = [\"127.0.0.1\"]\n"));
    gateway.hang_up("reloaded");
    application.send(HELLO.as_bytes());
    assert_eq!(slow.read_response().body, b"hello");
    for mut client in [waiting, slow] {
        client.send_request(&get("/2"));
        let response = client.read_response();
        gateway.check_refusal(&response, 403, "firewall.denied");
        client.expect_eof();
    }
    assert!(upstream.accept_now().is_none());
}

/// A server that knows the user of a connection by NTLM takes every further request on it for that user's.
#[test]
fn a_connection_that_a_user_authenticated_is_not_shared() {
    for credentials in ["NTLM TlRMTVNTUAAB", "negotiate YIIB"] {
        let upstream = RawUpstream::bind();
        let gateway = serving(&[upstream.address()]).start();
        let mut client = gateway.connect();
        client.send_request(&get("/").and("Authorization", credentials));
        let mut first = upstream.accept();
        assert_eq!(answer(&mut first, HELLO).only("authorization"), Some(credentials));
        assert_eq!(client.read_response().status(), 200);
        let mut other = gateway.connect();
        other.send_request(&get("/"));
        answer(&mut upstream.accept(), HELLO);
        assert_eq!(other.read_response().status(), 200);
        assert_eq!(first.expect_gone(), b"");
    }
}

/// Connections that wait for another request leave the last quarter of `max_connections` to new clients.
#[test]
fn a_crowded_gateway_keeps_no_connection() {
    let upstream = RawUpstream::bind();
    let gateway = serving(&[upstream.address()]).server("max_connections = 8").start();
    let mut clients = Vec::new();
    for number in 1..=8 {
        let mut client = gateway.connect();
        client.send_request(&get("/"));
        let mut application = upstream.accept_now().unwrap_or_else(|| upstream.accept());
        answer(&mut application, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        let response = client.read_head();
        assert_eq!(response.says_close(), number > 6, "{number}: {response:?}");
        clients.push(client);
    }
}
