//! `explain` says of an address what the gateway does about it: each is described to the one, and
//! forwarded to the other by a trusted proxy.

use std::path::Path;

use super::support::{Authority, Gateway, RawUpstream, Request};
use super::{as_user, guarded};

const PROXY: &str = "trusted_proxies = [\"127.0.0.1\"]";

/// What is explained: the reason of the refusal, or "admitted", and its step of this name.
fn explained(gateway: &Gateway, address: &str, step: &str) -> (String, String) {
    let (code, text) = gateway.explain(&["--ip", address, "--path", "/ws"]);
    let last = text.lines().last().unwrap();
    let verdict = match last.strip_prefix("refused") {
        Some(reason) => reason.split_whitespace().next().unwrap(),
        None => "admitted",
    };
    assert_eq!(code, Some(if verdict == "admitted" { 0 } else { 2 }), "{text}");
    let line = text.lines().find_map(|line| line.strip_prefix(step).filter(|_| line != last));
    let line = line.unwrap_or_else(|| panic!("no step {step:?} in {text}"));
    (verdict.to_owned(), line.trim().to_owned())
}

/// What is done.
fn done(gateway: &Gateway, upstream: &RawUpstream, address: &str) -> String {
    let mut client = gateway.connect();
    client.send_request(&Request::upgrade("/ws").and("X-Forwarded-For", address));
    match upstream.accept_unless(&mut client) {
        Some(_application) => "admitted".to_owned(),
        None => client.read_response().reason(),
    }
}

/// Each address with what becomes of it, and what its step says of it.
#[track_caller]
fn expect(gateway: &Gateway, upstream: &RawUpstream, step: &str, cases: &[(&str, &str, &str)]) {
    for (address, verdict, said) in cases {
        let explained = explained(gateway, address, step);
        assert_eq!(explained, ((*verdict).to_owned(), (*said).to_owned()), "{address}");
        assert_eq!(done(gateway, upstream, address), *verdict, "{address}");
    }
}

fn write_lists(folder: &Path, _: &Authority) {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    for name in ["country.mmdb", "asn.mmdb"] {
        std::fs::copy(data.join(name), folder.join(name)).unwrap();
    }
    let list = "# scanners\n\n198.51.100.0/25\n2001:db8:bad::/48\n";
    std::fs::write(folder.join("block.txt"), list).unwrap();
}

const DENIED: &str = "firewall.denied";

#[test]
fn rules_that_deny() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()])
        .server(PROXY)
        .prepare(write_lists)
        .more(
            "[firewall]\ndeny = [\"203.0.113.0/24\", \"203.0.113.7\"]\ndeny_files = [\"block.txt\"]\n\
             geoip = [\"country.mmdb\", \"asn.mmdb\"]\ndeny_countries = [\"DE\"]\ndeny_asns = [64496]\n",
        )
        .start();
    let v4 = "198.51.100.9 is denied: block.txt line 3: 198.51.100.0/25 (firewall.deny_files)";
    let v6 = "2001:db8:bad::9 is denied: block.txt line 4: 2001:db8:bad::/48 (firewall.deny_files)";
    let prefix = "203.0.113.8 is denied: firewall.deny: 203.0.113.0/24 (firewall.deny)";
    let cases = [
        ("203.0.113.8", DENIED, prefix),
        ("::ffff:203.0.113.8", DENIED, prefix),
        (
            "203.0.113.7",
            DENIED,
            "203.0.113.7 is denied: firewall.deny: 203.0.113.7 (firewall.deny)",
        ),
        ("198.51.100.9", DENIED, v4),
        ("2001:db8:bad::9", DENIED, v6),
        (
            "198.51.100.200",
            DENIED,
            "198.51.100.200 is denied: firewall.deny_asns: AS64496 (firewall.deny_asns)",
        ),
        (
            "192.0.2.7",
            DENIED,
            "192.0.2.7 is denied: firewall.deny_countries: DE (firewall.deny_countries)",
        ),
        ("203.0.112.7", "admitted", "no rule of [firewall] lists it (firewall)"),
        ("2001:db8:9::7", "admitted", "no rule of [firewall] lists it (firewall)"),
    ];
    expect(&gateway, &upstream, "firewall", &cases);
}

