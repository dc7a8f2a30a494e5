//! A new token in a compressed message.

use serde_json::{Value, json};

use super::support::{GatewayBuilder, RawUpstream, Session, packed, token, write_secret};
use super::{ACCEPTED, inspecting, offering};

pub(crate) fn guarded(upstream: &RawUpstream, lines: &str) -> GatewayBuilder {
    inspecting(upstream)
        .auth("main")
        .prepare(write_secret)
        .more(&format!("[jwt.main]\nalgorithms = [\"HS256\"]\nsecret = \"file:secret\"\n{lines}\n"))
}

#[test]
fn a_compressed_token_is_removed_and_later_messages_stay_readable() {
    let upstream = RawUpstream::bind();
    let gateway = guarded(&upstream, "").route("refresh = \"framewall\"").start();
    let bearer = format!("Bearer {}", token("ada", 60));
    let request = offering("permessage-deflate").and("Authorization", &bearer);
    let mut session = Session::open_with(&gateway, &upstream, &request, ACCEPTED);
    for user in ["ada", "eve"] {
        let handover = json!({ "framewall": { "token": token(user, 120) } }).to_string();
        session.client.say(packed(handover));
        let answer: Value = serde_json::from_slice(&session.client.read_frame().payload).unwrap();
        assert_eq!(answer["framewall"]["expires"].is_u64(), user == "ada", "{answer}");
        session.client.say(packed("behind it"));
        session.upstream.expect_frame(packed("behind it"));
    }
}
