//! Compressed messages of a client.

use super::support::{Deflater, Frame, RawUpstream, packed};
use super::{inspecting, open};

#[test]
fn messages_cross_as_they_are() {
    let upstream = RawUpstream::bind();
    let gateway = inspecting(&upstream).start();
    let mut session = open(&gateway, &upstream);
    let id = session.request_id();
    let payload = Deflater::new(false).message("Grüße, 世界. ".repeat(1000));
    let (first, rest) = payload.split_at(payload.len() / 3);
    let (second, third) = rest.split_at(rest.len() / 2);
    let frames = [
        packed("Hello"),
        Frame::text("not compressed"),
        Frame::text(first).with_rsv(4).unfinished(),
        Frame::ping("between"),
        Frame::continuation(second).unfinished(),
        Frame::continuation(third),
        Frame::new(2, Deflater::new(false).message([0xff; 500])).with_rsv(4),
        // More than is held back.
        packed("a compressed text is larger than 16 KiB".repeat(20_000)),
    ];
    let mut bytes = 0;
    for frame in frames {
        bytes += frame.clone().masked(true).encode().len();
        session.client.say(frame.clone());
        session.upstream.expect_frame(frame);
    }
    session.prove_alive();
    session.close(1000, "");
    let ended = gateway
        .wait_for_record(|record| record["event"] == "session.ended" && record["request_id"] == id);
    let alive_and_close = Frame::text("there").masked(true).encode().len()
        + Frame::close(1000, "").masked(true).encode().len();
    assert_eq!(ended["client_messages"], 6);
    assert_eq!(ended["client_bytes"], bytes + alive_and_close, "as on the wire");
}

/// Each in a session of its own. Nothing of the frame that is refused reaches the upstream.
#[test]
fn offences_are_refused_and_do_not_cross() {
    let upstream = RawUpstream::bind();
    let gateway = inspecting(&upstream).start();
    let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let started = || vec![packed("Hello, Hello, Hello").unfinished()];
    let data = |payload: &[u8]| Frame::binary(payload).with_rsv(4);
    let protocol = (1002, "frame.protocol");
    for (name, before, bad, (code, reason)) in [
        ("RSV1 on a continuation", started(), Frame::continuation("").with_rsv(4), protocol),
        ("RSV1 on a ping", vec![], Frame::ping("").with_rsv(4), protocol),
        ("RSV1 on a ping in a message", started(), Frame::ping("").with_rsv(4), protocol),
        ("RSV1 on a Close", vec![], Frame::close(1000, "").with_rsv(4), protocol),
        ("RSV2", vec![], packed("Hello").with_rsv(6), protocol),
        ("a reserved block", vec![], data(&[0x06]), protocol),
        ("a message that is cut short", vec![], data(&hello[..4]), protocol),
        ("no data at all", vec![], data(&[]), protocol),
        ("its tail left on", vec![], data(&[&hello[..], &[0, 0, 0xff, 0xff]].concat()), protocol),
        ("a final block", vec![], data(b"\xf3\x48\xcd\xc9\xc9\x07\0\0"), protocol),
        (
            "data behind the last block",
            vec![],
            data(b"\xf3\x48\xcd\xc9\xc9\x07\0\xf2\x48\x05\0"),
            protocol,
        ),
        ("what only a window explains", vec![data(&hello)], data(&[0xf2, 0, 0x11, 0, 0]), protocol),
        ("no UTF-8", vec![], packed(b"caf\xe9 au lait"), (1007, "frame.utf8")),
        ("half a character", vec![packed("good")], packed(b"caf\xc3"), (1007, "frame.utf8")),
    ] {
        println!("{name}");
        let mut session = open(&gateway, &upstream);
        let id = session.request_id();
        for frame in before {
            session.client.say(frame.clone());
            session.upstream.expect_frame(frame);
        }
        session.client.say(bad);
        session.client.expect_closing(code, reason);
        session.upstream.expect_closing(1001, reason);
        let record = gateway.wait_for_record(|record| {
            record["event"] == "protocol.error" && record["request_id"] == id
        });
        assert_eq!(record["reason"], reason);
        assert!(record["section"].as_str().unwrap().starts_with("RFC "), "{record}");
    }
}

#[test]
fn a_text_that_turns_bad_in_a_later_frame_never_ends() {
    let upstream = RawUpstream::bind();
    let gateway = inspecting(&upstream).start();
    let mut session = open(&gateway, &upstream);
    let payload = Deflater::new(false).message([&[b'a'; 5000][..], b"\xff"].concat());
    let (first, last) = payload.split_at(5);
    let first = Frame::text(first).with_rsv(4).unfinished();
    session.client.say(first.clone());
    session.upstream.expect_frame(first);
    session.client.say(Frame::continuation(last));
    session.client.expect_closing(1007, "frame.utf8");
    session.upstream.expect_closing(1001, "frame.utf8");
}

/// Whoever reads on in the same window must not miss what was dropped: each message of a client
/// stands for itself.
#[test]
fn dropped_compressed_messages_leave_the_rest_readable() {
    let upstream = RawUpstream::bind();
    let gateway = inspecting(&upstream)
        .more("[limits]\nmessages = \"1/h burst 2\"\non_exceed = \"drop\"")
        .start();
    let mut session = open(&gateway, &upstream);
    for number in 0..4 {
        session.client.say(packed(format!("message {number}, said once and again")));
    }
    session.client.say(Frame::ping("behind them"));
    for number in 0..2 {
        session.upstream.expect_frame(packed(format!("message {number}, said once and again")));
    }
    session.upstream.expect_frame(Frame::ping("behind them"));
}
