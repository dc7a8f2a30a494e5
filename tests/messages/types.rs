//! Types of messages, with the claims and rates that each needs.

use serde_json::json;

use super::support::{Frame, RawUpstream, Session};
use super::{closes, guarded, passes, with};

const TYPES: &str = r#"
[routes.app.messages]
type_at = "/action"
on_violation = "answer"
error_reply = "{reason}"
[routes.app.messages.types."room:*"]
require_in = { rooms = "/room" }
[routes.app.messages.types.delete]
require = { role = "admin" }
[routes.app.messages.types.upload]
rate = "2/h"
[routes.app.messages.types.post]
rate_per_user = "2/h"
"#;

fn answers(session: &mut Session, message: &str, reason: &str) {
    session.client.say(Frame::text(message));
    session.client.expect_frame(Frame::text(reason));
}

#[test]
fn a_type_requires_claims() {
    let upstream = RawUpstream::bind();
    let gateway = guarded(&upstream, TYPES).start();
    let claims = json!({ "rooms": ["red", 7], "role": "user" });
    let mut session = Session::open_with(&gateway, &upstream, &with(&claims), "");
    passes(&mut session, &Frame::text("{\"action\":\"room:join\",\"room\":\"red\"}"));
    passes(&mut session, &Frame::text("{\"action\":\"room:join\",\"room\":7}"));
    for message in [
        "{\"action\":\"room:join\",\"room\":\"blue\"}",
        "{\"action\":\"room:join\"}",
        "{\"action\":\"room:join\",\"room\":[\"red\"]}",
        "{\"action\":\"delete\"}",
    ] {
        answers(&mut session, message, "message.claim");
    }
    let admin = with(&json!({ "role": ["user", "admin"] }));
    let mut session = Session::open_with(&gateway, &upstream, &admin, "");
    passes(&mut session, &Frame::text("{\"action\":\"delete\"}"));
    answers(&mut session, "{\"action\":\"room:x\",\"room\":\"red\"}", "message.claim");
}

#[test]
fn a_message_without_a_listed_type_is_refused_or_passes() {
    let upstream = RawUpstream::bind();
    let unlisted =
        ["{\"action\":\"other\"}", "{\"action\":1}", "{}", "[{\"action\":\"delete\"}]", "hello"];
    // Parsers that are less strict may find a type in these.
    let lenient = [
        "{\"action\":\"delete\"",
        "{\"action\":\"delete\",\"x\":NaN}",
        "\u{feff}{\"action\":\"delete\"}",
        "{\"Action\":\"delete\"}",
    ];
    let gateway = guarded(&upstream, TYPES).start();
    let mut session = Session::open_with(&gateway, &upstream, &with(&json!({})), "");
    for message in unlisted {
        answers(&mut session, message, "message.type");
    }
    for message in lenient {
        answers(&mut session, message, "message.structure");
    }
    let allowed = TYPES.replace("on_violation", "unlisted = \"allow\"\non_violation");
    let gateway = guarded(&upstream, &allowed).start();
    let mut session = Session::open_with(&gateway, &upstream, &with(&json!({})), "");
    for message in unlisted {
        passes(&mut session, &Frame::text(message));
    }
    for message in lenient {
        answers(&mut session, message, "message.structure");
    }
    answers(&mut session, "{\"action\":[\"delete\"]}", "message.type");
    answers(&mut session, "{\"action\":\"delete\"}", "message.claim");
    // Parsers differ in which of the two counts.
    answers(&mut session, "{\"action\":\"x\",\"\\u0061ction\":\"delete\"}", "message.structure");
}

#[test]
fn types_have_rates_for_each_session_and_for_each_user() {
    let upstream = RawUpstream::bind();
    let gateway = guarded(&upstream, TYPES).route("refresh = \"framewall\"").start();
    let open = || Session::open_with(&gateway, &upstream, &with(&json!({})), "");
    let (mut first, mut second) = (open(), open());
    let (upload, post) = ("{\"action\":\"upload\"}", "{\"action\":\"post\"}");
    for session in [&mut first, &mut second] {
        passes(session, &Frame::text(upload));
        passes(session, &Frame::text(upload));
        answers(session, upload, "message.rate");
    }
    passes(&mut first, &Frame::text(post));
    passes(&mut second, &Frame::text(post));
    answers(&mut first, post, "message.rate");
    answers(&mut second, post, "message.rate");
    // Neither a reload nor a newer token replenishes a rate.
    gateway.hang_up("reloaded");
    answers(&mut first, upload, "message.rate");
    let token = super::sign(&json!({ "sub": "ada", "exp": super::now() + 700 }));
    first.client.say(Frame::text(json!({ "framewall": { "token": token } }).to_string()));
    assert!(first.client.read_frame().payload.starts_with(b"{\"framewall\""));
    answers(&mut first, upload, "message.rate");
}

#[test]
fn a_newer_token_brings_its_claims() {
    let upstream = RawUpstream::bind();
    let gateway = guarded(&upstream, TYPES).route("refresh = \"framewall\"").start();
    let mut session = Session::open_with(&gateway, &upstream, &with(&json!({})), "");
    answers(&mut session, "{\"action\":\"delete\"}", "message.claim");
    let claims = json!({ "sub": "ada", "exp": super::now() + 700, "role": "admin" });
    let token = super::sign(&claims);
    session.client.say(Frame::text(json!({ "framewall": { "token": token } }).to_string()));
    assert!(session.client.read_frame().payload.starts_with(b"{\"framewall\""));
    passes(&mut session, &Frame::text("{\"action\":\"delete\"}"));
}

#[test]
fn a_type_has_an_outcome_and_a_schema_of_its_own() {
    let upstream = RawUpstream::bind();
    let more = "[routes.app.messages.types.chat]\nschema = \"chat.json\"\non_violation = \"close\"";
    let gateway = guarded(&upstream, &format!("{TYPES}{more}")).start();
    let mut session = Session::open_with(&gateway, &upstream, &with(&json!({})), "");
    passes(&mut session, &Frame::text("{\"action\":\"chat\",\"next\":1}"));
    let bad = Frame::text("{\"action\":\"chat\",\"next\":[]}");
    closes(&mut session, &bad, 1008, "message.schema");
}
