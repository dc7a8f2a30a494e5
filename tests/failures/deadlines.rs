//! The deadlines of `[websocket]`. The tests wait for what must come, and assert no time.

use super::support::{Frame, Gateway, RawUpstream, Session};

fn with(lines: &str) -> (Gateway, RawUpstream) {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).websocket(lines).start();
    (gateway, upstream)
}

#[test]
fn a_message_that_a_client_never_ends_is_timed_out() {
    let (gateway, upstream) = with("message_timeout = \"500ms\"");
    let mut session = Session::open(&gateway, &upstream);
    let id = session.request_id();
    session.client.say(Frame::text("half of ").unfinished());
    session.upstream.expect_frame(Frame::text("half of ").unfinished());
    session.client.expect_closing(4408, "message.timeout");
    session.upstream.expect_closing(1001, "message.timeout");
    gateway.wait_for_reason(&id, "message.timeout");
}

#[test]
fn a_frame_that_a_client_never_ends_is_timed_out() {
    for frame in [Frame::text("never all of it"), Frame::ping("nor this")] {
        let (gateway, upstream) = with("message_timeout = \"500ms\"");
        let mut session = Session::open(&gateway, &upstream);
        let bytes = frame.masked(true).encode();
        session.client.send(&bytes[..bytes.len() - 1]);
        assert_eq!(session.client.expect_close(), (4408, "message.timeout".to_owned()));
        session.upstream.expect_closing(1001, "message.timeout");
    }
}

#[test]
fn a_header_that_a_client_never_ends_is_timed_out() {
    let (gateway, upstream) = with("message_timeout = \"500ms\"");
    let mut session = Session::open(&gateway, &upstream);
    session.client.send(&[0x81]);
    assert_eq!(session.client.expect_close(), (4408, "message.timeout".to_owned()));
    session.upstream.expect_closing(1001, "message.timeout");
}

#[test]
fn a_message_that_an_application_never_ends_keeps_its_name() {
    let (gateway, upstream) = with("message_timeout = \"500ms\"");
    let mut session = Session::open(&gateway, &upstream);
    session.upstream.say(Frame::text("half of ").unfinished());
    session.client.expect_frame(Frame::text("half of ").unfinished());
    session.client.expect_closing(1014, "message.timeout");
    session.upstream.expect_closing(4408, "message.timeout");
}

#[test]
fn an_idle_session_is_ended_at_both_ends() {
    let (gateway, upstream) = with("idle_timeout = \"500ms\"\nping_interval = \"off\"");
    let mut session = Session::open(&gateway, &upstream);
    let id = session.request_id();
    let (code, reason) = session.client.expect_close();
    assert_eq!((code, reason.as_str()), (4408, "idle.timeout"));
    let (code, reason) = session.upstream.expect_close();
    // Neither end is more at fault than the other.
    assert!([1001, 4408].contains(&code), "{code}");
    assert_eq!(reason, "idle.timeout");
    gateway.wait_for_reason(&id, "idle.timeout");
}

#[test]
fn pings_that_are_answered_keep_a_session_and_never_cross() {
    let (gateway, upstream) = with("ping_interval = \"200ms\"");
    let mut session = Session::open(&gateway, &upstream);
    for _ in 0..5 {
        let ping = session.client.read_frame();
        assert_eq!(ping.opcode, 0x9, "{ping:?}");
        session.client.say(Frame::pong(&ping.payload));
        let ping = session.upstream.read_frame();
        assert_eq!(ping.opcode, 0x9, "{ping:?}");
        session.upstream.say(Frame::pong(&ping.payload));
    }
    session.client.say(Frame::ping("my own"));
    loop {
        let frame = session.upstream.read_frame();
        if frame.payload == b"my own" {
            assert_eq!(frame.opcode, 0x9);
            break;
        }
        assert_eq!(frame.opcode, 0x9, "a pong of the gateway's crossed: {frame:?}");
        session.upstream.say(Frame::pong(&frame.payload));
    }
}

#[test]
fn a_client_that_answers_no_pings_is_ended() {
    let (gateway, upstream) = with("ping_interval = \"300ms\"");
    let mut session = Session::open(&gateway, &upstream);
    let id = session.request_id();
    // The application answers; the client does not.
    let end = loop {
        let frame = session.upstream.read_frame();
        match frame.opcode {
            0x9 => session.upstream.say(Frame::pong(&frame.payload)),
            _ => break frame,
        }
    };
    assert_eq!(end.close_code(), Some((1001, "ping.timeout".to_owned())));
    let mut pings = 0;
    let end = loop {
        let frame = session.client.read_frame();
        if frame.opcode != 0x9 {
            break frame;
        }
        pings += 1;
    };
    assert_eq!(end.close_code(), Some((4408, "ping.timeout".to_owned())));
    assert_eq!(pings, 2, "two pings stay unanswered");
    gateway.wait_for_reason(&id, "ping.timeout");
}

#[test]
fn an_application_that_answers_no_pings_is_ended() {
    let (gateway, upstream) = with("ping_interval = \"300ms\"");
    let mut session = Session::open(&gateway, &upstream);
    let end = loop {
        let frame = session.client.read_frame();
        match frame.opcode {
            0x9 => session.client.say(Frame::pong(&frame.payload)),
            _ => break frame,
        }
    };
    assert_eq!(end.close_code(), Some((1014, "ping.timeout".to_owned())));
    let end = loop {
        let frame = session.upstream.read_frame();
        if frame.opcode != 0x9 {
            break frame;
        }
    };
    assert_eq!(end.close_code(), Some((4408, "ping.timeout".to_owned())));
}

#[test]
fn a_session_ends_at_its_maximum_lifetime() {
    let (gateway, upstream) = with("max_lifetime = \"500ms\"");
    let mut session = Session::open(&gateway, &upstream);
    let id = session.request_id();
    session.prove_alive();
    session.client.expect_closing(1001, "lifetime.over");
    session.upstream.expect_closing(1001, "lifetime.over");
    let ended = gateway.wait_for_reason(&id, "lifetime.over");
    assert_eq!(ended["by"], "gateway");
}

#[test]
fn an_end_that_never_answers_a_close_is_given_up() {
    let (gateway, upstream) = with("max_lifetime = \"300ms\"");
    let mut session = Session::open(&gateway, &upstream);
    assert_eq!(session.client.expect_close(), (1001, "lifetime.over".to_owned()));
    assert_eq!(session.upstream.expect_close(), (1001, "lifetime.over".to_owned()));
    session.client.expect_gone();
    session.upstream.expect_gone();
}
