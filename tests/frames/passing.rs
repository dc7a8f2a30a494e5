//! Frames that are in order cross as they came: same fragments, same masks, same bytes.

use super::support::{Frame, Gateway, RawUpstream, Session};

fn both_ways(frames: &[Frame]) {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    let mut session = Session::open(&gateway, &upstream);
    for frame in frames {
        let sent = frame.clone().masked(true);
        session.client.send_frame(&sent);
        assert_eq!(session.upstream.read_frame(), sent, "masks are kept");
    }
    for frame in frames {
        session.upstream.send_frame(frame);
        assert_eq!(session.client.read_frame(), *frame);
    }
    session.close(1000, "");
}

#[test]
fn messages_of_every_form_of_length() {
    let sizes = [0, 1, 125, 126, 127, 65535, 65536, 200_000, 1024 * 1024];
    both_ways(&sizes.map(|size| Frame::binary(vec![0xa5; size])));
}

#[test]
fn text_in_many_scripts() {
    both_ways(&[
        Frame::text(""),
        Frame::text("Grüße, 世界, \u{1f600}, e\u{301}, \u{0}, \u{10ffff}"),
        Frame::text("世界".repeat(50_000)),
    ]);
}

#[test]
fn a_character_split_over_frames() {
    both_ways(&[
        Frame::text(b"\xf0\x9f").unfinished(),
        Frame::continuation("").unfinished(),
        Frame::ping("in between"),
        Frame::continuation(b"\x98").unfinished(),
        Frame::pong("unasked"),
        Frame::continuation(b"\x80"),
        Frame::binary(b"\xff\xfe"),
    ]);
}

#[test]
fn control_frames_up_to_125_bytes() {
    both_ways(&[Frame::ping(""), Frame::ping([0xff; 125]), Frame::pong([0x00; 125])]);
}

#[test]
fn every_close_code_that_may_be_sent_crosses_both_ways() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    let reason = "ü".repeat(61);
    for code in [1000, 1001, 1002, 1003, 1007, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999] {
        Session::open(&gateway, &upstream).close(code, &reason);
        let mut session = Session::open(&gateway, &upstream);
        let id = session.request_id();
        session.upstream.say(Frame::close(code, "bye"));
        session.client.expect_frame(Frame::close(code, "bye"));
        session.client.say(Frame::close(code, "bye"));
        session.upstream.expect_frame(Frame::close(code, "bye"));
        session.client.expect_end();
        session.upstream.expect_end();
        let ended = gateway.wait_for_reason(&id, "closed");
        assert_eq!((&ended["code"], &ended["by"]), (&code.into(), &"upstream".into()));
    }
}

#[test]
fn a_close_without_a_code_crosses_without_a_code() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    let mut session = Session::open(&gateway, &upstream);
    session.client.say(Frame::new(8, ""));
    session.upstream.expect_frame(Frame::new(8, ""));
    session.upstream.say(Frame::new(8, ""));
    session.client.expect_frame(Frame::new(8, ""));
    session.client.expect_end();
    session.upstream.expect_end();
}

#[test]
fn a_peer_may_answer_a_close_with_another_code() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    let mut session = Session::open(&gateway, &upstream);
    session.client.say(Frame::close(4002, "done"));
    session.upstream.expect_frame(Frame::close(4002, "done"));
    session.upstream.say(Frame::text("one more thing"));
    session.upstream.say(Frame::close(1000, "good bye"));
    session.client.expect_frame(Frame::text("one more thing"));
    session.client.expect_frame(Frame::close(1000, "good bye"));
    session.client.expect_end();
}

#[test]
fn many_small_messages_keep_their_order() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    let mut session = Session::open(&gateway, &upstream);
    let frames: Vec<_> = (0..2000).map(|index| Frame::text(format!("message {index}"))).collect();
    let bytes: Vec<u8> =
        frames.iter().flat_map(|frame| frame.clone().masked(true).encode()).collect();
    session.client.send(&bytes);
    for frame in &frames {
        session.upstream.expect_frame(frame.clone());
    }
    for frame in &frames {
        session.upstream.say(frame.clone());
    }
    for frame in frames {
        session.client.expect_frame(frame);
    }
}
