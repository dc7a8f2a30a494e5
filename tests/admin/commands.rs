//! status, sessions, kick and revoke.

use std::io::Read as _;

use serde_json::Value;

use super::client::{framewall, framewall_at, gateway, socket};
use super::support::{Frame, Gateway, RawUpstream, Session, Wire};

fn ids(answer: &Value) -> Vec<&str> {
    let sessions = answer["sessions"].as_array().unwrap();
    sessions.iter().map(|session| session["id"].as_str().unwrap()).collect()
}

#[track_caller]
fn admin_record(gateway: &Gateway, action: &str, result: &str) -> Value {
    let record = gateway.wait_for_record(|record| {
        record["event"] == "admin" && record["action"] == action && record["result"] == result
    });
    assert_eq!(record["uid"], rustix::process::getuid().as_raw());
    record
}

#[test]
fn status_shows_the_state_of_the_gateway() {
    let upstream = RawUpstream::bind();
    let gateway = gateway(&upstream);
    let _session = Session::open(&gateway, &upstream);
    let printed = framewall(&gateway, "status", &["--json"]);
    assert_eq!(printed.code, 0, "{printed:?}");
    let status = printed.json();
    assert_eq!(status["result"], "done");
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["listeners"], serde_json::json!([gateway.address().to_string()]));
    assert_eq!(status["sessions"], 1);
    assert_eq!(status["routes"], serde_json::json!({"app": 1}));
    assert_eq!(status["max_connections"], 100_000);
    assert_eq!(status["revocations"], 0);
    admin_record(&gateway, "status", "done");

    let printed = framewall(&gateway, "status", &[]);
    assert_eq!(printed.code, 0);
    assert!(printed.out.contains("sessions    1 (max_connections 100000)\n"), "{}", printed.out);
    assert!(printed.out.contains("            1 app\n"), "{}", printed.out);
}

