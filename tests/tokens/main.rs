//! Tokens against the running gateway: who is let in, as whom, and for how long.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../support/mod.rs"]
mod support;

mod claims;
mod explain;
mod first_message;
mod hold;
mod issuers;
mod jwks;
mod lifetime;
mod parsers;
mod places;
mod refusals;
mod revocation;

use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};
use support::{Authority, Gateway, GatewayBuilder, RawUpstream};

const SECRET: &[u8] = b"a secret of the tests that is long enough for SHA-512, whatever it is 4";

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn write_secret(folder: &Path, _: &Authority) {
    std::fs::write(folder.join("secret"), SECRET).unwrap();
}

/// A gateway whose route wants a token of `[jwt.main]`, HS256; `lines` are more of that table.
fn guarded(upstream: &RawUpstream, lines: &str) -> GatewayBuilder {
    Gateway::to(&[upstream.address()])
        .auth("main")
        .prepare(write_secret)
        .more(&format!("[jwt.main]\nalgorithms = [\"HS256\"]\nsecret = \"file:secret\"\n{lines}\n"))
}

/// Runs a command of the admin client; returns its exit code and what it printed.
fn admin(gateway: &Gateway, arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_framewall"))
        .args(arguments)
        .args(["--config", "framewall.toml"])
        .current_dir(gateway.folder())
        .output()
        .unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

fn sign(claims: &Value) -> String {
    sign_with(SECRET, claims)
}

fn sign_with(secret: &[u8], claims: &Value) -> String {
    encode(&Header::default(), claims, &EncodingKey::from_secret(secret)).unwrap()
}

/// A token of `user` that is valid for an hour.
fn token(user: &str) -> String {
    sign(&json!({ "sub": user, "exp": now() + 3600 }))
}
