//! GraphQL.

use std::fmt::Write as _;
use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};

use super::super::support::{
    Authority, Frame, Gateway, Peer, RawUpstream, Session, Tool, now, run_program, sign,
};
use super::super::{closes, guarded, passes, with, write_files};
use super::{example, examples};

/// The documents of the list.
const LISTED: [&str; 6] = [
    "query Rooms { rooms { id } }",
    "subscription OnSay($room: ID!) { said(room: $room) { text } }",
    "mutation Say($room: ID!) { say(room: $room) { id } }",
    "mutation RemoveRoom { remove }",
    "mutation Other { other }",
    "{ a { b { c { d { e { f { g { h { i { j { k } } } } } } } } } } }",
];

fn hash(text: &str) -> String {
    let mut hex = String::new();
    for byte in digest(&SHA256, text.as_bytes()).as_ref() {
        write!(hex, "{byte:02x}").unwrap();
    }
    hex
}

fn write_documents(folder: &Path, authority: &Authority) {
    write_files(folder, authority);
    let lines: Vec<_> = LISTED.iter().map(|text| format!("{}  -", hash(text))).collect();
    std::fs::write(folder.join("documents.txt"), lines.join("\n")).unwrap();
}

/// A session with the rules of `tables`.
fn open(upstream: &RawUpstream, tables: &str) -> (Gateway, Session) {
    let gateway = guarded(upstream, tables).prepare(write_documents).start();
    let claims = json!({ "rooms": ["red"], "role": "user" });
    let session = Session::open_with(&gateway, upstream, &with(&claims), "");
    (gateway, session)
}

fn message(kind: &str, payload: &Value) -> Frame {
    Frame::text(json!({ "id": "7", "type": kind, "payload": payload }).to_string())
}

fn query(text: &str) -> Value {
    json!({ "query": text, "variables": { "room": "red" } })
}

#[test]
fn a_refused_operation_is_answered_in_both_subprotocols() {
    let upstream = RawUpstream::bind();
    let (_gateway, mut session) = open(&upstream, &examples("GraphQL")[1]);
    let id = session.request_id();
    passes(&mut session, &Frame::text("{\"type\":\"connection_init\",\"payload\":{}}"));
    let elsewhere = json!({ "query": LISTED[1], "variables": { "room": "blue" } });
    let hash_of_other = json!({ "query": LISTED[0], "extensions": { "persistedQuery": { "sha256Hash": hash(LISTED[1]) } } });
    let hash_alone = json!({ "extensions": { "persistedQuery": { "sha256Hash": hash("{ a }") } } });
    for kind in ["subscribe", "start"] {
        for text in &LISTED[..3] {
            passes(&mut session, &message(kind, &query(text)));
        }
        for (payload, code) in [
            (query(LISTED[3]), "message.claim"),
            (query(LISTED[4]), "message.type"),
            (query(LISTED[5]), "message.structure"),
            (query("mutation Say { remove }"), "message.type"),
            (query("query Rooms { rooms { id } } "), "message.type"),
            (elsewhere.clone(), "message.claim"),
            (hash_of_other.clone(), "message.structure"),
            (hash_alone.clone(), "PERSISTED_QUERY_NOT_FOUND"),
        ] {
            session.client.say(message(kind, &payload));
            let answer = session.client.read_frame().payload;
            let mut answer: Value = serde_json::from_slice(&answer).unwrap();
            let payload = answer["payload"].take();
            assert_eq!(answer, json!({ "id": "7", "type": "error", "payload": null }));
            let error = if kind == "start" { &payload } else { &payload[0] };
            assert_eq!(error["extensions"], json!({ "code": code, "request_id": id }));
        }
    }
    passes(&mut session, &Frame::text("{\"type\":\"complete\",\"id\":\"7\"}"));
    passes(&mut session, &message("subscribe", &query(LISTED[0])));
}

#[test]
fn fields_of_an_operation_are_judged_one_by_one() {
    let upstream = RawUpstream::bind();
    let (gateway, mut session) = open(&upstream, &example("GraphQL"));
    let say =
        "mutation A($room: ID = \"red\", $room2: ID) { say(room: $room) x: say(room: $room2) }";
    let with = |text: &str, room2: &str| json!({ "query": text, "variables": { "room2": room2 } });
    for payload in [
        query("{ a b __typename }"),
        query("mutation RemoveRoom { say(room: \"red\") }"),
        with(say, "red"),
        query("subscription A { ...F } fragment F on S { said(room: \"\\u0072ed\") { id } }"),
    ] {
        passes(&mut session, &message("subscribe", &payload));
    }
    for (payload, code) in [
        (query("mutation Say { say(room: \"blue\") }"), "message.claim"),
        (with(say, "blue"), "message.claim"),
        (query("mutation Say { say }"), "message.claim"),
        (query("mutation Say { say(room: \"red\") remove(id: 1) }"), "message.claim"),
        (query("mutation Say { ... { say: removeAll } }"), "message.claim"),
        (query("mutation Say { ...F } fragment F on M { say: drop }"), "message.type"),
        (query("mutation Say { say(room: \"red\", room: \"blue\") }"), "message.structure"),
    ] {
        session.client.say(message("subscribe", &payload));
        let answer: Value = serde_json::from_slice(&session.client.read_frame().payload).unwrap();
        assert_eq!(answer["payload"][0]["message"], code, "{payload}");
    }
    // Each field counts: three of 20 have passed.
    let twenty = format!("mutation {{ {} }}", "say(room: \"red\") ".repeat(20));
    session.client.say(message("subscribe", &query(&twenty)));
    let record = gateway.wait_for_record(|record| record["reason"] == "message.rate");
    assert_eq!(record["event"], "message.refused");
}

