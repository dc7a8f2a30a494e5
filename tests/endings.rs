//! How sessions end against the running binary: a Close at a frame boundary, the rest thrown away,
//! nobody waited for who is gone.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support/mod.rs"]
mod support;

use std::time::Duration;

use support::{Frame, Gateway, RawUpstream, Session};

#[test]
fn garbage_after_the_gateways_close_is_thrown_away() {
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
