//! Peers that are slow on purpose: what they hold is bounded, and nobody else waits for them.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use super::support::{Frame, Gateway, RawUpstream, Request, Session, Wire, eventually};

#[test]
fn a_head_that_never_ends_is_timed_out_while_others_come_in() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).server("handshake_timeout = \"2s\"").start();
    let mut slow: Vec<Wire> = (0..20).map(|_| gateway.connect()).collect();
    for client in &mut slow {
        client.send(b"G");
    }
    let mut good = Session::open(&gateway, &upstream);
    good.prove_alive();
    for mut client in slow {
        let response = client.read_response();
        gateway.check_refusal(&response, 408, "handshake.timeout");
        client.expect_eof();
    }
    good.prove_alive();
    upstream.received_nothing();
}

#[test]
fn a_tls_handshake_that_never_ends_is_cut_while_others_come_in() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).server("handshake_timeout = \"2s\"").start();
    // The start of a TLS record, and of nothing else.
    let slow: Vec<_> = (0..20)
        .map(|_| {
            let mut socket = gateway.tcp();
            socket.write_all(b"\x16").unwrap();
            socket
        })
        .collect();
    let mut good = Session::open(&gateway, &upstream);
    good.prove_alive();
    for socket in slow {
        assert!(Wire::client(socket).expect_gone().len() < 64, "more than an alert");
    }
    let record = gateway.wait_for_record(|record| record["event"] == "connection.error");
    assert_eq!(record["reason"], "handshake.timeout");
    good.prove_alive();
    upstream.received_nothing();
}

#[test]
fn a_silent_client_is_cut() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).server("handshake_timeout = \"1s\"").start();
    let mut behind_tls = gateway.connect();
    let mut before_tls = Wire::client(gateway.tcp());
    let mut begun = gateway.connect();
    begun.send(b"GET /ws");
    behind_tls.expect_gone();
    before_tls.expect_gone();
    begun.expect_gone();
    // Those that said nothing are told at DEBUG alone.
    gateway.wait_for_record(|record| record["reason"] == "handshake.timeout");
}

/// How much a flood may send in a test.
const FLOOD: usize = 64 * 1024 * 1024;
/// What the gateway may need more for it.
const BOUND_KIB: u64 = 16 * 1024;

#[test]
fn a_client_that_reads_nothing_does_not_fill_the_gateway() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    let mut other = Session::open(&gateway, &upstream);
    let mut session = Session::open(&gateway, &upstream);
    let before = gateway.resident_kib();
    let chunk = Frame::binary(vec![1; 64 * 1024]).encode();
    let taken = session.upstream.flood(&chunk, Duration::from_secs(1), FLOOD);
    assert!(taken < FLOOD, "the flood never stopped: {taken} bytes went somewhere");
    let grown = gateway.resident_kib().saturating_sub(before);
    assert!(grown < BOUND_KIB, "{grown} KiB more");
    other.prove_alive();
}

#[test]
fn an_application_that_reads_nothing_does_not_fill_the_gateway() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).plain().start();
    let mut other = Session::open(&gateway, &upstream);
    let mut session = Session::open(&gateway, &upstream);
    let before = gateway.resident_kib();
    let chunk = Frame::binary(vec![1; 64 * 1024]).masked(true).encode();
    let taken = session.client.flood(&chunk, Duration::from_secs(1), FLOOD);
    assert!(taken < FLOOD, "the flood never stopped: {taken} bytes went somewhere");
    let grown = gateway.resident_kib().saturating_sub(before);
    assert!(grown < BOUND_KIB, "{grown} KiB more");
    other.prove_alive();
}

/// Many fragments of one byte, many pings: nothing is gathered for them.
#[test]
fn floods_of_tiny_frames_do_not_fill_the_gateway() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).plain().start();
    let mut session = Session::open(&gateway, &upstream);
    let before = gateway.resident_kib();
    let chunk = Frame::ping("").masked(true).encode().repeat(10_000);
    let taken = session.client.flood(&chunk, Duration::from_secs(1), FLOOD);
    assert!(taken < FLOOD, "the flood never stopped: {taken} bytes went somewhere");
    let grown = gateway.resident_kib().saturating_sub(before);
    assert!(grown < BOUND_KIB, "{grown} KiB more");
}

#[test]
fn a_slow_reader_gets_everything_in_the_end() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    let mut session = Session::open(&gateway, &upstream);
    let frame = Frame::binary(vec![9; 32 * 1024]);
    let bytes = frame.encode();
    // Whole frames up to where nobody takes more; the last one may be cut.
    let taken = session.upstream.flood(&bytes, Duration::from_millis(300), FLOOD);
    for _ in 0..taken / bytes.len() {
        session.client.expect_frame(frame.clone());
    }
    session.upstream.send(&bytes[taken % bytes.len()..]);
    session.client.expect_frame(frame);
    session.prove_alive();
}

#[test]
fn a_request_that_is_refused_is_refused_however_much_follows() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    let request = Request::with_line("POST /ws HTTP/1.1").and("Content-Length", "100000");
    let mut client = gateway.connect();
    client.send(&[request.bytes(), vec![b'a'; 100_000]].concat());
    // The answer is read, not a reset.
    let response = client.read_response();
    assert_eq!(response.status(), 405);
    gateway.check_refusal(&response, 405, "method");
    upstream.received_nothing();
}

/// The client closes, the application goes on sending, and the client goes on reading, slowly.
#[test]
fn a_close_that_is_not_answered_does_not_outlast_the_lifetime() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).plain();
    let gateway = gateway.websocket("max_lifetime = \"2s\"").start();
    let session = Session::open(&gateway, &upstream);
    let id = session.request_id();
    let Session { mut client, upstream: mut application, .. } = session;
    client.say(Frame::close(1000, ""));
    application.expect_frame(Frame::close(1000, ""));
    let flood = std::thread::spawn(move || {
        let bytes = Frame::binary(vec![7; 100_000]).encode();
        while application.try_send(&bytes).is_ok() {}
    });
    let ended = eventually(|| {
        let _ = client.read(&mut [0; 32]);
        let records = gateway.log_records();
        records.into_iter().find(|it| it["event"] == "session.ended" && it["request_id"] == *id)
    });
    assert_eq!(ended.expect("the session ends")["reason"], "closed");
    flood.join().unwrap();
}
