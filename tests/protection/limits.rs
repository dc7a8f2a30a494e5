//! `[limits]` against the running gateway. The margins are wide: a burst is used up at once, and what
//! comes back of it takes longer than a test.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::support::{Frame, Gateway, GatewayBuilder, RawUpstream, Request, Session, Wire};
use super::{as_user, guarded};

const PROXY: &str = "trusted_proxies = [\"127.0.0.1\"]";

/// A handshake that the trusted proxy forwards for this address.
fn of(address: &str) -> Request {
    Request::upgrade("/ws").and("X-Forwarded-For", address)
}

fn limited(upstream: &RawUpstream, limits: &str) -> GatewayBuilder {
    Gateway::to(&[upstream.address()]).more(&format!("[limits]\n{limits}\n"))
}

/// A connection from another loopback address.
fn from(gateway: &Gateway, last: u8) -> Wire {
    let local = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)), 0);
    gateway.connect_from(local)
}

#[test]
fn connections_per_ip_counts_open_connections() {
    let upstream = RawUpstream::bind();
    let gateway = limited(&upstream, "connections_per_ip = 2").server(PROXY).start();
    let first = Session::open_with(&gateway, &upstream, &of("192.0.2.7"), "");
    let mut second = Session::open_with(&gateway, &upstream, &of("192.0.2.7"), "");
    let refused = gateway.expect_refusal(&of("192.0.2.7"), 429, "limit.connections");
    assert_eq!(refused.only("retry-after"), Some("10"));
    upstream.received_nothing();
    Session::open_with(&gateway, &upstream, &of("192.0.2.8"), "").prove_alive();
    // IPv6 counts by /64.
    let _one = Session::open_with(&gateway, &upstream, &of("2001:db8::1"), "");
    let _two = Session::open_with(&gateway, &upstream, &of("2001:db8::2"), "");
    gateway.expect_refusal(&of("2001:db8::3"), 429, "limit.connections");
    Session::open_with(&gateway, &upstream, &of("2001:db8:0:1::3"), "").prove_alive();
    let id = first.request_id();
    first.close(1000, "");
    gateway.wait_for_reason(&id, "closed");
    Session::open_with(&gateway, &upstream, &of("192.0.2.7"), "").prove_alive();
    second.prove_alive();
}

