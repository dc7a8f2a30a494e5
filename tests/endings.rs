//! How sessions end against the running binary: a Close at a frame boundary, the rest thrown away,
//! nobody waited for who is gone.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support/mod.rs"]
mod support;

use std::time::Duration;

use serde_json::json;
use support::{Frame, Gateway, RawUpstream, Session};

/// A frame that is cut through, in two halves.
fn halves(masked: bool) -> (Vec<u8>, Vec<u8>) {
    let mut first = large().masked(masked).encode();
    let second = first.split_off(first.len() / 2);
    (first, second)
}

fn large() -> Frame {
    Frame::binary(vec![7; 100_000])
}

#[test]
fn garbage_after_the_gateways_close_is_discarded() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).plain().start();
    let mut session = Session::open(&gateway, &upstream);
    let id = session.request_id();
    drop(session.upstream);
    session.client.expect_frame(Frame::close(1014, "upstream.lost"));
    for _ in 0..3 {
        session.client.send(&[0x83, 0x80, 0, 0, 0, 0]);
        std::thread::sleep(Duration::from_millis(50));
    }
    session.client.expect_eof();
    gateway.wait_for_record(|record| {
        record["request_id"] == id.as_str()
            && record["event"] == "session.ended"
            && record["reason"] == "upstream.lost"
    });
}

#[test]
fn an_upstreams_frame_is_finished_before_a_shutdown_close() {
    let upstream = RawUpstream::bind();
    let mut gateway = Gateway::to(&[upstream.address()]).plain().start();
    let mut session = Session::open(&gateway, &upstream);
    let (first, second) = halves(false);
    session.upstream.send(&first);
    session.client.take(16);
    gateway.terminate();
    session.upstream.expect_frame(Frame::close(1001, "shutdown"));
    session.upstream.send(&second);
    session.client.take(first.len() + second.len() - 16);
    session.client.expect_closing(1001, "shutdown");
    session.upstream.say(Frame::close(1001, ""));
    session.upstream.expect_eof();
    assert_eq!(gateway.exit_code(), Some(0));
}

#[test]
fn a_clients_frame_is_finished_before_a_shutdown_close() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).plain().start();
    let mut session = Session::open(&gateway, &upstream);
    let (first, second) = halves(true);
    session.client.send(&first);
    session.upstream.take(16);
    gateway.terminate();
    session.client.expect_frame(Frame::close(1001, "shutdown"));
    session.client.send(&second);
    session.upstream.take(first.len() + second.len() - 16);
    session.upstream.expect_closing(1001, "shutdown");
    session.client.say(Frame::close(1001, ""));
    session.client.expect_eof();
}

#[test]
fn a_refused_client_gets_its_close_after_the_current_frame() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).plain().start();
    let mut session = Session::open(&gateway, &upstream);
    let (first, second) = halves(false);
    session.upstream.send(&first);
    session.client.take(16);
    session.client.send(&[0x83, 0x80, 0, 0, 0, 0]);
    assert_eq!(session.upstream.expect_close(), (1001, "frame.protocol".to_owned()));
    session.upstream.send(&second);
    session.client.take(first.len() + second.len() - 16);
    assert_eq!(session.client.expect_close(), (1002, "frame.protocol".to_owned()));
    session.client.expect_eof();
}

/// Frames from here on find nobody at the other end.
fn say_until_it_fails(to: &mut support::Wire) {
    for _ in 0..5 {
        to.say(Frame::text("is anybody there"));
        std::thread::sleep(Duration::from_millis(30));
    }
}

#[test]
fn a_client_does_not_wait_for_an_upstream_that_closed_and_left() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).plain().start();
    let mut session = Session::open(&gateway, &upstream);
    let id = session.request_id();
    session.upstream.say(Frame::close(4000, "bye"));
    drop(session.upstream);
    session.client.expect_frame(Frame::close(4000, "bye"));
    say_until_it_fails(&mut session.client);
    session.client.say(Frame::close(4000, "bye"));
    session.client.expect_eof();
    let record = gateway.wait_for_reason(&id, "closed");
    assert!(record["duration_ms"].as_u64().unwrap() < 4000, "{record}");
}

#[test]
fn an_upstream_does_not_wait_for_a_client_that_closed_and_left() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).plain().start();
    let mut session = Session::open(&gateway, &upstream);
    let id = session.request_id();
    session.client.say(Frame::close(1000, ""));
    session.upstream.expect_frame(Frame::close(1000, ""));
    session.client.reset();
    say_until_it_fails(&mut session.upstream);
    session.upstream.say(Frame::close(1000, ""));
    session.upstream.expect_eof();
    let record = gateway.wait_for_reason(&id, "closed");
    assert!(record["duration_ms"].as_u64().unwrap() < 4000, "{record}");
}

#[test]
fn no_ping_follows_a_close_that_was_passed_on() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).plain();
    let gateway = gateway.websocket("ping_interval = \"1s\"").start();
    let mut session = Session::open(&gateway, &upstream);
    let (first, second) = halves(false);
    session.upstream.send(&first);
    // The client's ping falls due and has to wait for the end of the frame; nothing shows it.
    std::thread::sleep(Duration::from_millis(1300));
    session.upstream.send(&[second, Frame::close(1000, "").encode()].concat());
    session.client.expect_frame(large());
    session.client.expect_frame(Frame::close(1000, ""));
    session.client.say(Frame::close(1000, ""));
    session.client.expect_eof();
}

#[test]
fn a_slow_reader_is_not_timed_out() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).plain();
    let gateway = gateway.websocket("ping_interval = \"1s\"").start();
    let Session { mut client, upstream: mut application, request, .. } =
        Session::open(&gateway, &upstream);
    let flood = std::thread::spawn(move || {
        application.flood(&large().encode(), Duration::from_secs(3), 100_000_000)
    });
    for _ in 0..400 {
        client.take(30_000);
        std::thread::sleep(Duration::from_millis(12));
    }
    let id = request.only("x-request-id").unwrap();
    let ended = gateway
        .log_records()
        .into_iter()
        .any(|record| record["request_id"] == id && record["event"] == "session.ended");
    assert!(!ended, "{:?}", gateway.log_records());
    drop((client, gateway));
    // Its own end is the gateway's.
    let _ = flood.join();
}

#[test]
fn sessions_that_the_grace_cuts_are_counted() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).plain();
    let mut gateway = gateway.server("shutdown_grace = \"1s\"").start();
    let _session = Session::open(&gateway, &upstream);
    gateway.terminate();
    assert_eq!(gateway.exit_code(), Some(0));
    let record = gateway.wait_for_record(|record| record["event"] == "cut");
    assert_eq!(record["sessions"], 1);
    let record = gateway.wait_for_record(|record| record["event"] == "session.ended");
    assert_eq!((&record["by"], &record["reason"]), (&json!("gateway"), &json!("shutdown")));
}

#[test]
fn a_steady_reader_is_not_ended_as_stalled() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).plain();
    let gateway = gateway.websocket("message_timeout = \"4s\"").start();
    let Session { mut client, upstream: mut application, .. } = Session::open(&gateway, &upstream);
    let flood = std::thread::spawn(move || {
        application.flood(&large().encode(), Duration::from_secs(3), 100_000_000)
    });
    for _ in 0..200 {
        client.take(5_000);
        std::thread::sleep(Duration::from_millis(50));
    }
    let records = gateway.log_records();
    assert!(records.iter().all(|record| record["event"] != "session.ended"), "{records:?}");
    drop((client, gateway));
    // Its own end is the gateway's.
    let _ = flood.join();
}
