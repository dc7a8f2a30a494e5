//! Messages that inflate to more than their bytes account for, though not to more than a message may.

use super::support::{Frame, RawUpstream, bomb, packed, zeros};
use super::{inspecting, open};

/// What any message may inflate to.
const UNRATED: usize = 64 * 1024;

fn binary(payload: Vec<u8>) -> Frame {
    Frame::binary(payload).with_rsv(4)
}

/// 4 MiB of zeros where 8 MiB are allowed.
#[test]
fn a_bomb_below_the_largest_message_does_not_cross() {
    let upstream = RawUpstream::bind();
    let gateway = inspecting(&upstream).websocket("max_message_size = \"8MiB\"").start();
    let mut session = open(&gateway, &upstream);
    let id = session.request_id();
    let bomb = bomb(4);
    assert!((4000..16_000).contains(&bomb.len()), "{}", bomb.len());
    session.client.say(binary(bomb));
    session.client.expect_closing(1009, "message.too_big");
    session.upstream.expect_closing(1001, "message.too_big");
    let record = gateway.wait_for_record(|record| {
        record["event"] == "protocol.error" && record["request_id"] == id
    });
    assert_eq!(record["reason"], "message.too_big");
    assert_eq!(record["section"], "websocket.max_inflation_ratio");
    assert_eq!(record["rule"], "the message inflates to more times its size than the limit");
}

/// 200 for one; the application may send what it likes.
#[test]
fn the_ratio_is_exact() {
    let upstream = RawUpstream::bind();
    let gateway = inspecting(&upstream).start();
    let (most, more) = (binary(zeros(1_000_000, 5000)), binary(zeros(1_000_001, 5000)));
    let small = packed("a".repeat(UNRATED));
    assert!(small.payload.len() < 100);
    let mut session = open(&gateway, &upstream);
    for frame in [&most, &small, &most] {
        session.client.say(frame.clone());
        session.upstream.expect_frame(frame.clone());
        session.upstream.say(frame.clone());
        session.client.expect_frame(frame.clone());
    }
    session.client.say(more.clone());
    session.client.expect_closing(1009, "message.too_big");
    session.upstream.expect_closing(1001, "message.too_big");
    let mut session = open(&gateway, &upstream);
    session.upstream.say(more.clone());
    session.client.expect_frame(more);
    session.client.say(packed("a".repeat(UNRATED + 1)));
    session.client.expect_closing(1009, "message.too_big");
    session.upstream.expect_closing(1001, "message.too_big");
}

/// A message of more than is held back is judged as it arrives: the fragments before it went on.
#[test]
fn a_bomb_in_a_later_fragment() {
    let upstream = RawUpstream::bind();
    let gateway = inspecting(&upstream).websocket("max_message_size = \"8MiB\"").start();
    let mut session = open(&gateway, &upstream);
    let payload = [&zeros(20_000, 10_000)[..], &[0, 0, 0xff, 0xff], &bomb(4)].concat();
    let (first, last) = payload.split_at(10_000);
    let first = binary(first.to_vec()).unfinished();
    session.client.say(first.clone());
    session.upstream.expect_frame(first);
    session.client.say(Frame::continuation(last));
    session.client.expect_closing(1009, "message.too_big");
    session.upstream.expect_closing(1001, "message.too_big");
}

#[test]
fn a_route_decides_for_itself_and_a_reload_holds_for_open_sessions() {
    let upstream = RawUpstream::bind();
    let gateway = inspecting(&upstream)
        .route("websocket = { max_inflation_ratio = \"off\", max_message_size = \"8MiB\" }")
        .start();
    let mut session = open(&gateway, &upstream);
    let bomb = binary(bomb(4));
    session.client.say(bomb.clone());
    session.upstream.expect_frame(bomb.clone());
    gateway.rewrite(|text| text.replace("\"off\", max_m", "900, max_m"));
    gateway.hang_up("reloaded");
    session.prove_alive();
    session.client.say(bomb);
    session.client.expect_closing(1009, "message.too_big");
    session.upstream.expect_closing(1001, "message.too_big");
}