#[test]
fn an_untrusted_peer_cannot_claim_another_address() {
    let upstream = RawUpstream::bind();
    let gateway = limited(&upstream, "connections_per_ip = 1").start();
    let mut first = Session::open_with(&gateway, &upstream, &of("192.0.2.7"), "");
    // Dropped at accept: what it would say is not read.
    assert_eq!(gateway.connect_plainly().expect_gone(), b"");
    let record = gateway.wait_for_record(|record| record["event"] == "dropped");
    assert_eq!(record["reason"], "limit.connections");
    assert!(record["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{record}");
    first.prove_alive();
    let mut elsewhere = from(&gateway, 2);
    elsewhere.send_request(&Request::upgrade("/ws"));
    let (_application, request) = upstream.accept_upgrade("");
    assert_eq!(request.only("x-forwarded-for"), Some("127.0.0.2"));
    assert_eq!(elsewhere.read_head().status(), 101);
}

#[test]
fn handshakes_per_ip_limits_an_address() {
    let upstream = RawUpstream::bind();
    let limits = "handshakes_per_ip = \"1/h burst 2\"";
    let gateway = limited(&upstream, limits).server(PROXY).start();
    for _ in 0..2 {
        Session::open_with(&gateway, &upstream, &of("192.0.2.7"), "").close(1000, "");
    }
    let refused = gateway.expect_refusal(&of("192.0.2.7"), 429, "limit.handshakes");
    let wait: u64 = refused.only("retry-after").unwrap().parse().unwrap();
    assert!((3500..=3600).contains(&wait), "an hour: {wait}");
    upstream.received_nothing();
    Session::open_with(&gateway, &upstream, &of("192.0.2.8"), "").prove_alive();
}

#[test]
fn sessions_per_user_counts_all_addresses() {
    let upstream = RawUpstream::bind();
    let limits = "[limits]\nconnections_per_user = 1\n";
    let gateway = guarded(&upstream).more(limits).start();
    let mut first = Session::open_with(&gateway, &upstream, &as_user("ada", ""), "");
    let refused = gateway.expect_refusal(&as_user("ada", ""), 429, "limit.user");
    assert_eq!(refused.only("retry-after"), Some("10"));
    upstream.received_nothing();
    Session::open_with(&gateway, &upstream, &as_user("bob", ""), "").prove_alive();
    first.prove_alive();
}

#[test]
fn sessions_per_user_applies_to_the_first_message() {
    let upstream = RawUpstream::bind();
    let gateway = guarded(&upstream)
        .more("token_from = [\"message\"]\n[limits]\nconnections_per_user = 1\n")
        .start();
    let token = |user: &str| {
        let request = as_user(user, "");
        let value = request.value("Authorization").unwrap();
        Frame::text(value.trim_start_matches("Bearer "))
    };
    let introduce = |user: &str| {
        let mut client = gateway.connect();
        client.send_request(&Request::upgrade("/ws"));
        assert_eq!(client.read_head().status(), 101);
        client.say(token(user));
        client
    };
    let _first = introduce("ada");
    let (_application, _) = upstream.accept_upgrade("");
    assert_eq!(introduce("ada").expect_close(), (4429, "limit.user".to_owned()));
    upstream.received_nothing();
}

/// Sends so many messages of four bytes.
fn send(session: &mut Session, count: usize) {
    for _ in 0..count {
        session.client.say(Frame::text("beat"));
    }
}

fn receive(session: &mut Session, count: usize) {
    for _ in 0..count {
        session.upstream.expect_frame(Frame::text("beat"));
    }
}

fn expect_limited(session: &mut Session, gateway: &Gateway, reason: &str) {
    session.client.expect_closing(4429, reason);
    session.upstream.expect_closing(1001, reason);
    let id = session.request_id();
    let record = gateway.wait_for_record(|record| {
        record["event"] == "limited" && record["request_id"] == id.as_str()
    });
    assert_eq!((&record["reason"], &record["code"]), (&reason.into(), &4429.into()));
}

#[test]
fn too_many_messages_close_the_session_behind_those_that_were_within() {
    let upstream = RawUpstream::bind();
    let gateway = limited(&upstream, "messages = \"1/m burst 3\"").start();
    let mut session = Session::open(&gateway, &upstream);
    send(&mut session, 4);
    receive(&mut session, 3);
    expect_limited(&mut session, &gateway, "limit.messages");
    assert!(gateway.error_records().is_empty(), "a limit is no protocol error");
}

#[test]
fn too_many_bytes_close_the_session() {
    let upstream = RawUpstream::bind();
    let gateway = limited(&upstream, "bytes = \"1KiB/m burst 2KiB\"").start();
    let mut session = Session::open(&gateway, &upstream);
    let kilobyte = Frame::text("x".repeat(1000));
    session.client.say(kilobyte.clone());
    session.upstream.expect_frame(kilobyte.clone());
    session.client.say(Frame::text("y".repeat(1500)));
    session.upstream.expect_frame(Frame::text("y".repeat(1500)));
    expect_limited(&mut session, &gateway, "limit.bytes");
}

#[test]
fn pings_have_a_rate_of_their_own() {
    let upstream = RawUpstream::bind();
    let gateway = limited(&upstream, "control_frames = \"1/m burst 2\"").start();
    let mut session = Session::open(&gateway, &upstream);
    for _ in 0..2 {
        session.client.say(Frame::ping("p"));
        session.upstream.expect_frame(Frame::ping("p"));
    }
    send(&mut session, 5);
    receive(&mut session, 5);
    session.client.say(Frame::ping("p"));
    expect_limited(&mut session, &gateway, "limit.control");
}

#[test]
fn messages_above_the_rate_are_dropped_whole() {
    let upstream = RawUpstream::bind();
    let limits = "messages = \"1/m burst 1\"\non_exceed = \"drop\"";
    let gateway = limited(&upstream, limits).start();
    let mut session = Session::open(&gateway, &upstream);
    send(&mut session, 1);
    receive(&mut session, 1);
    session.client.say(Frame::text("lo").unfinished());
    session.client.say(Frame::ping("between"));
    session.client.say(Frame::continuation("st"));
    session.upstream.expect_frame(Frame::ping("between"));
    session.upstream.say(Frame::text("still there"));
    session.client.expect_frame(Frame::text("still there"));
    session.close(1000, "");
}

#[test]
fn delayed_messages_arrive_all_and_later() {
    let upstream = RawUpstream::bind();
    let limits = "messages = \"100/s burst 5\"\non_exceed = \"delay\"";
    let gateway = limited(&upstream, limits).start();
    let mut session = Session::open(&gateway, &upstream);
    let begun = std::time::Instant::now();
    send(&mut session, 25);
    receive(&mut session, 25);
    // Twenty of them wait a hundredth of a second each, whatever the machine does.
    assert!(begun.elapsed() >= std::time::Duration::from_millis(199), "{:?}", begun.elapsed());
    session.upstream.say(Frame::text("and back"));
    session.client.expect_frame(Frame::text("and back"));
    session.close(1000, "");
}

#[test]
fn a_delayed_client_gets_messages_and_the_close_of_the_upstream() {
    let upstream = RawUpstream::bind();
    let limits = "messages = \"1/h burst 1\"\non_exceed = \"delay\"";
    let gateway = limited(&upstream, limits).start();
    let mut session = Session::open(&gateway, &upstream);
    send(&mut session, 2);
    receive(&mut session, 1);
    session.upstream.say(Frame::text("meanwhile"));
    session.client.expect_frame(Frame::text("meanwhile"));
    session.upstream.say(Frame::close(1000, "bye"));
    assert_eq!(session.client.expect_close(), (1000, "bye".to_owned()));
    assert_eq!(session.upstream.expect_close().0, 1000, "nobody waits an hour for the client");
}

#[test]
fn a_users_sessions_share_one_rate() {
    let upstream = RawUpstream::bind();
    let limits = "[limits]\nmessages_per_user = \"1/m burst 3\"\n";
    let gateway = guarded(&upstream).more(limits).start();
    let mut first = Session::open_with(&gateway, &upstream, &as_user("ada", ""), "");
    let mut second = Session::open_with(&gateway, &upstream, &as_user("ada", ""), "");
    let mut other = Session::open_with(&gateway, &upstream, &as_user("bob", ""), "");
    send(&mut first, 2);
    receive(&mut first, 2);
    send(&mut second, 2);
    receive(&mut second, 1);
    expect_limited(&mut second, &gateway, "limit.user");
    send(&mut other, 3);
    receive(&mut other, 3);
    send(&mut first, 1);
    expect_limited(&mut first, &gateway, "limit.user");
}

#[test]
fn report_mode_logs_and_lets_through() {
    let upstream = RawUpstream::bind();
    let limits = "mode = \"report\"\nconnections_per_ip = 1\nmessages = \"1/m burst 1\"";
    let admin = "[admin]\nsocket = \"fw.sock\"\n";
    let gateway = limited(&upstream, limits).more(admin).start();
    let _one = Session::open(&gateway, &upstream);
    let mut two = Session::open(&gateway, &upstream);
    let record = gateway.wait_for_record(|record| record["event"] == "would_refuse");
    assert_eq!(record["reason"], "limit.connections");
    assert_eq!(record["request_id"], two.request_id().as_str());
    send(&mut two, 4);
    receive(&mut two, 4);
    let id = two.request_id();
    let told = || {
        let mut records = gateway.log_records();
        records.retain(|record| {
            record["reason"] == "limit.messages" && record["request_id"] == id.as_str()
        });
        records
    };
    gateway.wait_for_record(|record| record["reason"] == "limit.messages");
    two.close(1000, "");
    let ended = gateway.wait_for_record(|record| {
        record["event"] == "session.ended" && record["request_id"] == id.as_str()
    });
    assert_eq!(ended["would_refuse"], 3);
    assert_eq!(told().len(), 1, "once a session: {:?}", told());
    let (code, status, _) = gateway.admin(&["status", "--json"]);
    assert_eq!(code, Some(0));
    assert!(status.contains("\"would_refuse\":4"), "{status}");
}

#[test]
fn a_route_may_have_other_rates() {
    let upstream = RawUpstream::bind();
    let route = "limits = { messages = \"off\", control_frames = \"1/m burst 1\" }";
    let gateway = limited(&upstream, "messages = \"1/m burst 1\"").route(route).start();
    let mut session = Session::open(&gateway, &upstream);
    send(&mut session, 5);
    receive(&mut session, 5);
    session.client.say(Frame::ping("p"));
    session.upstream.expect_frame(Frame::ping("p"));
    session.client.say(Frame::ping("p"));
    expect_limited(&mut session, &gateway, "limit.control");
}

#[test]
fn open_sessions_are_held_to_new_rates() {
    let upstream = RawUpstream::bind();
    let gateway = guarded(&upstream).more("[limits]\nmessages = \"1000/s\"\n").start();
    let mut session = Session::open_with(&gateway, &upstream, &as_user("ada", ""), "");
    send(&mut session, 20);
    receive(&mut session, 20);
    gateway.rewrite(|text| text.replace("\"1000/s\"", "\"1/m burst 2\""));
    gateway.hang_up("reloaded");
    send(&mut session, 3);
    receive(&mut session, 2);
    expect_limited(&mut session, &gateway, "limit.messages");

    let mut session = Session::open_with(&gateway, &upstream, &as_user("ada", ""), "");
    gateway.rewrite(|text| text.replace("messages = \"1/m", "messages_per_user = \"1/m"));
    gateway.hang_up("reloaded");
    send(&mut session, 3);
    receive(&mut session, 2);
    expect_limited(&mut session, &gateway, "limit.user");
}
