//! Kinds, sizes, structure, schemas and patterns.

use super::support::{Frame, RawUpstream, Session};
use super::{closes, passes, ruled};

#[test]
fn each_rule_refuses_with_its_reason() {
    let upstream = RawUpstream::bind();
    let json =
        "encoding = \"json\"\nmax_depth = 2\nmax_members = 2\nmax_items = 2\nmax_string = \"4B\"";
    for (rules, good, bad, code, reason) in [
        ("kinds = [\"text\"]", "a", Frame::binary("a"), 1008, "message.kind"),
        ("max_size = \"4B\"", "abcd", Frame::text("abcde"), 1009, "message.too_big"),
        (json, "[[1,2]]", Frame::text("[[[1]]]"), 1007, "message.structure"),
        (
            json,
            "{\"a\":1,\"b\":2}",
            Frame::text("{\"a\":1,\"b\":2,\"c\":3}"),
            1007,
            "message.structure",
        ),
        (json, "[1,2]", Frame::text("[1,2,3]"), 1007, "message.structure"),
        (json, "\"abcd\"", Frame::text("\"abcde\""), 1007, "message.structure"),
        (json, "{}", Frame::text("{\"a\":1,\"\\u0061\":2}"), 1007, "message.structure"),
        (json, "{}", Frame::text("{\"a\":1e999}"), 1007, "message.structure"),
        (json, "{}", Frame::text("\"\\ud800\""), 1007, "message.structure"),
        (json, "{}", Frame::text("\u{feff}{}"), 1007, "message.structure"),
        (json, "{}", Frame::text("{} {}"), 1007, "message.structure"),
        (json, "{}", Frame::text("hello"), 1007, "message.structure"),
        (json, "{}", Frame::binary([0xff]), 1007, "message.structure"),
        (json, "{}", Frame::binary("[[[1]]]"), 1007, "message.structure"),
        ("schema = \"chat.json\"", "{\"action\":\"a\"}", Frame::text("{}"), 1008, "message.schema"),
        (
            "schema = \"chat.json\"",
            "{\"action\":\"a\",\"email\":\"ada@example.com\"}",
            Frame::text("{\"action\":\"a\",\"email\":\"nobody\"}"),
            1008,
            "message.schema",
        ),
        (
            "schema = \"chat.json\"",
            "{\"action\":\"a\",\"next\":1}",
            Frame::text("{\"action\":\"a\",\"next\":\"1\"}"),
            1008,
            "message.schema",
        ),
        (
            "deny_patterns = [\"(?i)<script\"]",
            "script",
            Frame::text("a <SCRIPT>"),
            1008,
            "message.pattern",
        ),
        (
            "deny_patterns = [\"(?i)<script\"]",
            "script",
            Frame::text("[{\"x\":[\"\\u003cscript\"]}]"),
            1008,
            "message.pattern",
        ),
        (
            "deny_patterns = [\"(?i)<script\"]",
            "{\"<\":1}",
            Frame::text("{\"\\u003cscript\":1}"),
            1008,
            "message.pattern",
        ),
    ] {
        let gateway = ruled(&upstream, &format!("[routes.app.messages]\n{rules}")).start();
        let mut session = Session::open(&gateway, &upstream);
        let id = session.request_id();
        passes(&mut session, &Frame::text(good));
        closes(&mut session, &bad, code, reason);
        let record = gateway.wait_for_reason(&id, reason);
        let detail = record["detail"].as_str().unwrap_or_default();
        let payload = String::from_utf8_lossy(&bad.payload).into_owned();
        assert!(
            payload.len() < 3 || !detail.contains(&payload),
            "no message is in the log: {detail}"
        );
    }
}

#[test]
fn replies_are_judged_likewise() {
    let upstream = RawUpstream::bind();
    let gateway = ruled(&upstream, "[routes.app.replies]\nschema = \"chat.json\"").start();
    let mut session = Session::open(&gateway, &upstream);
    session.client.say(Frame::text("not json"));
    session.upstream.expect_frame(Frame::text("not json"));
    session.upstream.say(Frame::text("{\"action\":\"a\"}"));
    session.client.expect_frame(Frame::text("{\"action\":\"a\"}"));
    session.upstream.say(Frame::text("{\"secret\":1}"));
    session.client.expect_closing(1014, "message.schema");
    session.upstream.expect_closing(1008, "message.schema");
}

