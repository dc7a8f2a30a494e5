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
mod opening;
mod parsers;
mod places;
mod refusals;
mod revocation;

use std::process::Command;

use support::{Gateway, GatewayBuilder, RawUpstream, SECRET, now, sign, sign_with, write_secret};

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

/// A token of `user` that is valid for an hour.
fn token(user: &str) -> String {
    support::token(user, 3600)
}
