//! `framewall observe` on the running gateway.

use std::io::{Write as _, read_to_string};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::support::{
    Frame, Gateway, GatewayBuilder, RawUpstream, Request, Session, TIMEOUT, eventually, packed,
};
use super::{passes, ruled};

const ADMIN: &str = "\n[admin]\nsocket = \"admin.sock\"\n";

/// A gateway with an admin socket.
fn observable(upstream: &RawUpstream, tables: &str) -> GatewayBuilder {
    ruled(upstream, &format!("{tables}{ADMIN}"))
}

/// `framewall observe` of the route `app`, which has begun.
fn begin(gateway: &Gateway, arguments: &[&str]) -> Child {
    let before = records(gateway, "observe.begun").len();
    let mut child = Command::new(env!("CARGO_BIN_EXE_framewall"))
        .args(["observe", "--config", "framewall.toml", "--route", "app"])
        .args(arguments)
        .current_dir(gateway.folder())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = eventually(|| {
        let is_over = child.try_wait().unwrap().is_some();
        (is_over || records(gateway, "observe.begun").len() > before).then_some(is_over)
    });
    assert!(begun == Some(false), "it did not begin: {:?}", child.wait_with_output());
    child
}

fn records(gateway: &Gateway, event: &str) -> Vec<Value> {
    gateway.log_records().into_iter().filter(|record| record["event"] == event).collect()
}

/// Ends the observation as Ctrl-C does; returns what it printed.
fn interrupt(child: Child) -> String {
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{error}");
    String::from_utf8(output.stdout).unwrap()
}

/// Pastes printed tables behind the configuration, checks it, and reloads it.
fn paste(gateway: &Gateway, printed: &str) {
    gateway.rewrite(|text| format!("{text}\n{printed}"));
    let checked = Command::new(env!("CARGO_BIN_EXE_framewall"))
        .args(["check", "--config", "framewall.toml"])
        .current_dir(gateway.folder())
        .output()
        .unwrap();
    assert!(checked.status.success(), "{}\n{printed}", String::from_utf8_lossy(&checked.stdout));
    gateway.hang_up("reloaded");
}

/// The messages of two clients, and one of a type that none of them sends.
fn messages() -> [[String; 2]; 2] {
    [
        [
            json!({ "action": "say", "text": "hello", "to": "ann@example.org" }),
            json!({ "action": "room:17", "id": "c0ffee00-1234-4567-89ab-00c0ffee0000" }),
        ],
        [
            json!({ "action": "say", "text": "SECRETWORD", "to": "bob@example.org" }),
            json!({ "action": "leave" }),
        ],
    ]
    .map(|said| said.map(|message| message.to_string()))
}

#[test]
fn the_printed_rules_let_the_observed_messages_pass_and_no_other_type() {
    let upstream = RawUpstream::bind();
    let gateway = observable(&upstream, "").start();
    let mut first = Session::open(&gateway, &upstream);
    let child = begin(&gateway, &["--write", "schemas"]);
    let mut second = Session::open(&gateway, &upstream);
    for (session, said) in [&mut first, &mut second].into_iter().zip(messages()) {
        for message in said {
            passes(session, &Frame::text(message));
        }
    }
    let printed = interrupt(child);
    for shown in
        ["type_at = \"/action\"   # guessed", "types.say]", "types.\"room:*\"]", "types.leave]"]
    {
        assert!(printed.contains(shown), "{shown} is not in:\n{printed}");
    }
    let schema = std::fs::read_to_string(gateway.folder().join("schemas/say.json")).unwrap();
    assert!(schema.contains("\"email\""), "{schema}");
    for value in ["SECRETWORD", "hello", "ann@", "c0ffee00"] {
        assert!(
            !printed.contains(value) && !schema.contains(value),
            "{value} in:\n{printed}\n{schema}"
        );
    }
    let ended = gateway.wait_for_record(|record| record["event"] == "observe.ended");
    let uid = rustix::process::getuid().as_raw();
    let about =
        ["route", "direction", "uid", "sessions", "messages", "ended"].map(|field| &ended[field]);
    let wanted = [json!("app"), json!("messages"), json!(uid), json!(2), json!(4), json!("client")];
    assert_eq!(about.map(Clone::clone), wanted);
    let asked = gateway.wait_for_record(|record| record["action"] == "observe");
    assert_eq!((&asked["result"], &asked["uid"]), (&json!("done"), &json!(uid)));

    paste(&gateway, &printed);
    let mut third = Session::open(&gateway, &upstream);
    for said in messages() {
        for message in said {
            passes(&mut third, &Frame::text(message));
        }
    }
    third.client.say(Frame::text("{\"action\":\"delete\"}"));
    third.client.expect_closing(1008, "message.type");
    first.client.say(Frame::text("{\"action\":\"leave\",\"more\":1}"));
    first.client.expect_closing(1008, "message.schema");
}

