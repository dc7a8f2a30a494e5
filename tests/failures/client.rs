//! Clients that vanish.

use super::support::{Frame, Gateway, RawUpstream, Request, Session};

#[test]
fn a_lost_client_closes_the_upstream() {
    for reset in [false, true] {
        let upstream = RawUpstream::bind();
        let gateway = Gateway::to(&[upstream.address()]).start();
        let mut session = Session::open(&gateway, &upstream);
        session.prove_alive();
        let id = session.request_id();
        if reset {
            session.client.reset();
        } else {
            drop(session.client);
        }
        session.upstream.expect_closing(1001, "client.lost");
        let ended = gateway.wait_for_record(|record| {
            record["event"] == "session.ended" && record["request_id"] == id
        });
        assert_eq!(ended["reason"], "client.lost");
        assert_eq!(ended["by"], "client");
    }
}

#[test]
fn a_small_frame_that_never_ends_does_not_reach_the_application() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    let mut session = Session::open(&gateway, &upstream);
    let frame = Frame::text("never all of it").masked(true).encode();
    session.client.send(&frame[..frame.len() - 1]);
    drop(session.client);
    session.upstream.expect_closing(1001, "client.lost");
}

#[test]
fn a_large_frame_that_never_ends_cuts_the_application() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    let mut session = Session::open(&gateway, &upstream);
    let frame = Frame::binary(vec![7; 512 * 1024]).masked(true).encode();
    session.client.send(&frame[..frame.len() / 2]);
    drop(session.client);
    let crossed = session.upstream.expect_gone();
    assert!(frame.starts_with(&crossed), "something else than the frame crossed");
}

#[test]
fn a_client_that_leaves_before_the_101_closes_the_upstream() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    let mut client = gateway.connect();
    client.send_request(&Request::upgrade("/ws"));
    let mut application = upstream.accept();
    application.read_head();
    client.reset();
    let after = application.expect_gone();
    assert!(after.is_empty(), "{after:?}");
}

#[test]
fn a_full_gateway_refuses_and_recovers() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).server("max_connections = 2").start();
    let mut first = Session::open(&gateway, &upstream);
    let mut second = Session::open(&gateway, &upstream);
    gateway.expect_refusal(&Request::upgrade("/ws"), 503, "capacity");
    upstream.received_nothing();
    first.prove_alive();
    second.prove_alive();
    let id = first.request_id();
    first.close(1000, "");
    gateway.wait_for_reason(&id, "closed");
    Session::open(&gateway, &upstream).prove_alive();
}