#[test]
fn sessions_are_listed_with_their_current_counters() {
    let upstream = RawUpstream::bind();
    let gateway = gateway(&upstream);
    let mut first = Session::open(&gateway, &upstream);
    let second = Session::open(&gateway, &upstream);
    let (one, two) = (first.request_id(), second.request_id());
    for _ in 0..3 {
        first.prove_alive();
    }

    let list = |args: &[&str]| framewall(&gateway, "sessions", &[&["--json"], args].concat());
    let all = list(&[]).json();
    assert_eq!(ids(&all), [&*one, &*two], "the oldest first");
    let listed = &all["sessions"][0];
    assert_eq!(listed["route"], "app");
    assert!(listed["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert!(listed.get("user").is_none(), "{listed}");
    for end in ["client", "upstream"] {
        assert_eq!(listed[end]["messages"], 3);
        assert_eq!(listed[end]["frames"], 3);
    }
    first.prove_alive();
    assert_eq!(list(&[]).json()["sessions"][0]["client"]["messages"], 4);

    let cases: [(&[&str], &[&str]); 6] = [
        (&["--id", &two], &[&two]),
        (&["--route", "app", "--ip", "127.0.0.0/8"], &[&one, &two]),
        (&["--route", "other"], &[]),
        (&["--ip", "127.0.0.2"], &[]),
        (&["--user", "ann"], &[]),
        (&["--limit", "1"], &[&one]),
    ];
    for (args, wanted) in cases {
        let printed = list(args);
        assert_eq!(printed.code, 0, "{printed:?}");
        assert_eq!(ids(&printed.json()), wanted, "{args:?}");
    }
    let table = framewall(&gateway, "sessions", &["--limit", "1"]).out;
    assert!(table.starts_with("ID "), "{table}");
    assert!(table.contains(&one) && table.ends_with("1 of 2; more with --limit\n"), "{table}");
}

#[test]
fn a_kicked_session_is_closed_at_both_ends_and_no_other() {
    let upstream = RawUpstream::bind();
    let gateway = gateway(&upstream);
    let mut kicked = Session::open(&gateway, &upstream);
    let mut stays = Session::open(&gateway, &upstream);
    let id = kicked.request_id();
    let printed = framewall(&gateway, "kick", &["--id", &id]);
    assert_eq!((printed.code, &*printed.out), (0, "ended 1 session\n"), "{printed:?}");
    kicked.client.expect_closing(4403, "session.kicked");
    kicked.upstream.expect_closing(1001, "session.kicked");
    let ended = gateway.wait_for_reason(&id, "session.kicked");
    assert_eq!(ended["by"], "gateway");
    assert_eq!(admin_record(&gateway, "kick", "done")["sessions"], 1);
    stays.prove_alive();

    let again = framewall(&gateway, "kick", &["--id", &id]);
    assert_eq!(again.code, 1);
    assert_eq!(again.err, "framewall: no session matches\n");
    admin_record(&gateway, "kick", "not_found");
    let again = framewall(&gateway, "kick", &["--id", &id, "--json"]);
    assert_eq!((again.code, &again.json()["result"]), (1, &"not_found".into()));

    assert_eq!(framewall(&gateway, "kick", &["--all"]).out, "ended 1 session\n");
    stays.client.expect_closing(4403, "session.kicked");
}

/// The client closed, the application does not answer and goes on sending, and the client reads slowly.
#[test]
fn a_session_that_is_ending_is_kicked_too() {
    let upstream = RawUpstream::bind();
    let gateway = gateway(&upstream);
    let session = Session::open(&gateway, &upstream);
    let id = session.request_id();
    let Session { mut client, upstream: mut application, .. } = session;
    client.say(Frame::close(1000, ""));
    application.expect_frame(Frame::close(1000, ""));
    let flood = std::thread::spawn(move || {
        let bytes = Frame::binary(vec![7; 100_000]).encode();
        while application.try_send(&bytes).is_ok() {}
    });
    Wire::take(&mut client, 100_000);
    assert_eq!(framewall(&gateway, "kick", &["--id", &id]).out, "ended 1 session\n");
    let ended = super::support::eventually(|| {
        let _ = client.read(&mut [0; 32]);
        let records = gateway.log_records();
        records.into_iter().find(|it| it["event"] == "session.ended" && it["request_id"] == *id)
    });
    assert_eq!(ended.expect("the session ends")["reason"], "closed");
    flood.join().unwrap();
}

#[test]
fn a_revocation_is_kept_and_logged() {
    let upstream = RawUpstream::bind();
    let gateway = gateway(&upstream);
    let mut stays = Session::open(&gateway, &upstream);
    let printed = framewall(&gateway, "revoke", &["--user", "ann", "--why", "left", "--json"]);
    assert_eq!(printed.code, 0, "{printed:?}");
    assert_eq!(printed.json()["closed"], 0);
    let until = "2999-01-01T00:00:00Z";
    let printed = framewall(&gateway, "revoke", &["--token", "t1", "--until", until]);
    assert_eq!(printed.out, format!("revoked until {until}; ended 0 sessions\n"), "{printed:?}");
    let record = admin_record(&gateway, "revoke", "done");
    assert!(record["request"].as_str().unwrap().contains("\"user\":\"ann\""), "{record}");
    assert_eq!(framewall(&gateway, "status", &["--json"]).json()["revocations"], 2);
    stays.prove_alive();

    let over = framewall(&gateway, "revoke", &["--user", "bob", "--until", "2001-01-01T00:00:00Z"]);
    assert_eq!(over.code, 1);
    assert!(over.err.contains("is not in the future"), "{over:?}");
    admin_record(&gateway, "revoke", "refused");
}

#[test]
fn bad_usage_is_64() {
    let nowhere = "nowhere".as_ref();
    let bad: [(&str, &[&str]); 9] = [
        ("kick", &[]),
        ("kick", &["--all", "--user", "ann"]),
        ("kick", &["--ip", "localhost"]),
        ("revoke", &[]),
        ("revoke", &["--user", "ann", "--token", "t1"]),
        ("revoke", &["--user", "ann", "--for", "long"]),
        ("revoke", &["--user", "ann", "--until", "tomorrow"]),
        ("revoke", &["--user", "ann", "--for", "1h", "--until", "2999-01-01T00:00:00Z"]),
        ("status", &["--config", "framewall.toml"]),
    ];
    for (command, args) in bad {
        assert_eq!(framewall_at(nowhere, command, args).code, 64, "{command} {args:?}");
    }
}

#[test]
fn without_a_running_gateway_the_exit_code_is_69() {
    let upstream = RawUpstream::bind();
    let mut gateway = gateway(&upstream);
    let path = socket(&gateway);
    let unreachable = |args: &[&str]| {
        let printed = framewall_at(&path, "status", args);
        assert_eq!(printed.code, 69, "{printed:?}");
        assert!(printed.err.contains("admin.sock") && printed.err.contains("is it running"));
    };
    gateway.terminate();
    assert_eq!(gateway.exit_code(), Some(0));
    assert!(!path.exists(), "it takes its socket with it");
    unreachable(&[]);
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    unreachable(&["--json"]);
}

#[test]
fn the_configuration_names_the_socket() {
    let upstream = RawUpstream::bind();
    let gateway = gateway(&upstream);
    let file = gateway.folder().join("client.toml");
    let run = |text: &str| {
        std::fs::write(&file, text).unwrap();
        let mut process = std::process::Command::new(env!("CARGO_BIN_EXE_framewall"));
        process.args(["status", "--config"]).arg(&file).status().unwrap().code()
    };
    // Its secrets are not needed.
    let secret = "[jwt.main]\nsecret = \"env:NOT_SET_ANYWHERE\"\n";
    assert_eq!(run(&format!("{secret}[admin]\nsocket = \"admin.sock\"\n")), Some(0));
    assert_eq!(run("[admin]\nsocket = \"other.sock\"\n"), Some(69));
    assert_eq!(run(secret), Some(78));
    assert_eq!(run("[admin"), Some(78));
}

#[test]
fn an_ended_session_is_listed_no_more() {
    let upstream = RawUpstream::bind();
    let gateway = gateway(&upstream);
    let session = Session::open(&gateway, &upstream);
    let id = session.request_id();
    let Session { mut client, upstream: mut application, .. } = session;
    client.say(Frame::close(1000, ""));
    application.expect_frame(Frame::close(1000, ""));
    application.say(Frame::close(1000, ""));
    client.expect_frame(Frame::close(1000, ""));
    gateway.wait_for_reason(&id, "closed");
    let gone = super::support::eventually(|| {
        let listed = framewall(&gateway, "sessions", &["--json"]).json();
        (listed["matching"] == 0).then_some(())
    });
    assert!(gone.is_some());
}
