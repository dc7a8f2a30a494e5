//! The gateway ends plain requests as it ends sessions.

use std::process::Command;

use super::support::{Gateway, RawUpstream, Wire, eventually};
use super::{answer, get, plain, serving};

const ADMIN: &str = "[admin]\nsocket = \"admin.sock\"\n";
const STREAM: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

/// The act of an operator that ends a request.
type End = &'static dyn Fn(&Gateway);

/// Runs a command of the admin client, and returns its output.
fn framewall(gateway: &Gateway, command: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_framewall"))
        .current_dir(gateway.folder())
        .args(command)
        .args(["--socket", "admin.sock"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Waits until the registry has this number of plain requests.
fn wait_for_answers(gateway: &Gateway, count: u64) {
    let status = || gateway.status("admin.sock");
    let reached = eventually(|| (status()["answers"] == count).then_some(()));
    assert!(reached.is_some(), "{}", status());
}

fn guarded(upstream: &RawUpstream) -> Gateway {
    serving(&[upstream.address()])
        .auth("main")
        .prepare(|folder, _| std::fs::write(folder.join("secret"), super::access::SECRET).unwrap())
        .more(&format!("{ADMIN}{}", super::access::ISSUER))
        .start()
}

/// Opens a stream of server-sent events of the user `ann`.
fn open_stream(gateway: &Gateway, upstream: &RawUpstream) -> (Wire, Wire) {
    let mut client = gateway.connect();
    let bearer = format!("Bearer {}", super::access::token(""));
    client.send_request(&get("/events").and("Authorization", &bearer));
    let mut application = upstream.accept();
    answer(&mut application, STREAM);
    assert_eq!(client.read_head().status(), 200);
    wait_for_answers(gateway, 1);
    (client, application)
}

#[test]
fn an_event_stream_ends_by_the_rules_that_end_sessions() {
    let ends: [(&str, End); 5] = [
        ("session.kicked", &|gateway| {
            let said = framewall(gateway, &["kick", "--user", "ann"]);
            assert_eq!(said, "ended 1 session\n");
        }),
        ("token.revoked", &|gateway| {
            framewall(gateway, &["revoke", "--user", "ann", "--for", "1h"]);
        }),
        ("ban.active", &|gateway| {
            framewall(gateway, &["ban", "127.0.0.1", "--for", "1h"]);
        }),
        ("route.none", &|gateway| {
            gateway.rewrite(|text| text.replace("path = \"/*\"", "path = \"/other\""));
            gateway.hang_up("reloaded");
        }),
        ("upgrade.required", &|gateway| {
            gateway.rewrite(|text| text.replace("[\"websocket\", \"http\"]", "[\"websocket\"]"));
            gateway.hang_up("reloaded");
        }),
    ];
    for (reason, end) in ends {
        let upstream = RawUpstream::bind();
        let gateway = guarded(&upstream);
        let (mut client, mut application) = open_stream(&gateway, &upstream);
        end(&gateway);
        assert_eq!(client.expect_gone(), b"", "{reason}: no last chunk");
        application.expect_gone();
        let record = gateway.wait_for_record(|record| record["event"] == "forwarded");
        assert_eq!((&record["reason"], &record["body_cut"]), (&reason.into(), &true.into()));
        wait_for_answers(&gateway, 0);
    }
}

/// Such as a long poll.
#[test]
fn a_request_that_waits_for_its_answer_is_refused() {
    let upstream = RawUpstream::bind();
    let gateway = serving(&[upstream.address()]).more(ADMIN).start();
    for request in [get("/poll"), plain("POST /upload HTTP/1.1").and("Content-Length", "9")] {
        let mut client = gateway.connect();
        client.send_request(&request);
        let mut application = upstream.accept();
        application.read_head();
        wait_for_answers(&gateway, 1);
        framewall(&gateway, &["kick", "--ip", "127.0.0.1"]);
        gateway.check_refusal(&client.read_response(), 403, "session.kicked");
        client.expect_eof();
        application.expect_gone();
    }
}

/// A ban or a reload may come before the request is in the registry.
#[test]
fn a_request_that_lasts_is_judged_again() {
    let upstream = RawUpstream::bind();
    let gateway = serving(&[upstream.address()]).more(ADMIN).start();
    let mut client = gateway.connect();
    client.send_request(&get("/poll"));
    let mut application = upstream.accept();
    application.read_head();
    gateway.rewrite(|text| text.replace("path = \"/*\"", "path = \"/other\""));
    gateway.hang_up("reloaded");
    gateway.check_refusal(&client.read_response(), 404, "route.none");
}

#[test]
fn a_listing_has_answers_with_their_kind_and_counts_no_session() {
    let upstream = RawUpstream::bind();
    let gateway = guarded(&upstream);
    let _open = open_stream(&gateway, &upstream);
    let listed: serde_json::Value =
        serde_json::from_str(&framewall(&gateway, &["sessions", "--json"])).unwrap();
    let answer = &listed["sessions"][0];
    assert_eq!((&answer["kind"], &answer["user"]), (&"http".into(), &"ann".into()));
    assert_eq!(answer["server"], format!("ws://{}", upstream.address()));
    let table = framewall(&gateway, &["sessions"]);
    let ends: Vec<_> = table.lines().filter_map(|line| line.split("  ").last()).collect();
    assert_eq!(ends, ["KIND", "http"], "{table}");
    let status = gateway.status("admin.sock");
    assert_eq!((&status["sessions"], &status["routes"]), (&0.into(), &serde_json::json!({})));
}
