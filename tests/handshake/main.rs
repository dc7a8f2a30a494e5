//! Opening handshakes, good and bad, against the running gateway: what the client is told, what
//! the application saw of it, and what the log says.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod early_data;
mod headers;
mod heads;
mod hosts;
mod keep_alive;
mod letters;
mod origin;
mod proxied;
mod requests;
mod targets;
mod tls;