/// Compressed, in fragments, refused by a rule, above what is read, and of a session that began before.
#[test]
fn an_observation_sees_each_message_and_changes_none() {
    let upstream = RawUpstream::bind();
    let rules = "[routes.app.messages]\nmax_size = \"1KiB\"\ntype_at = \"/action\"\non_violation = \"drop\"\n\
                 [routes.app.messages.types.say]";
    let gateway = observable(&upstream, rules).websocket("compression = \"inspect\"").start();
    let offer = Request::upgrade("/ws").and("Sec-WebSocket-Extensions", "permessage-deflate");
    let accepted = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let mut session = Session::open_with(&gateway, &upstream, &offer, accepted);
    // A message that began before is not seen.
    session.client.say(Frame::text("{\"action\"").unfinished());
    session.client.say(Frame::ping("here"));
    session.upstream.expect_frame(Frame::ping("here"));
    let child = begin(&gateway, &["--json", "--type-at", "/action"]);
    session.client.say(Frame::continuation(":\"say\"}"));
    session.upstream.expect_frame(Frame::text("{\"action\"").unfinished());
    session.upstream.expect_frame(Frame::continuation(":\"say\"}"));
    passes(&mut session, &packed("{\"action\":\"say\",\"packed\":true}"));
    session.client.say(Frame::text("{\"action\":\"drop\"}"));
    let parts = [
        Frame::text("{\"action\":").unfinished(),
        Frame::continuation("").unfinished(),
        Frame::continuation("\"say\"}"),
    ];
    for part in &parts {
        session.client.say(part.clone());
    }
    for part in parts {
        session.upstream.expect_frame(part);
    }
    let seen: Value = serde_json::from_str(&interrupt(child)).unwrap();
    assert_eq!(seen["all"]["messages"], 3, "{seen:#}");
    let types: Vec<_> = seen["types"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (&one["name"], &one["messages"]))
        .collect();
    assert_eq!(types, [(&json!("drop"), &json!(1)), (&json!("say"), &json!(2))]);
    assert_eq!(seen["types"][1]["size"], json!({ "least": 16, "mean": 23, "most": 30 }));
    passes(&mut session, &Frame::text("{\"action\":\"say\"}"));
}

/// Rules bound the size of a message, and frames that are too large to be held are cut through: an observer does neither.
#[test]
fn large_messages_pass_unread() {
    let upstream = RawUpstream::bind();
    let gateway = observable(&upstream, "").start();
    let mut session = Session::open(&gateway, &upstream);
    let child = begin(&gateway, &["--json"]);
    let large = Frame::text("x".repeat(300_000)).masked(true).encode();
    session.client.send(&large[..200_000]);
    // Released before the rest is sent.
    session.upstream.take(150_000);
    session.client.send(&large[200_000..]);
    session.upstream.take(large.len() - 150_000);
    let seen: Value = serde_json::from_str(&interrupt(child)).unwrap();
    assert_eq!(
        (&seen["unread"]["messages"], &seen["all"]["size"]["most"]),
        (&json!(1), &json!(300_000))
    );
}

