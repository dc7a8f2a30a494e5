//! `[firewall]` and its bans against the running gateway.

use super::support::{
    Frame, Gateway, GatewayBuilder, RawUpstream, Request, Session, Wire, valid_answer,
};

const PROXY: &str = "trusted_proxies = [\"127.0.0.1\"]";
const ADMIN: &str = "[admin]\nsocket = \"fw.sock\"\n";

fn of(address: &str) -> Request {
    Request::upgrade("/ws").and("X-Forwarded-For", address)
}

fn walled(upstream: &RawUpstream, firewall: &str) -> GatewayBuilder {
    Gateway::to(&[upstream.address()]).more(&format!("[firewall]\n{firewall}\n"))
}

#[test]
fn a_denied_peer_is_dropped_before_tls() {
    let upstream = RawUpstream::bind();
    let gateway = walled(&upstream, "deny = [\"127.0.0.0/8\"]\nallow = [\"127.0.0.2\"]").start();
    assert_eq!(gateway.connect_plainly().expect_gone(), b"");
    let record = gateway.wait_for_record(|record| record["event"] == "dropped");
    assert_eq!(record["reason"], "firewall.denied");
    assert!(record["detail"].as_str().unwrap().contains("firewall.deny: 127.0.0.0/8"), "{record}");
    let mut allowed = gateway.connect_from("127.0.0.2:0".parse().unwrap());
    allowed.send_request(&Request::upgrade("/ws"));
    let (_application, _) = upstream.accept_upgrade("");
    assert_eq!(allowed.read_head().status(), 101, "the more specific prefix wins");
    let mut denied = Wire::client(gateway.tcp_from("127.0.0.3:0".parse().unwrap()));
    assert_eq!(denied.expect_gone(), b"");
    upstream.received_nothing();
}

#[test]
fn a_forwarded_address_is_judged_behind_the_head() {
    let upstream = RawUpstream::bind();
    let gateway = walled(&upstream, "deny = [\"203.0.113.0/24\"]").server(PROXY).start();
    for denied in ["203.0.113.7", "::ffff:203.0.113.7", "192.0.2.1, 203.0.113.7"] {
        gateway.expect_refusal(&of(denied), 403, "firewall.denied");
    }
    upstream.received_nothing();
    // Read from right to left: what the client says of itself does not count.
    Session::open_with(&gateway, &upstream, &of("203.0.113.7, 192.0.2.1"), "").prove_alive();
}

#[test]
fn forged_forwarded_entries_do_not_hide_a_client() {
    let upstream = RawUpstream::bind();
    let rules = "deny = [\"203.0.113.0/24\"]\n[limits]\nconnections_per_ip = 1";
    let gateway = walled(&upstream, rules).server(PROXY).start();
    // What a client sends in X-Forwarded-For stays on the left of what its proxy adds.
    for left in ["\u{e9}", "\u{e9}, ", "\u{fffd}, 192.0.2.1, \t", "\"a, b\", unknown, ", ",,,"] {
        let one_line = of(&format!("{left}, 203.0.113.7"));
        gateway.expect_refusal(&one_line, 403, "firewall.denied");
        let own_line = of(left).and("X-Forwarded-For", "203.0.113.7");
        gateway.expect_refusal(&own_line, 403, "firewall.denied");
    }
    upstream.received_nothing();
    let hidden = of("\u{e9}, 192.0.2.7");
    let mut first = Session::open_with(&gateway, &upstream, &hidden, "");
    assert_eq!(first.request.only("x-forwarded-for"), Some("192.0.2.7, 127.0.0.1"));
    gateway.expect_refusal(&hidden, 429, "limit.connections");
    first.prove_alive();
}

#[test]
fn firewall_rules_apply_to_the_proxy_protocol_address() {
    let upstream = RawUpstream::bind();
    let gateway = walled(&upstream, "deny = [\"203.0.113.0/24\"]")
        .server(&format!("{PROXY}\nproxy_protocol = \"required\""))
        .plain()
        .start();
    let connect = |address: &str| {
        let mut client = Wire::client(gateway.tcp());
        let header = format!("PROXY TCP4 {address} 192.0.2.1 4711 443\r\n");
        client.send(&[header.as_bytes(), &Request::upgrade("/ws").bytes()].concat());
        client
    };
    assert_eq!(connect("203.0.113.7").expect_gone(), b"");
    let record = gateway.wait_for_record(|record| record["event"] == "dropped");
    assert_eq!(record["peer"], "203.0.113.7:4711");
    upstream.received_nothing();
    let mut client = connect("198.51.100.7");
    let (_application, _) = upstream.accept_upgrade("");
    assert_eq!(client.read_head().status(), 101);
}

