//! The rules of `[routes.NAME.messages]` and `replies` against the running gateway: a message that breaks one does not
//! reach the other end, however it is cut, fragmented or compressed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../support/mod.rs"]
mod support;

mod docs;
mod explain;
mod observe;
mod packed;
mod passing;
mod protocols;
mod rules;
mod strikes;
mod types;

use std::path::Path;

use serde_json::{Value, json};
use support::{
    Authority, Frame, Gateway, GatewayBuilder, RawUpstream, Request, Session, now, sign,
    write_secret,
};

/// A schema of chat messages.
const SCHEMA: &str = r#"{
    "type": "object",
    "properties": {
        "action": { "type": "string" },
        "room": { "type": "string" },
        "email": { "type": "string", "format": "email" },
        "next": { "$ref": "parts/next.json" }
    },
    "required": ["action"],
    "additionalProperties": false
}"#;

/// A gateway whose route has these rules; its folder has the schema `chat.json`.
fn ruled(upstream: &RawUpstream, tables: &str) -> GatewayBuilder {
    Gateway::to(&[upstream.address()]).prepare(write_files).more(tables)
}

/// The same for clients with a token.
fn guarded(upstream: &RawUpstream, tables: &str) -> GatewayBuilder {
    let issuer = "[jwt.main]\nalgorithms = [\"HS256\"]\nsecret = \"file:secret\"";
    ruled(upstream, tables).auth("main").more(issuer)
}

fn write_files(folder: &Path, authority: &Authority) {
    write_secret(folder, authority);
    std::fs::write(folder.join("chat.json"), SCHEMA).unwrap();
    std::fs::create_dir(folder.join("parts")).unwrap();
    std::fs::write(folder.join("parts/next.json"), r#"{ "type": "integer" }"#).unwrap();
}

/// A request with a token of `ada` that has these claims, too.
fn with(claims: &Value) -> Request {
    let mut all = json!({ "sub": "ada", "exp": now() + 600 });
    all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
    Request::upgrade("/ws").and("Authorization", &format!("Bearer {}", sign(&all)))
}

/// The client says `frame`, and the application gets it.
fn passes(session: &mut Session, frame: &Frame) {
    session.client.say(frame.clone());
    session.upstream.expect_frame(frame.clone());
}

/// The client says `frame` and is closed for it, and the application gets none of it.
fn closes(session: &mut Session, frame: &Frame, code: u16, reason: &str) {
    session.client.say(frame.clone());
    session.client.expect_closing(code, reason);
    session.upstream.expect_closing(1001, reason);
}