#[test]
fn replies_are_observed_and_one_observation_runs_at_a_time() {
    let upstream = RawUpstream::bind();
    let gateway = observable(&upstream, "").start();
    let mut session = Session::open(&gateway, &upstream);
    let child = begin(&gateway, &["--replies"]);
    let (code, _, error) = gateway.admin(&["observe", "--route", "app"]);
    assert_eq!(code, Some(1));
    assert!(error.ends_with("framewall: the route app is being observed already\n"), "{error}");
    let (code, _, error) = gateway.admin(&["observe", "--route", "other"]);
    assert_eq!(code, Some(1));
    assert!(error.ends_with("there is no route other; there are: app\n"), "{error}");
    passes(&mut session, &Frame::text("{\"type\":\"ping\"}"));
    for _ in 0..2 {
        session.upstream.say(Frame::text("{\"type\":\"pong\"}"));
        session.client.expect_frame(Frame::text("{\"type\":\"pong\"}"));
    }
    let printed = interrupt(child);
    assert!(printed.contains("[routes.app.replies.types.pong]"), "{printed}");
    assert!(printed.contains("# schemas/reply-pong.json:"), "{printed}");
    assert!(!printed.contains("ping"), "{printed}");
    interrupt(begin(&gateway, &[]));
}

/// The end of the admin connection, of the time, and of the gateway.
#[test]
fn an_observation_ends_with_its_connection_its_time_or_the_gateway() {
    let upstream = RawUpstream::bind();
    let mut gateway = observable(&upstream, "").start();
    let ended = |gateway: &Gateway, count: usize| {
        let records = eventually(|| {
            Some(records(gateway, "observe.ended")).filter(|records| records.len() >= count)
        });
        records.unwrap().last().unwrap()["ended"].clone()
    };
    let connect = || {
        let stream = UnixStream::connect(gateway.folder().join("admin.sock")).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream
    };
    let request = b"{\"action\":\"observe\",\"route\":\"app\",\"for\":\"1h\"}\n";
    let mut stream = connect();
    stream.write_all(request).unwrap();
    eventually(|| (!records(&gateway, "observe.begun").is_empty()).then_some(())).unwrap();
    drop(stream);
    assert_eq!(ended(&gateway, 1), "client");

    let child = begin(&gateway, &["--for", "1s"]);
    assert!(child.wait_with_output().unwrap().status.success());
    assert_eq!(ended(&gateway, 2), "time");

    let mut stream = connect();
    stream.write_all(request).unwrap();
    eventually(|| (records(&gateway, "observe.begun").len() == 3).then_some(())).unwrap();
    gateway.terminate();
    let answer = read_to_string(stream).unwrap();
    assert!(answer.contains("\"ended\":\"shutdown\""), "{answer}");
    gateway.exit_code();
    assert_eq!(ended(&gateway, 3), "shutdown");
}

/// A token that a client hands in is no message.
#[test]
fn a_token_that_is_handed_in_is_not_observed() {
    let upstream = RawUpstream::bind();
    let gateway = super::guarded(&upstream, ADMIN).route("refresh = \"framewall\"").start();
    let mut session = Session::open_with(&gateway, &upstream, &super::with(&json!({})), "");
    let child = begin(&gateway, &["--json"]);
    session.client.say(Frame::text("{\"framewall\":{\"token\":\"a.b.c\"}}"));
    let answer = session.client.read_frame();
    assert!(answer.payload.starts_with(b"{\"framewall\""), "{answer:?}");
    passes(&mut session, &Frame::text("{\"action\":\"say\"}"));
    let seen: Value = serde_json::from_str(&interrupt(child)).unwrap();
    assert_eq!(seen["all"]["messages"], 1, "{seen:#}");
}

#[test]
fn the_methods_of_a_protocol_are_observed_as_types() {
    let upstream = RawUpstream::bind();
    let gateway = observable(&upstream, "").start();
    let mut session = Session::open(&gateway, &upstream);
    let calls = [
        json!({ "jsonrpc": "2.0", "id": 1, "method": "say", "params": { "text": "hello" } }),
        json!([{ "jsonrpc": "2.0", "method": "leave" }, { "jsonrpc": "2.0", "method": "say", "params": { "text": "" } }]),
    ];
    let calls = calls.map(|call| Frame::text(call.to_string()));
    let child = begin(&gateway, &["--protocol", "jsonrpc", "--write", "schemas"]);
    for call in &calls {
        passes(&mut session, call);
    }
    paste(&gateway, &interrupt(child));
    for call in &calls {
        passes(&mut session, call);
    }
    session
        .client
        .say(Frame::text("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"say\",\"params\":[]}"));
    session.client.expect_closing(1008, "message.schema");
    let mut session = Session::open(&gateway, &upstream);
    session.client.say(Frame::text("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"delete\"}"));
    session.client.expect_closing(1008, "message.type");
}
