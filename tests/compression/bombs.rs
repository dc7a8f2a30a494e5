//! Messages that are small on the wire and large behind it: websockets CVE-2018-1000518, undici
//! CVE-2026-1526.

use super::support::{Frame, RawUpstream, bomb, packed};
use super::{inspecting, open};

/// More than this the gateway may not grow by, whatever it is sent.
const MOST_KIB: u64 = 16 * 1024;

#[test]
fn a_gibibyte_in_a_mebibyte_is_refused_in_little_memory() {
    let upstream = RawUpstream::bind();
    // So that the size alone is what it is refused for.
    let settings = "max_frame_size = \"2MiB\"\nmax_inflation_ratio = \"off\"";
    let gateway = inspecting(&upstream).websocket(settings).start();
    let bomb = bomb(1024);
    assert!((900 << 10..2 << 20).contains(&bomb.len()), "{}", bomb.len());
    let before = gateway.resident_kib();
    for _ in 0..3 {
        let mut session = open(&gateway, &upstream);
        let id = session.request_id();
        session.client.say(Frame::binary(&bomb).with_rsv(4));
        assert_eq!(session.client.expect_close(), (1009, "message.too_big".to_owned()));
        let crossed = session.upstream.expect_gone();
        assert!(crossed.len() < 64 * 1024, "{} bytes of it crossed", crossed.len());
        gateway.wait_for_reason(&id, "message.too_big");
    }
    let grown = gateway.resident_kib().saturating_sub(before);
    assert!(grown < MOST_KIB, "{grown} KiB");
}

/// Each of them fits into a frame that is held back whole.
#[test]
fn small_bombs_of_many_clients_at_once() {
    let upstream = RawUpstream::bind();
    let gateway = inspecting(&upstream).start();
    let bomb = Frame::binary(bomb(12)).with_rsv(4);
    assert!(bomb.payload.len() < 16_000);
    let mut sessions: Vec<_> = (0..30).map(|_| open(&gateway, &upstream)).collect();
    let before = gateway.resident_kib();
    for session in &mut sessions {
        session.client.say(bomb.clone());
    }
    for session in &mut sessions {
        session.client.expect_closing(1009, "message.too_big");
        session.upstream.expect_closing(1001, "message.too_big");
    }
    let grown = gateway.resident_kib().saturating_sub(before);
    assert!(grown < MOST_KIB, "{grown} KiB");
}

/// Where its replies have a limit.
#[test]
fn a_bomb_of_the_upstream_is_refused_too() {
    let upstream = RawUpstream::bind();
    let gateway = inspecting(&upstream).websocket("max_reply_size = \"1MiB\"").start();
    let mut session = open(&gateway, &upstream);
    session.upstream.say(Frame::binary(bomb(12)).with_rsv(4));
    session.client.expect_closing(1014, "message.too_big");
    session.upstream.expect_closing(1009, "message.too_big");
}

/// A bomb in a hundred fragments is one message.
#[test]
fn fragments_count_together() {
    let upstream = RawUpstream::bind();
    let gateway = inspecting(&upstream).websocket("max_message_size = \"64KiB\"").start();
    let mut session = open(&gateway, &upstream);
    let fits = packed("a".repeat(65_536));
    session.client.say(fits.clone());
    session.upstream.expect_frame(fits);
    let larger = packed("a".repeat(65_537)).payload;
    let (last, fragments) = larger.split_last().unwrap();
    for (number, byte) in fragments.iter().enumerate() {
        let frame = Frame::new(u8::from(number == 0), [*byte]);
        session.client.say(frame.with_rsv(if number == 0 { 4 } else { 0 }).unfinished());
    }
    session.client.say(Frame::continuation([*last]));
    session.client.expect_closing(1009, "message.too_big");
    while session.upstream.read_frame().opcode != 8 {}
}