#[test]
fn list_files_deny_and_name_the_line() {
    let upstream = RawUpstream::bind();
    let gateway = walled(&upstream, "deny_files = [\"block.txt\"]")
        .server(PROXY)
        .prepare(|folder, _| {
            std::fs::write(folder.join("block.txt"), "# scanners\n\n198.51.100.0/24\n").unwrap();
        })
        .start();
    gateway.expect_refusal(&of("198.51.100.9"), 403, "firewall.denied");
    let record = gateway.wait_for_record(|record| record["reason"] == "firewall.denied");
    assert!(record["detail"].as_str().unwrap().contains("block.txt line 3"), "{record}");
    upstream.received_nothing();
}

#[test]
fn report_mode_logs_addresses_it_would_deny() {
    let upstream = RawUpstream::bind();
    let rules = "deny = [\"203.0.113.0/24\"]\nmode = \"report\"";
    let gateway = walled(&upstream, rules).server(PROXY).start();
    Session::open_with(&gateway, &upstream, &of("203.0.113.7"), "").prove_alive();
    let record = gateway.wait_for_record(|record| record["event"] == "would_refuse");
    assert_eq!(record["reason"], "firewall.denied");
    assert_eq!(record["peer"], "203.0.113.7:0");
}

#[test]
fn report_mode_logs_a_proxy_without_a_client_too() {
    let upstream = RawUpstream::bind();
    let rules = "deny = [\"127.0.0.0/8\"]\nmode = \"report\"";
    let gateway =
        walled(&upstream, rules).server(PROXY).server("unknown_clients = \"proxy\"").start();
    let mut session = Session::open(&gateway, &upstream);
    session.prove_alive();
    let record = gateway.wait_for_record(|record| record["event"] == "would_refuse");
    assert_eq!(record["reason"], "firewall.denied");
    assert_eq!(record["request_id"], session.request_id().as_str());
}

#[test]
fn a_reload_closes_sessions_that_the_new_rules_deny() {
    let upstream = RawUpstream::bind();
    let gateway = walled(&upstream, "deny = []").server(PROXY).start();
    let mut stays = Session::open_with(&gateway, &upstream, &of("192.0.2.7"), "");
    let mut goes = Session::open_with(&gateway, &upstream, &of("203.0.113.7"), "");
    gateway.rewrite(|text| text.replace("deny = []", "deny = [\"203.0.113.0/24\"]"));
    gateway.hang_up("reloaded");
    assert_eq!(goes.client.expect_close(), (4403, "firewall.denied".to_owned()));
    assert_eq!(goes.upstream.expect_close(), (1001, "firewall.denied".to_owned()));
    stays.prove_alive();
}

const BAN: &str = "[firewall.ban]\nstrikes = 3\nfile = \"bans.json\"\n";

/// A session of this address that ends with a frame that is refused.
fn offend(gateway: &Gateway, upstream: &RawUpstream, address: &str) {
    let mut session = Session::open_with(gateway, upstream, &of(address), "");
    session.client.send(&Frame::text("x").with_rsv(4).encode());
    assert_eq!(session.client.expect_close().0, 1002);
}

fn banned(gateway: &Gateway) -> usize {
    gateway.log_records().iter().filter(|record| record["event"] == "banned").count()
}

#[test]
fn an_address_that_offends_again_and_again_is_banned_and_its_sessions_end() {
    let upstream = RawUpstream::bind();
    let builder = Gateway::to(&[upstream.address()]).server(PROXY).more(BAN).more(ADMIN);
    let gateway = builder.start();
    let mut open = Session::open_with(&gateway, &upstream, &of("203.0.113.7"), "");
    let mut other = Session::open_with(&gateway, &upstream, &of("203.0.113.8"), "");
    // Frames that are refused.
    offend(&gateway, &upstream, "203.0.113.7");
    offend(&gateway, &upstream, "203.0.113.7");
    open.prove_alive();
    assert_eq!(banned(&gateway), 0);
    offend(&gateway, &upstream, "203.0.113.7");

    assert_eq!(open.client.expect_close(), (4403, "ban.active".to_owned()));
    assert_eq!(open.upstream.expect_close(), (1001, "ban.active".to_owned()));
    gateway.expect_refusal(&of("203.0.113.7"), 403, "ban.active");
    let record = gateway.wait_for_record(|record| record["event"] == "banned");
    assert_eq!((&record["network"], &record["strikes"]), (&"203.0.113.7".into(), &3.into()));
    other.prove_alive();
    upstream.received_nothing();

    let (code, listed, _) = gateway.admin(&["bans"]);
    assert_eq!(code, Some(0));
    assert!(listed.contains("203.0.113.7"), "{listed}");
    assert_eq!(gateway.admin(&["unban", "203.0.113.7"]).0, Some(0));
    Session::open_with(&gateway, &upstream, &of("203.0.113.7"), "").prove_alive();
}