#[test]
fn no_escape_of_a_document_hides_a_pattern() {
    let upstream = RawUpstream::bind();
    let tables =
        "[routes.app.messages]\nprotocol = \"graphql-ws\"\ndeny_patterns = [\"(?i)<script\"]";
    for literal in [r#""\u003cscript""#, r#""\u{3c}script""#, r#"[{x: "\u003cscript"}]"#] {
        let (_gateway, mut session) = open(&upstream, tables);
        passes(&mut session, &message("start", &query("{ a(b: \"script\\n\") }")));
        let bad = message("start", &query(&format!("{{ a {{ b(c: {literal}) }} }}")));
        closes(&mut session, &bad, 1008, "message.pattern");
    }
}

#[test]
fn a_document_beyond_a_bound_closes_the_session() {
    let upstream = RawUpstream::bind();
    let aliases = |count: usize| {
        let fields: Vec<_> = (0..count).map(|index| format!("a{index}: a")).collect();
        format!("{{ b {{ {} }} }}", fields.join(" "))
    };
    let spread =
        |count: usize| format!("{{ a {{ {} }} }} fragment f on A {{ a b }}", "...f ".repeat(count));
    let deep = |depth: usize| format!("{}{}", "{a".repeat(depth), "}".repeat(depth));
    let directives = |count: usize| format!("{{ a {} }}", "@b ".repeat(count));
    let roots = |count: usize| format!("{{ {} }}", "a ".repeat(count));
    let tokens = |count: usize| format!("{{ a(b: [{}]) }}", "1 ".repeat(count - 9));
    let persisted = |hash: &str| {
        let extensions = json!({ "persistedQuery": { "sha256Hash": hash } });
        json!({ "query": "{ a }", "extensions": extensions })
    };
    for (good, bad) in [
        (query(&aliases(15)), query(&aliases(16))),
        (query(&spread(99)), query(&spread(100))),
        (query(&deep(10)), query(&deep(11))),
        (query(&directives(50)), query(&directives(51))),
        (query(&roots(20)), query(&roots(21))),
        (query(&tokens(5000)), query(&tokens(5001))),
        (query("{ __typename }"), query("{ x: __schema { types } }")),
        (persisted(&hash("{ a }")), persisted(&hash("{ b }"))),
    ] {
        let (_gateway, mut session) =
            open(&upstream, "[routes.app.messages]\nprotocol = \"graphql-ws\"");
        passes(&mut session, &message("subscribe", &good));
        closes(&mut session, &message("subscribe", &bad), 1007, "message.structure");
    }
}

#[test]
fn replies_have_types_too() {
    let upstream = RawUpstream::bind();
    let tables = "[routes.app.replies]\nprotocol = \"graphql-ws\"\non_violation = \"drop\"\n\
        [routes.app.replies.types.next]\n[routes.app.replies.types.data]";
    let (_gateway, mut session) = open(&upstream, tables);
    let data = json!({ "data": { "a": 1 } });
    session.upstream.say(message("error", &json!([])));
    for frame in [
        Frame::text("{\"type\":\"connection_ack\"}"),
        message("next", &data),
        message("data", &data),
        Frame::text("{\"type\":\"complete\",\"id\":\"7\"}"),
    ] {
        session.upstream.say(frame.clone());
        session.client.expect_frame(frame);
    }
}

/// The libraries of a subprotocol on both sides: they work unchanged, and a refused operation calls the error callback
/// and reaches no resolver.
fn libraries_work(arguments: &[&str]) {
    let mut peer = Peer::start(Tool::Node, "protocols/graphql_app", arguments);
    let replies = "[routes.app.replies]\nprotocol = \"graphql-ws\"";
    let tables = format!("{}{replies}", example("GraphQL"));
    let (unused, upstreams) = (RawUpstream::bind(), [peer.address()]);
    let gateway = guarded(&unused, &tables).upstreams(&upstreams).start();
    let (url, ca) = (gateway.url("wss", "/ws"), gateway.ca_file());
    let claims = json!({ "sub": "ada", "exp": now() + 600, "rooms": ["red"], "role": "user" });
    let fixed = [url.as_str(), ca.to_str().unwrap(), &sign(&claims)];
    let steps = run_program(Tool::Node, "protocols/graphql_client", &[&fixed, arguments].concat());

    let id = gateway.wait_for_record(|record| record["event"] == "message.refused");
    let refused = |step: &str, reason: &str| {
        let id = &id["request_id"];
        json!({ "step": step, "results": [], "message": reason, "code": reason, "id": id })
    };
    let done = |step: &str, results: Value| json!({ "step": step, "results": results });
    let red = json!([{ "room": { "id": "red" } }]);
    let expected = [
        done("query", red.clone()),
        done("mutation", json!([{ "say": "red" }])),
        done("subscription", json!([{ "said": 1 }, { "said": 2 }])),
        done("selected", red.clone()),
        done("own_hash", red.clone()),
        refused("unlisted", "message.type"),
        refused("renamed", "message.claim"),
        refused("elsewhere", "message.claim"),
        refused("deep", "message.structure"),
        refused("aliases", "message.structure"),
        refused("introspection", "message.structure"),
        refused("other_hash", "message.structure"),
        refused("faulty", "message.structure"),
        done("again", red),
    ];
    assert_eq!(steps, expected);
    let ran: Vec<_> = (0..6).map(|_| peer.says()["field"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ran, ["room", "say", "said", "room", "room", "room"]);
}

#[test]
#[ignore = "needs node graphql-ws"]
fn graphql_ws_works() {
    libraries_work(&[]);
}

#[test]
#[ignore = "needs node subscriptions-transport-ws"]
fn subscriptions_transport_ws_works() {
    libraries_work(&["--legacy"]);
}
