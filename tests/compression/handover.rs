//! A new token in a compressed message.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::support::{Authority, GatewayBuilder, RawUpstream, Session, packed};
use super::{ACCEPTED, inspecting, offering};

const SECRET: &[u8] = b"a secret of the tests that is long enough for SHA-256";

fn write_secret(folder: &Path, _: &Authority) {
    std::fs::write(folder.join("secret"), SECRET).unwrap();
}

pub(crate) fn guarded(upstream: &RawUpstream, lines: &str) -> GatewayBuilder {
    inspecting(upstream)
        .auth("main")
        .prepare(write_secret)
        .more(&format!("[jwt.main]\nalgorithms = [\"HS256\"]\nsecret = \"file:secret\"\n{lines}\n"))
}

pub(crate) fn token(user: &str, seconds: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({ "sub": user, "exp": now + seconds });
    encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET)).unwrap()
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