#[test]
fn a_dropped_message_leaves_the_session_open() {
    let upstream = RawUpstream::bind();
    let rules = "[routes.app.messages]\nschema = \"chat.json\"\non_violation = \"drop\"";
    let gateway = ruled(&upstream, rules).start();
    let mut session = Session::open(&gateway, &upstream);
    let id = session.request_id();
    session.client.say(Frame::text("{\"action\"").unfinished());
    session.client.say(Frame::ping("between"));
    session.upstream.expect_frame(Frame::ping("between"));
    session.client.say(Frame::continuation(":1}"));
    session.client.say(Frame::text("{}"));
    passes(&mut session, &Frame::text("{\"action\":\"a\"}"));
    let record = gateway.wait_for_record(|record| record["event"] == "message.refused");
    assert_eq!((&record["request_id"], &record["from"]), (&id.into(), &"client".into()));
    assert_eq!(record["detail"], "messages.schema: \"/action\" breaks /properties/action/type");
    session.close(1000, "");
    let ended = gateway.wait_for_record(|record| record["event"] == "session.ended");
    assert_eq!(ended["client_messages"], 1, "{ended}");
}

#[test]
fn an_answer_names_the_reason_and_the_session() {
    let upstream = RawUpstream::bind();
    let rules = "[routes.app.messages]\nschema = \"chat.json\"\non_violation = \"answer\"\n\
        error_reply = '{\"error\":\"{reason}\",\"request\":\"{request_id}\"}'";
    let gateway = ruled(&upstream, rules).start();
    let mut session = Session::open(&gateway, &upstream);
    let id = session.request_id();
    session.client.say(Frame::text("{}"));
    let answer = format!("{{\"error\":\"message.schema\",\"request\":\"{id}\"}}");
    session.client.expect_frame(Frame::text(answer));
    passes(&mut session, &Frame::text("{\"action\":\"a\"}"));
}

#[test]
fn report_mode_lets_through_and_records_once_for_each_reason() {
    let upstream = RawUpstream::bind();
    let rules = "[routes.app.messages]\nschema = \"chat.json\"\nmode = \"report\"";
    let gateway = ruled(&upstream, rules).start();
    let mut session = Session::open(&gateway, &upstream);
    for _ in 0..3 {
        passes(&mut session, &Frame::text("{}"));
    }
    session.close(1000, "");
    let ended = gateway.wait_for_record(|record| record["event"] == "session.ended");
    assert_eq!(ended["would_refuse"], 3, "{ended}");
    let reported = |record: &&serde_json::Value| record["event"] == "would_refuse";
    let records = gateway.log_records();
    let records: Vec<_> = records.iter().filter(reported).collect();
    assert_eq!(records.len(), 1, "{records:?}");
    assert_eq!(records[0]["reason"], "message.schema");
}

#[test]
fn a_reload_changes_the_rules_of_open_sessions() {
    let upstream = RawUpstream::bind();
    let gateway = ruled(&upstream, "[routes.app.messages]\nkinds = [\"text\"]").start();
    let mut session = Session::open(&gateway, &upstream);
    passes(&mut session, &Frame::text("hello"));
    gateway.rewrite(|text| text.replace("kinds = [\"text\"]", "encoding = \"json\""));
    gateway.hang_up("reloaded");
    passes(&mut session, &Frame::binary("[]"));
    closes(&mut session, &Frame::text("hello"), 1007, "message.structure");
}

#[test]
fn binary_messages_are_files_of_the_listed_types() {
    let upstream = RawUpstream::bind();
    let rules = "[routes.app.messages]\nschema = \"chat.json\"\nbinary_types = [\"png\", \"pdf\"]\n\
        deny_patterns = [\"/JavaScript\"]\non_violation = \"answer\"\nerror_reply = \"{reason}\"";
    let gateway = ruled(&upstream, rules).start();
    let mut session = Session::open(&gateway, &upstream);
    passes(&mut session, &Frame::text("{\"action\":\"hello\"}"));
    passes(&mut session, &Frame::binary(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"));
    passes(&mut session, &Frame::binary("%PDF-1.7\n"));
    for (frame, reason) in [
        (Frame::binary("{\"action\":\"hello\"}"), "message.kind"),
        (Frame::binary("{\"action\":\"%PDF-1.7\"}"), "message.kind"),
        (Frame::binary(""), "message.kind"),
        (Frame::binary(b"\xff\xd8\xff\xe0"), "message.kind"),
        (Frame::binary("%PDF-1.7\n/JavaScript"), "message.pattern"),
        (Frame::text("%PDF-1.7\n"), "message.structure"),
        (Frame::text("{}"), "message.schema"),
    ] {
        session.client.say(frame);
        session.client.expect_frame(Frame::text(reason));
    }
}
