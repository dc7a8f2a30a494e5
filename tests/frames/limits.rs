//! Sizes, judged at the header and never by what would have to be read first.

use super::support::{Frame, Gateway, RawUpstream, Session};

const LIMITS: &str = "max_message_size = \"2KiB\"\nmax_frame_size = \"1KiB\"\nmax_fragments = 4";

fn limited() -> (Gateway, RawUpstream) {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).websocket(LIMITS).start();
    (gateway, upstream)
}

/// Frames that are in order, then the one that is too much.
fn too_much() -> Vec<(Vec<Frame>, Frame, &'static str)> {
    let start = |size: usize| Frame::binary(vec![0; size]).unfinished();
    let more = |size: usize| Frame::continuation(vec![0; size]).unfinished();
    vec![
        (vec![], Frame::binary([0; 1025]), "frame.too_big"),
        (vec![start(1024)], Frame::continuation([0; 1025]), "frame.too_big"),
        (vec![start(1024), more(1024)], Frame::continuation([0]), "message.too_big"),
        (vec![start(1000), more(1000)], Frame::continuation([0; 100]), "message.too_big"),
        (vec![start(1), more(1), more(1), more(1)], Frame::continuation([0]), "message.fragments"),
        (vec![start(0), more(0), more(0), more(0)], more(0), "message.fragments"),
    ]
}

#[test]
fn a_client_that_sends_too_much_is_told_the_limit() {
    let (gateway, upstream) = limited();
    for (before, bad, reason) in too_much() {
        let mut session = Session::open(&gateway, &upstream);
        let id = session.request_id();
        for frame in before {
            session.client.say(frame.clone());
            session.upstream.expect_frame(frame);
        }
        session.client.say(bad);
        session.client.expect_closing(1009, reason);
        session.upstream.expect_closing(1001, reason);
        gateway.wait_for_reason(&id, reason);
    }
}

#[test]
fn an_application_that_sends_too_much_is_told_the_limit() {
    let (gateway, upstream) = limited();
    for (before, bad, reason) in too_much() {
        let mut session = Session::open(&gateway, &upstream);
        let id = session.request_id();
        for frame in before {
            session.upstream.say(frame.clone());
            session.client.expect_frame(frame);
        }
        session.upstream.say(bad);
        session.client.expect_closing(1014, reason);
        session.upstream.expect_closing(1009, reason);
        gateway.wait_for_reason(&id, reason);
    }
}

/// Tomcat, CVE-2020-13935; gorilla, CVE-2020-27813; the `websocket` crate, RUSTSEC-2022-0035.
#[test]
fn a_declared_length_is_judged_before_any_of_it_comes() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    for length in [1024 * 1024 + 1, u64::from(u32::MAX) + 1, u64::MAX >> 1] {
        let header = Frame::binary("").masked(true).encode_with(127, &length.to_be_bytes());
        let mut session = Session::open(&gateway, &upstream);
        session.client.send(&header);
        session.client.expect_closing(1009, "frame.too_big");
        session.upstream.expect_closing(1001, "frame.too_big");
    }
    assert!(gateway.resident_kib() < 256 * 1024, "{} KiB", gateway.resident_kib());
}

#[test]
fn exactly_the_limit_passes() {
    let (gateway, upstream) = limited();
    let mut session = Session::open(&gateway, &upstream);
    let frames = [
        Frame::binary([1; 1024]).unfinished(),
        Frame::continuation([2; 1000]).unfinished(),
        Frame::continuation([3; 24]).unfinished(),
        Frame::ping([4; 125]),
        Frame::continuation(""),
        Frame::text([b'5'; 1024]),
    ];
    for frame in &frames {
        session.client.say(frame.clone());
        session.upstream.expect_frame(frame.clone());
    }
    for frame in frames {
        session.upstream.say(frame.clone());
        session.client.expect_frame(frame);
    }
    session.close(1000, "");
}

#[test]
fn a_route_overrides_the_limits() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()])
        .websocket(LIMITS)
        .route("websocket = { max_frame_size = \"4KiB\", max_message_size = \"4KiB\" }")
        .start();
    let mut session = Session::open(&gateway, &upstream);
    session.client.say(Frame::binary([0; 4096]));
    session.upstream.expect_frame(Frame::binary([0; 4096]));
    session.client.say(Frame::binary([0; 4097]));
    session.client.expect_closing(1009, "frame.too_big");
    session.upstream.expect_closing(1001, "frame.too_big");
}
