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
fn a_client_above_a_limit_gets_the_limit_in_its_close() {
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

/// The application's message is limited where the configuration says so, and nothing else of it.
#[test]
fn an_upstream_above_a_limit_gets_the_limit_in_its_close() {
    let upstream = RawUpstream::bind();
    let limits = format!("{LIMITS}\nmax_reply_size = \"3KiB\"");
    let gateway = Gateway::to(&[upstream.address()]).websocket(&limits).start();
    let fits = [
        Frame::binary([1; 3072]),
        Frame::binary([2; 3000]).unfinished(),
        Frame::continuation([3; 72]),
        Frame::text("after it"),
    ];
    let begun = Frame::text([b'4'; 3000]).unfinished();
    for (before, bad) in
        [(None, Frame::binary([0; 3073])), (Some(begun), Frame::continuation([b'5'; 73]))]
    {
        let mut session = Session::open(&gateway, &upstream);
        let id = session.request_id();
        for frame in fits.iter().chain(&before) {
            session.upstream.say(frame.clone());
            session.client.expect_frame(frame.clone());
        }
        session.upstream.say(bad);
        session.client.expect_closing(1014, "message.too_big");
        session.upstream.expect_closing(1009, "message.too_big");
        let record = gateway.wait_for_record(|record| {
            record["event"] == "protocol.error" && record["request_id"] == id
        });
        assert_eq!(record["section"], "websocket.max_reply_size");
    }
}

/// What limits clients says nothing about the application: a picture of 6 MiB in one frame, a table in
/// 70,000 fragments.
#[test]
fn by_default_replies_have_no_limit() {
    let (gateway, upstream) = limited();
    let mut session = Session::open(&gateway, &upstream);
    let picture = Frame::binary(vec![7; 6 << 20]);
    let bytes = picture.encode();
    let mut application = session.upstream;
    let sending = std::thread::spawn(move || {
        application.send(&bytes);
        application.say(Frame::text("row ").unfinished());
        let rows = Frame::continuation("row ").unfinished().encode().repeat(70_000);
        application.send(&rows);
        application.say(Frame::continuation("end"));
        application
    });
    session.client.expect_frame(picture);
    session.client.expect_frame(Frame::text("row ").unfinished());
    let row = Frame::continuation("row ").unfinished().encode();
    assert_eq!(session.client.take(row.len() * 70_000), row.repeat(70_000));
    session.client.expect_frame(Frame::continuation("end"));
    session.upstream = sending.join().unwrap();
    session.close(1000, "");
}

/// Tomcat, CVE-2020-13935; gorilla, CVE-2020-27813; the `websocket` crate, RUSTSEC-2022-0035.
#[test]
fn a_declared_length_is_checked_before_the_payload_arrives() {
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
    for frame in frames {
        session.client.say(frame.clone());
        session.upstream.expect_frame(frame);
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
