//! ban, unban and bans.

use std::fs;

use serde_json::{Value, json};

use super::client::{answer_to, framewall, framewall_at, gateway};
use super::library::{config, with_gateway_of};
use super::support::{RawUpstream, Session};
use tempfile::TempDir;

#[test]
fn a_ban_closes_the_sessions_of_its_network_at_both_ends() {
    let upstream = RawUpstream::bind();
    let gateway = gateway(&upstream);
    let mut session = Session::open(&gateway, &upstream);
    let id = session.request_id();
    let printed = framewall(&gateway, "ban", &["203.0.113.0/24", "--for", "1h"]);
    assert_eq!(printed.code, 0, "{printed:?}");
    assert!(printed.out.starts_with("banned 203.0.113.0/24 until 20"), "{printed:?}");
    assert!(printed.out.ends_with("Z; ended 0 sessions\n"), "{printed:?}");
    session.prove_alive();

    let until = "2999-01-01T00:00:00Z";
    let args = ["127.0.0.0/8", "--until", until, "--why", "ours", "--json"];
    let printed = framewall(&gateway, "ban", &args);
    assert_eq!(printed.code, 0, "{printed:?}");
    let wanted = json!({"result": "done", "network": "127.0.0.0/8", "until": until, "closed": 1});
    assert_eq!(printed.json(), wanted);
    session.client.expect_closing(4403, "ban.active");
    session.upstream.expect_closing(1001, "ban.active");
    assert_eq!(gateway.wait_for_reason(&id, "ban.active")["by"], "gateway");
    let record = gateway.wait_for_record(|record| {
        record["event"] == "admin" && record["action"] == "ban" && record["sessions"] == 1
    });
    assert!(record["request"].as_str().unwrap().contains("\"why\":\"ours\""), "{record}");
    assert_eq!(framewall(&gateway, "status", &["--json"]).json()["bans"], 2);
    let status = framewall(&gateway, "status", &[]).out;
    assert!(status.contains("\nbans        2\n"), "{status}");
}

#[test]
fn bans_are_listed_for_people_and_for_packet_filters() {
    let upstream = RawUpstream::bind();
    let gateway = gateway(&upstream);
    let until = "2999-01-01T00:00:00Z";
    for network in ["203.0.113.0/24", "2001:db8::7"] {
        let args = [network, "--until", until, "--why", "scans"];
        assert_eq!(framewall(&gateway, "ban", &args).code, 0);
    }
    let listed = framewall(&gateway, "bans", &["--json"]).json();
    let networks: Vec<_> = listed["bans"].as_array().unwrap().iter().collect();
    assert_eq!(networks.len(), 2);
    assert_eq!(listed["exempt"], json!([]));
    let ban = networks.iter().find(|ban| ban["network"] == "203.0.113.0/24").unwrap();
    assert_eq!((&ban["until"], &ban["by"]), (&until.into(), &"operator".into()));
    assert_eq!(ban["why"], "scans");

    let table = framewall(&gateway, "bans", &[]).out;
    assert!(table.starts_with("NETWORK "), "{table}");
    assert!(table.contains("2001:db8::/64 ") && table.contains(" operator "), "{table}");
    let nft = framewall(&gateway, "bans", &["--format", "nft"]).out;
    assert!(nft.starts_with("add table inet framewall\n"), "{nft}");
    assert!(
        nft.contains("\nadd element inet framewall banned4 { 203.0.113.0/24 timeout "),
        "{nft}"
    );
    let ipset = framewall(&gateway, "bans", &["--format", "ipset"]).out;
    assert!(ipset.contains("\nadd framewall6-new 2001:db8::/64 timeout 2147483\n"), "{ipset}");
}

#[test]
fn unban_lifts_a_ban() {
    let upstream = RawUpstream::bind();
    let gateway = gateway(&upstream);
    assert_eq!(framewall(&gateway, "ban", &["192.0.2.0/24"]).code, 0);
    let inside = framewall(&gateway, "unban", &["192.0.2.7"]);
    let wanted = "framewall: 192.0.2.7 is not banned by itself, but as part of 192.0.2.0/24: \
                  unban that\n";
    assert_eq!((inside.code, &*inside.err), (1, wanted));
    let printed = framewall(&gateway, "unban", &["192.0.2.0/24"]);
    assert_eq!((printed.code, &*printed.out), (0, "unbanned 192.0.2.0/24\n"));
    let again = framewall(&gateway, "unban", &["192.0.2.0/24", "--json"]);
    assert_eq!((again.code, &again.json()["result"]), (1, &"not_found".into()));
    assert_eq!(framewall(&gateway, "bans", &["--json"]).json()["bans"], json!([]));
}

