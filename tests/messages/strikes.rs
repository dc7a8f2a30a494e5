//! `strike = true`: the address of a client that keeps breaking the rules is banned.

use std::net::SocketAddr;

use super::support::{Frame, Gateway, RawUpstream, Request, Session, Wire};
use super::{passes, ruled};

const BAN: &str = "[firewall.ban]\nstrikes = 3\n";
const GOOD: &str = "{\"action\":\"say\"}";
const BAD: &str = "{\"action\":1}";

/// Every address of 127.0.0.0/8 is the machine's.
fn address(number: u8) -> SocketAddr {
    ([127, 0, 8, number], 0).into()
}

/// A gateway with this `[firewall.ban]`, and a rule and `keys` for messages.
fn gateway(upstream: &RawUpstream, ban: &str, keys: &str) -> Gateway {
    let rules = format!("[routes.app.messages]\nschema = \"chat.json\"\n{keys}\n{ban}");
    ruled(upstream, &rules).plain().route("origins = [\"*\"]").start()
}

fn open(gateway: &Gateway, upstream: &RawUpstream, from: SocketAddr, origin: &str) -> Session {
    let request = Request::upgrade("/ws");
    let request = if origin.is_empty() { request } else { request.and("Origin", origin) };
    let mut client = gateway.connect_from(from);
    client.send_request(&request);
    let (upstream, request) = upstream.accept_upgrade("");
    let response = client.read_head();
    assert_eq!(response.status(), 101, "{response:?}");
    Session { client, upstream, request, response }
}

/// Waits for the ban of `from` and expects it for `reason`; connections from there are dropped.
fn expect_banned(gateway: &Gateway, from: SocketAddr, reason: &str) {
    let network = from.ip().to_string();
    let record = gateway.wait_for_record(|record| record["network"] == network.as_str());
    assert_eq!(
        (&record["event"], &record["reason"], &record["strikes"]),
        (&"banned".into(), &reason.into(), &3.into())
    );
    Wire::client(gateway.tcp_from(from)).expect_gone();
}

/// The session goes on, and another one can be opened from the same address.
fn expect_no_ban(
    gateway: &Gateway,
    upstream: &RawUpstream,
    mut session: Session,
    from: SocketAddr,
) {
    passes(&mut session, &Frame::text(GOOD));
    open(gateway, upstream, from, "").close(1000, "");
    session.close(1000, "");
    assert!(gateway.log_records().iter().all(|record| record["event"] != "banned"));
}

#[test]
fn a_client_that_keeps_breaking_the_rules_is_banned_and_closed() {
    let upstream = RawUpstream::bind();
    let keys = "strike = true\non_violation = \"drop\"";
    let gateway = gateway(&upstream, BAN, keys);
    let mut other = open(&gateway, &upstream, address(2), "");
    let mut second = open(&gateway, &upstream, address(1), "");
    let mut session = open(&gateway, &upstream, address(1), "");
    for _ in 0..2 {
        session.client.say(Frame::text(BAD));
        passes(&mut session, &Frame::text(GOOD));
    }
    session.client.say(Frame::text(BAD));
    for session in [&mut session, &mut second] {
        session.client.expect_closing(4403, "ban.active");
        session.upstream.expect_closing(1001, "ban.active");
    }
    expect_banned(&gateway, address(1), "message.schema");
    passes(&mut other, &Frame::text(GOOD));
}

#[test]
fn each_of_many_messages_in_one_read_counts() {
    let upstream = RawUpstream::bind();
    let ban = "[firewall.ban]\nstrikes = 900\n";
    let gateway = gateway(&upstream, ban, "strike = true\non_violation = \"drop\"");
    let mut session = open(&gateway, &upstream, address(1), "");
    let bad: Vec<u8> = (0..899).flat_map(|_| Frame::text(BAD).masked(true).encode()).collect();
    session.client.send(&bad);
    passes(&mut session, &Frame::text(GOOD));
    session.client.say(Frame::text(BAD));
    session.client.expect_closing(4403, "ban.active");
}

