//! Compressed messages of an application.

use super::support::{Deflater, Frame, RawUpstream, Session, packed};
use super::{inspecting, offering, open};

#[test]
fn messages_refer_to_those_before_them() {
    let upstream = RawUpstream::bind();
    let gateway = inspecting(&upstream).start();
    let mut session = open(&gateway, &upstream);
    let mut deflater = Deflater::new(true);
    let text = "the same text, again and again: ä".repeat(50);
    let lengths: Vec<_> = (0..5)
        .map(|_| {
            let frame = Frame::text(deflater.message(&text)).with_rsv(4);
            session.upstream.say(frame.clone());
            session.client.expect_frame(frame.clone());
            frame.payload.len()
        })
        .collect();
    assert!(lengths[1] < lengths[0] / 2, "{lengths:?}");
}

#[test]
fn server_no_context_takeover_is_enforced() {
    let upstream = RawUpstream::bind();
    let gateway = inspecting(&upstream).start();
    let fields = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n";
    let offer = offering("permessage-deflate");
    let mut session = Session::open_with(&gateway, &upstream, &offer, fields);
    let mut deflater = Deflater::new(true);
    let frame = Frame::text(deflater.message("the same, the same")).with_rsv(4);
    session.upstream.say(frame.clone());
    session.client.expect_frame(frame);
    session.upstream.say(Frame::text(deflater.message("the same, the same")).with_rsv(4));
    session.client.expect_closing(1014, "upstream.protocol");
    session.upstream.expect_closing(1002, "frame.protocol");
}

#[test]
fn violations_of_the_upstream_are_its_fault() {
    let upstream = RawUpstream::bind();
    let gateway = inspecting(&upstream).start();
    for (bad, (code, reason)) in [
        (Frame::binary([0x06]).with_rsv(4), (1002, "frame.protocol")),
        (Frame::ping("").with_rsv(4), (1002, "frame.protocol")),
        (packed(b"caf\xe9"), (1007, "frame.utf8")),
    ] {
        let mut session = open(&gateway, &upstream);
        session.upstream.say(bad);
        session.client.expect_closing(1014, "upstream.protocol");
        session.upstream.expect_closing(code, reason);
    }
}
