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

use serde_json::json;
use support::{Gateway, GatewayBuilder, RawUpstream, Request, now, sign, token, write_secret};

/// A gateway whose route wants a token of `[jwt.main]`.
fn guarded(upstream: &RawUpstream) -> GatewayBuilder {
    Gateway::to(&[upstream.address()])
        .auth("main")
        .prepare(write_secret)
        .more("[jwt.main]\nalgorithms = [\"HS256\"]\nsecret = \"file:secret\"\n")
}

/// A handshake with a token of `user`'s that is valid for an hour, and says `role`.
fn as_user(user: &str, role: &str) -> Request {
    let token = sign(&json!({ "sub": user, "exp": now() + 3600, "role": role }));
    Request::upgrade("/ws").and("Authorization", &format!("Bearer {token}"))
}