#[test]
fn every_outcome_of_a_refusal_is_a_strike() {
    let upstream = RawUpstream::bind();
    let answer = "strike = true\non_violation = \"answer\"\nerror_reply = \"{reason}\"";
    let answering = gateway(&upstream, BAN, answer);
    let mut session = open(&answering, &upstream, address(1), "");
    for _ in 0..2 {
        session.client.say(Frame::text(BAD));
        session.client.expect_frame(Frame::text("message.schema"));
    }
    session.client.say(Frame::text(BAD));
    expect_banned(&answering, address(1), "message.schema");

    let closing = gateway(&upstream, BAN, "strike = true\nmax_size = \"16B\"");
    for (bad, code, reason) in [
        ("[0]", 1008, "message.schema"),
        ("{", 1007, "message.structure"),
        ("{\"action\":\"too long\"}", 1009, "message.too_big"),
    ] {
        let mut session = open(&closing, &upstream, address(1), "");
        session.client.say(Frame::text(bad));
        session.client.expect_closing(code, reason);
    }
    expect_banned(&closing, address(1), "message.too_big");
}

#[test]
fn without_the_key_in_report_mode_and_from_exempt_addresses_nothing_is_a_strike() {
    let upstream = RawUpstream::bind();
    let exempt = format!("{BAN}exempt = [\"127.0.8.0/24\"]\n");
    for (ban, keys) in [
        (BAN, "on_violation = \"drop\""),
        (BAN, "on_violation = \"drop\"\nstrike = false"),
        (BAN, "on_violation = \"drop\"\nstrike = true\nmode = \"report\""),
        (&exempt, "on_violation = \"drop\"\nstrike = true"),
    ] {
        let gateway = gateway(&upstream, ban, keys);
        let mut session = open(&gateway, &upstream, address(1), "");
        for _ in 0..6 {
            session.client.say(Frame::text(BAD));
            if keys.contains("report") {
                session.upstream.expect_frame(Frame::text(BAD));
            }
        }
        expect_no_ban(&gateway, &upstream, session, address(1));
    }
}

/// Any page can have its visitors send any message.
#[test]
fn messages_that_a_foreign_page_may_send_are_no_strikes() {
    let upstream = RawUpstream::bind();
    let gateway = gateway(&upstream, BAN, "strike = true\non_violation = \"drop\"");
    let mut session = open(&gateway, &upstream, address(1), "https://evil.example");
    for _ in 0..6 {
        session.client.say(Frame::text(BAD));
    }
    expect_no_ban(&gateway, &upstream, session, address(1));
}

#[test]
fn replies_of_the_application_are_no_strikes() {
    let upstream = RawUpstream::bind();
    let keys = "strike = true\n[routes.app.replies]\nencoding = \"json\"\non_violation = \"drop\"";
    let gateway = gateway(&upstream, BAN, keys);
    let mut session = open(&gateway, &upstream, address(1), "");
    for _ in 0..6 {
        session.upstream.say(Frame::text("not JSON"));
    }
    session.upstream.say(Frame::text("[]"));
    session.client.expect_frame(Frame::text("[]"));
    expect_no_ban(&gateway, &upstream, session, address(1));
}

#[test]
fn a_reload_switches_strikes_on() {
    let upstream = RawUpstream::bind();
    let gateway = gateway(&upstream, BAN, "on_violation = \"drop\"");
    let mut session = open(&gateway, &upstream, address(1), "");
    for _ in 0..6 {
        session.client.say(Frame::text(BAD));
    }
    passes(&mut session, &Frame::text(GOOD));
    gateway.rewrite(|text| text.replace("on_violation", "strike = true\non_violation"));
    gateway.hang_up("reloaded");
    for _ in 0..3 {
        session.client.say(Frame::text(BAD));
    }
    session.client.expect_closing(4403, "ban.active");
    expect_banned(&gateway, address(1), "message.schema");
}
