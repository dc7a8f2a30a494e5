//! Applications that are not there, do not answer, or die.

use super::support::{Frame, Gateway, RawUpstream, Request, Session};

#[test]
fn an_application_that_is_not_there_is_unavailable() {
    let gateway = Gateway::to(&[RawUpstream::unused_address()]).start();
    gateway.expect_refusal(&Request::upgrade("/ws"), 503, "upstream.unavailable");
    gateway.wait_for_error(|record| record["reason"] == "upstream.unavailable");
}

#[test]
fn the_next_application_is_tried() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[RawUpstream::unused_address(), upstream.address()]).start();
    for _ in 0..3 {
        Session::open(&gateway, &upstream).prove_alive();
    }
}

#[test]
fn an_application_that_never_answers_is_timed_out() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).server("handshake_timeout = \"1s\"").start();
    gateway.expect_refusal(&Request::upgrade("/ws"), 504, "upstream.timeout");
    // It was reached, and its connection was given up.
    let mut application = upstream.accept();
    application.read_head();
    assert_eq!(application.expect_gone(), b"");
}

#[test]
fn an_application_that_stops_within_its_answer_is_timed_out() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).server("handshake_timeout = \"1s\"").start();
    let mut client = gateway.connect();
    client.send_request(&Request::upgrade("/ws"));
    let mut application = upstream.accept();
    application.read_head();
    application.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: webso");
    let response = client.read_response();
    gateway.check_refusal(&response, 504, "upstream.timeout");
    assert_eq!(application.expect_gone(), b"");
}

#[test]
fn an_application_that_hangs_up_without_an_answer_is_a_bad_gateway() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    for reset in [false, true] {
        let mut client = gateway.connect();
        client.send_request(&Request::upgrade("/ws"));
        let mut application = upstream.accept();
        application.read_head();
        if reset {
            application.reset();
        } else {
            drop(application);
        }
        let response = client.read_response();
        gateway.check_refusal(&response, 502, "upstream.handshake");
    }
}

#[test]
fn an_application_that_dies_between_messages_is_lost() {
    for reset in [false, true] {
        let upstream = RawUpstream::bind();
        let gateway = Gateway::to(&[upstream.address()]).start();
        let mut session = Session::open(&gateway, &upstream);
        session.prove_alive();
        let id = session.request_id();
        if reset {
            session.upstream.reset();
        } else {
            drop(session.upstream);
        }
        session.client.expect_closing(1014, "upstream.lost");
        let ended = gateway.wait_for_reason(&id, "upstream.lost");
        assert_eq!(ended["code"].as_u64().unwrap_or(1014), 1014);
        gateway.wait_for_error(|record| {
            record["reason"] == "upstream.lost" && record["request_id"] == id
        });
    }
}

/// The fragments that came are whole frames and were forwarded; the Close stands between frames.
#[test]
fn an_application_that_dies_between_fragments_is_lost() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    let mut session = Session::open(&gateway, &upstream);
    session.upstream.say(Frame::text("half of ").unfinished());
    session.client.expect_frame(Frame::text("half of ").unfinished());
    session.upstream.reset();
    session.client.expect_closing(1014, "upstream.lost");
}

#[test]
fn a_small_frame_that_never_ends_does_not_reach_the_client() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    let mut session = Session::open(&gateway, &upstream);
    let frame = Frame::text("never all of it").encode();
    session.upstream.send(&frame[..frame.len() - 1]);
    drop(session.upstream);
    session.client.expect_closing(1014, "upstream.lost");
}

/// A large frame is on its way to the client already: no Close may stand within it.
#[test]
fn a_large_frame_that_never_ends_cuts_the_client() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    let mut session = Session::open(&gateway, &upstream);
    let id = session.request_id();
    let frame = Frame::binary(vec![7; 512 * 1024]).encode();
    session.upstream.send(&frame[..frame.len() / 2]);
    drop(session.upstream);
    let crossed = session.client.expect_gone();
    assert!(frame.starts_with(&crossed), "something else than the frame crossed");
    gateway.wait_for_reason(&id, "upstream.lost");
}
