//! The deadlines of `[websocket]`. The tests wait for what must come, and assert no time.

use std::time::Duration;

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
fn an_unfinished_message_of_the_upstream_is_timed_out() {
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

/// A client that never learned to answer pings is there as long as it says something, unless the route
/// asks for pongs.
#[test]
fn data_answers_pings_unless_pongs_are_required() {
    for (more, is_answer) in [("", true), ("require_pong = true", false)] {
        let (gateway, upstream) = with(&format!("ping_interval = \"400ms\"\n{more}"));
        let mut session = Session::open(&gateway, &upstream);
        let id = session.request_id();
        let (mut pings, mut last) = (0, session.client.read_frame());
        while last.opcode == 0x9 && pings < 8 {
            pings += 1;
            session.client.say(Frame::text("I am here"));
            // The application answers, and gets what the client says.
            let mut heard = false;
            while !heard {
                let frame = session.upstream.read_frame();
                match frame.opcode {
                    0x9 => session.upstream.say(Frame::pong(&frame.payload)),
                    0x8 => break,
                    _ => heard = true,
                }
            }
            last = session.client.read_frame();
        }
        if is_answer {
            assert_eq!(pings, 8);
        } else {
            assert_eq!(last.close_code(), Some((4408, "ping.timeout".to_owned())));
            let record = gateway.wait_for_reason(&id, "ping.timeout");
            assert_eq!(record["detail"], "websocket.ping_interval: it answered no ping");
        }
    }
}

/// Bytes of a frame of 600,000, of which a ping can only stand behind.
#[test]
fn a_slow_reader_does_not_owe_pongs() {
    let (gateway, upstream) = with("ping_interval = \"500ms\"");
    let mut session = Session::open(&gateway, &upstream);
    let frame = Frame::binary(vec![7; 600_000]);
    let bytes = frame.encode();
    let mut application = session.upstream;
    let sending = std::thread::spawn(move || {
        application.send(&bytes);
        loop {
            let frame = application.read_frame();
            match frame.opcode {
                0x9 => application.say(Frame::pong(&frame.payload)),
                _ => return frame,
            }
        }
    });
    // Six seconds for what is on its way, and two intervals are one.
    for _ in 0..60 {
        std::thread::sleep(Duration::from_millis(100));
        session.client.take(10_000);
    }
    session.client.take(10);
    session.client.say(Frame::text("done"));
    assert_eq!(sending.join().unwrap().payload, b"done");
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
fn a_route_tells_its_clients_when_to_come_back() {
    let upstream = RawUpstream::bind();
    let lines = "max_lifetime = \"300ms jitter 0%\"\nretry_hint = \"off\"";
    let hint = "websocket = { retry_hint = \"37s..37s\" }";
    let gateway = Gateway::to(&[upstream.address()]).websocket(lines).route(hint).start();
    let mut session = Session::open(&gateway, &upstream);
    let id = session.request_id();
    session.client.expect_closing(1001, "lifetime.over retry=37s");
    session.upstream.expect_closing(1001, "lifetime.over");
    gateway.wait_for_reason(&id, "lifetime.over");
}

#[test]
fn a_peer_that_never_answers_a_close_is_cut() {
    let (gateway, upstream) = with("max_lifetime = \"300ms\"");
    let mut session = Session::open(&gateway, &upstream);
    assert_eq!(session.client.expect_close(), (1001, "lifetime.over".to_owned()));
    assert_eq!(session.upstream.expect_close(), (1001, "lifetime.over".to_owned()));
    session.client.expect_gone();
    session.upstream.expect_gone();
}