#[test]
fn a_ban_closes_connections_in_their_handshake() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).server(PROXY).more(ADMIN).start();
    let mut client = gateway.connect();
    client.send_request(&of("203.0.113.7"));
    // Its address was judged, and its upstream is being asked.
    let mut application = upstream.accept();
    let request = application.read_head();
    assert_eq!(gateway.admin(&["ban", "203.0.113.0/24", "--for", "1h"]).0, Some(0));
    application.send(valid_answer(&request, "").as_bytes());
    assert_eq!(client.read_head().status(), 101);
    assert_eq!(client.expect_close(), (4403, "ban.active".to_owned()));
    assert_eq!(application.expect_close(), (1001, "ban.active".to_owned()));
}

#[test]
fn a_ban_refuses_connections_that_sent_no_request() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).more(ADMIN).start();
    let mut client = gateway.connect();
    assert_eq!(gateway.admin(&["ban", "127.0.0.1", "--for", "1h"]).0, Some(0));
    client.send_request(&Request::upgrade("/ws"));
    gateway.check_refusal(&client.read_response(), 403, "ban.active");
    upstream.received_nothing();
}

#[test]
fn refusals_that_are_no_offence_cause_no_ban() {
    let upstream = RawUpstream::bind();
    let route = "origins = [\"https://a.example\"]";
    let gateway = Gateway::to(&[upstream.address()]).server(PROXY).route(route).more(BAN).start();
    for _ in 0..4 {
        let evil = of("203.0.113.7").and("Origin", "https://evil.example");
        gateway.expect_refusal(&evil, 403, "origin.denied");
        let nowhere = Request::upgrade("/nowhere").and("X-Forwarded-For", "203.0.113.7");
        gateway.expect_refusal(&nowhere, 404, "route.none");
        let mut lost = Session::open_with(&gateway, &upstream, &of("203.0.113.7"), "");
        lost.upstream.say(Frame::new(0x3, ""));
        assert_eq!(lost.client.expect_close(), (1014, "upstream.protocol".to_owned()));
    }
    Session::open_with(&gateway, &upstream, &of("203.0.113.7"), "").prove_alive();
    assert_eq!(banned(&gateway), 0);
}

#[test]
fn bans_survive_a_restart_and_are_dropped_before_tls() {
    let upstream = RawUpstream::bind();
    let ban = "[firewall.ban]\nfile = \"bans.json\"\n";
    let gateway = Gateway::to(&[upstream.address()]).more(ban).more(ADMIN).start();
    assert_eq!(gateway.admin(&["ban", "127.0.0.1", "--why", "test"]).0, Some(0));
    assert_eq!(gateway.connect_plainly().expect_gone(), b"");
    let gateway = gateway.restart();
    assert_eq!(gateway.connect_plainly().expect_gone(), b"");
    let record = gateway.wait_for_record(|record| record["reason"] == "ban.active");
    assert_eq!(record["event"], "dropped");
    assert!(record["detail"].as_str().unwrap().ends_with("for test"), "{record}");
    assert_eq!(gateway.admin(&["unban", "127.0.0.1"]).0, Some(0));
    Session::open(&gateway, &upstream).prove_alive();
}

/// A page can have its visitor's browser connect as often as it likes.
#[test]
fn exceeding_a_limit_is_no_strike() {
    let upstream = RawUpstream::bind();
    let limits = "[limits]\nhandshakes_per_ip = \"1/h burst 1\"\n";
    let gateway = Gateway::to(&[upstream.address()]).server(PROXY).more(BAN).more(limits).start();
    let mut open = Session::open_with(&gateway, &upstream, &of("203.0.113.7"), "");
    for _ in 0..10 {
        gateway.expect_refusal(&of("203.0.113.7"), 429, "limit.handshakes");
    }
    open.prove_alive();
    assert_eq!(banned(&gateway), 0);
}