#[test]
fn invalid_bans_are_refused() {
    let upstream = RawUpstream::bind();
    let gateway = gateway(&upstream);
    let long = "x".repeat(257);
    let cases: [(&[&str], &str); 4] = [
        (&["0.0.0.0/0"], "0.0.0.0/0 is too wide for a ban"),
        (&["192.0.2.7/24"], "for the whole network write 192.0.2.0/24"),
        (&["192.0.2.7", "--until", "2001-01-01T00:00:00Z"], "is not in the future"),
        (&["192.0.2.7", "--why", &long], "a remark has at most 256 bytes"),
    ];
    for (args, wanted) in cases {
        let printed = framewall(&gateway, "ban", args);
        assert_eq!(printed.code, 1, "{printed:?}");
        assert!(printed.err.contains(wanted), "{printed:?}");
    }
    assert_eq!(framewall(&gateway, "unban", &["::/0"]).code, 1);
    assert_eq!(framewall(&gateway, "status", &["--json"]).json()["bans"], 0);
}

#[test]
fn bad_usage_is_64() {
    let nowhere = "nowhere".as_ref();
    let bad: [(&str, &[&str]); 8] = [
        ("ban", &[]),
        ("ban", &["localhost"]),
        ("ban", &["192.0.2.7", "--for", "long"]),
        ("ban", &["192.0.2.7", "--until", "tomorrow"]),
        ("ban", &["192.0.2.7", "--for", "1h", "--until", "2999-01-01T00:00:00Z"]),
        ("unban", &[]),
        ("bans", &["--format", "pf"]),
        ("bans", &["--format", "nft", "--json"]),
    ];
    for (command, args) in bad {
        assert_eq!(framewall_at(nowhere, command, args).code, 64, "{command} {args:?}");
    }
    assert_eq!(framewall_at(nowhere, "bans", &[]).code, 69);
}

fn ask(socket: &std::path::Path, request: &str) -> Value {
    serde_json::from_str(&answer_to(socket, format!("{request}\n").as_bytes())).unwrap()
}

const BAN: &str = r#"{"action":"ban","network":"192.0.2.7","for":"1h"}"#;
const UNBAN: &str = r#"{"action":"unban","network":"192.0.2.7"}"#;

fn with_file(folder: &TempDir) -> framewall::config::Config {
    let mut config = config(folder.path());
    config.server.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
    config.firewall.ban = Some(framewall::config::BanRules {
        strikes: 20.try_into().unwrap(),
        within: std::time::Duration::from_secs(60),
        duration: std::time::Duration::from_secs(900),
        max_duration: std::time::Duration::from_secs(86_400),
        exempt: vec!["198.51.100.0/24".parse().unwrap()],
        file: Some(folder.path().join("bans.json")),
    });
    config
}

#[test]
fn bans_survive_a_restart() {
    let folder = TempDir::new().unwrap();
    with_gateway_of(&with_file(&folder), |socket| {
        assert_eq!(ask(socket, BAN)["result"], "done");
        let exempt = ask(socket, r#"{"action":"ban","network":"198.51.100.7","for":"1h"}"#);
        assert_eq!(exempt["result"], "refused");
        assert!(exempt["error"].as_str().unwrap().contains("198.51.100.7 is exempt"), "{exempt}");
        let both =
            r#"{"action":"ban","network":"192.0.2.7","for":"1h","until":"2999-01-01T00:00:00Z"}"#;
        assert_eq!(ask(socket, both)["result"], "refused");
    });
    with_gateway_of(&with_file(&folder), |socket| {
        let listed = ask(socket, r#"{"action":"bans"}"#);
        assert_eq!(listed["bans"][0]["network"], "192.0.2.7");
        assert_eq!(listed["exempt"], json!(["198.51.100.0/24", "10.0.0.0/8"]));
        assert_eq!(ask(socket, UNBAN)["result"], "done");
    });
    with_gateway_of(&with_file(&folder), |socket| {
        assert_eq!(ask(socket, r#"{"action":"status"}"#)["bans"], 0);
    });
}

#[test]
fn a_ban_that_cannot_be_saved_is_refused_and_in_force() {
    let folder = TempDir::new().unwrap();
    let blocked = folder.path().join("bans.json.new");
    with_gateway_of(&with_file(&folder), move |socket| {
        fs::create_dir(&blocked).unwrap();
        let answer = ask(socket, BAN);
        assert_eq!(answer["result"], "refused");
        let error = answer["error"].as_str().unwrap();
        assert!(error.contains("it is in force, but"), "{error}");
        assert!(error.contains("[firewall.ban] file: cannot write"), "{error}");
        assert_eq!(ask(socket, r#"{"action":"status"}"#)["bans"], 1);
        let answer = ask(socket, UNBAN);
        assert_eq!(answer["result"], "refused");
        assert!(answer["error"].as_str().unwrap().contains("it is taken back, but"), "{answer}");
        assert_eq!(ask(socket, r#"{"action":"status"}"#)["bans"], 0);
    });
}

#[test]
fn a_broken_file_of_bans_stops_the_start() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("bans.json"), "{\"version\":1,\"bans\":[").unwrap();
    let Err(error) = framewall::control::Service::open(
        &with_file(&folder),
        framewall::journal::Journal::default(),
    ) else {
        panic!("it started");
    };
    assert!(error.to_string().contains("bans.json is broken"), "{error}");
}
