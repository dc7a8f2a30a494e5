//! What keeps the application from too many, too much and the wrong ones, against the running
//! gateway; and how all of it changes while sessions live.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../support/mod.rs"]
mod support;

mod explain;
mod files;
mod firewall;
mod flood;
mod limits;
mod reload;
mod strikes;

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::json;
use support::{Authority, Gateway, GatewayBuilder, RawUpstream, Request};

const SECRET: &[u8] = b"a secret of the tests that is long enough for SHA-256";

fn write_secret(folder: &Path, _: &Authority) {
    std::fs::write(folder.join("secret"), SECRET).unwrap();
}

/// A gateway whose route wants a token of `[jwt.main]`.
fn guarded(upstream: &RawUpstream) -> GatewayBuilder {
    Gateway::to(&[upstream.address()])
        .auth("main")
        .prepare(write_secret)
        .more("[jwt.main]\nalgorithms = [\"HS256\"]\nsecret = \"file:secret\"\n")
}

/// A handshake with a token of `user`'s that is valid for an hour, and says `role`.
fn as_user(user: &str, role: &str) -> Request {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({ "sub": user, "exp": now + 3600, "role": role });
    let token = encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET)).unwrap();
    Request::upgrade("/ws").and("Authorization", &format!("Bearer {token}"))
}

/// A token of `user`'s that ends `seconds` from now.
fn token(user: &str, seconds: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({ "sub": user, "exp": now + seconds });
    encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET)).unwrap()
}