#[test]
fn rules_that_allow() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()])
        .server(PROXY)
        .prepare(write_lists)
        .more(
            "[firewall]\nallow = [\"203.0.113.128/25\", \"192.0.2.200\"]\ndeny = [\"203.0.113.0/24\"]\n\
             geoip = \"country.mmdb\"\nallow_countries = [\"DE\"]\n",
        )
        .start();
    let cases = [
        (
            "203.0.113.200",
            "admitted",
            "203.0.113.200 is allowed: firewall.allow: 203.0.113.128/25 (firewall.allow)",
        ),
        (
            "203.0.113.100",
            DENIED,
            "203.0.113.100 is denied: firewall.deny: 203.0.113.0/24 (firewall.deny)",
        ),
        (
            "192.0.2.7",
            "admitted",
            "192.0.2.7 is allowed: firewall.allow_countries: DE (firewall.allow_countries)",
        ),
        (
            "198.51.100.7",
            DENIED,
            "198.51.100.7 is denied: firewall.allow_countries does not list country FR \
             (firewall.allow_countries)",
        ),
        (
            "10.1.2.3",
            DENIED,
            "10.1.2.3 is denied: firewall.allow_countries is given, and no country is known of it \
             (firewall.allow_countries)",
        ),
    ];
    expect(&gateway, &upstream, "firewall", &cases);

    gateway.rewrite(|text| {
        let text = text.replace("geoip = \"country.mmdb\"\n", "");
        text.replace("allow_countries = [\"DE\"]\n", "")
    });
    gateway.hang_up("reloaded");
    let unlisted = "192.0.2.7 is denied: firewall.allow does not list it (firewall.allow)";
    expect(&gateway, &upstream, "firewall", &[("192.0.2.7", DENIED, unlisted)]);
}

#[test]
fn explain_shows_report_mode_and_admits() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()])
        .server(PROXY)
        .more(
            "[firewall]\ndeny = [\"203.0.113.0/24\"]\nmode = \"report\"\n\
             [limits]\nconnections_per_ip = 1\nmode = \"report\"\n",
        )
        .start();
    let denied = "203.0.113.7 is denied: firewall.deny: 203.0.113.0/24 (firewall.deny)";
    expect(&gateway, &upstream, "firewall", &[("203.0.113.7", "admitted", denied)]);
    let through = "let through and logged: report mode (firewall.mode)";
    let limits = "limits the excess is let through and logged: report mode \
                  (limits.mode)";
    let lines = [&format!("firewall {denied}"), &format!("firewall {through}"), limits];
    gateway.expect_explained(&["--ip", "203.0.113.7", "--path", "/ws"], &lines);
    let (_, other) = gateway.explain(&["--ip", "192.0.2.7", "--path", "/ws"]);
    assert!(!other.contains("firewall.mode"), "nothing would be denied: {other}");
}

#[test]
fn bans_of_a_running_gateway_are_read_from_its_file() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()])
        .server(PROXY)
        .more(
            "[admin]\nsocket = \"fw.sock\"\n\
             [firewall.ban]\nfile = \"bans.json\"\nexempt = [\"203.0.113.64/26\"]\n",
        )
        .start();
    let until = "2099-01-02T03:04:05Z";
    for network in ["203.0.113.0/24", "2001:db8:7::/64"] {
        let ban = ["ban", network, "--until", until, "--why", "scans"];
        assert_eq!(gateway.admin(&ban).0, Some(0));
    }
    let before = std::fs::read(gateway.folder().join("bans.json")).unwrap();
    let banned =
        |network: &str| format!("{network} is banned until {until} for scans (firewall.ban)");
    let (v4, v6) = (banned("203.0.113.0/24"), banned("2001:db8:7::/64"));
    let exempt = "never banned: 203.0.113.64/26 is exempt (firewall.ban.exempt)";
    let cases = [
        ("203.0.113.7", "ban.active", v4.as_str()),
        ("2001:db8:7::1234", "ban.active", v6.as_str()),
        ("203.0.113.65", "admitted", exempt),
        ("192.0.2.7", "admitted", "not banned (firewall.ban)"),
    ];
    expect(&gateway, &upstream, "ban", &cases);
    let after = std::fs::read(gateway.folder().join("bans.json")).unwrap();
    assert_eq!(before, after, "explaining writes nothing");
}

#[test]
fn limits_are_steps_with_their_keys_and_values() {
    let upstream = RawUpstream::bind();
    let route = "limits = { messages = \"20/s\", on_exceed = \"delay\" }";
    let gateway = guarded(&upstream)
        .route(route)
        .more(
            "[limits]\nconnections_per_ip = 7\nhandshakes_per_ip = \"5/s burst 9\"\n\
             connections_per_user = 3\nmessages = \"10/s\"\nbytes = \"2MiB/s\"\n\
             messages_per_user = \"40/m burst 80\"\n",
        )
        .start();
    let token = as_user("ada", "");
    let token = token.value("Authorization").unwrap().trim_start_matches("Bearer ");
    let arguments = ["--ip", "2001:db8::7", "--path", "/ws", "--token", token];
    gateway.expect_explained(
        &arguments,
        &[
            "handshakes at most 5/s burst 9 handshakes of 2001:db8::/64 (limits.handshakes_per_ip)",
            "connections at most 7 connections of 2001:db8::/64 (limits.connections_per_ip)",
            "user at most 3 sessions of this user (limits.connections_per_user)",
            "rates at most 20/s messages, 2MiB/s of bytes, \
             40/m burst 80 messages of all sessions of the user; the excess is delayed \
             (routes.app.limits)",
            "admitted as ada",
        ],
    );
    gateway.rewrite(|text| text.replace(&format!("{route}\n"), ""));
    let rates = "rates at most 10/s messages, 2MiB/s of bytes, \
                 40/m burst 80 messages of all sessions of the user; the excess closes the session \
                 (limits)";
    gateway.expect_explained(&arguments, &[rates]);
    gateway.rewrite(|text| text.replace("[limits]", "[limits]\nmode = \"report\""));
    let (_, text) = gateway.explain(&arguments);
    assert!(text.contains("the excess is let through and logged: report mode (limits)"));
}

#[test]
fn without_limits_only_connections_of_an_address_are_bounded() {
    let upstream = RawUpstream::bind();
    let gateway = Gateway::to(&[upstream.address()]).start();
    gateway.expect_explained(
        &["--path", "/ws"],
        &[
            "firewall no rule of [firewall] lists it (firewall)",
            "ban not banned (firewall.ban)",
            "handshakes as many handshakes as come (limits.handshakes_per_ip)",
            "connections at most 10000 connections of 127.0.0.1 (limits.connections_per_ip)",
            "rates none (limits)",
        ],
    );
}

#[test]
fn only_firewall_rules_apply_to_a_trusted_proxy() {
    let upstream = RawUpstream::bind();
    let more = "[firewall]\ndeny = [\"10.0.0.9\"]\n[limits]\nconnections_per_ip = 1\n";
    let server = "trusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\"]";
    let gateway = Gateway::to(&[upstream.address()]).server(server).more(more).start();
    let proxy = "address 10.0.0.1 is a trusted proxy, of 10.0.0.0/8: bans and limits are for whom it \
                 speaks for (server.trusted_proxies)";
    let arguments = ["--ip", "10.0.0.1", "--path", "/ws"];
    let named = "client the proxy, if X-Forwarded-For names it: without one, forwarded.malformed (400) \
                 (server.unknown_clients)";
    gateway.expect_explained(&arguments, &[proxy, "firewall no rule", named]);
    let (_, text) = gateway.explain(&arguments);
    assert!(!text.contains("connections") && !text.contains("banned"), "{text}");
    let denied = "10.0.0.9 is denied: firewall.deny: 10.0.0.9 (firewall.deny)";
    let cases = [
        ("10.0.0.9", DENIED, denied),
        ("10.0.0.1", "admitted", "no rule of [firewall] lists it (firewall)"),
        ("10.0.0.1", "admitted", "no rule of [firewall] lists it (firewall)"),
    ];
    expect(&gateway, &upstream, "firewall", &cases);
}
