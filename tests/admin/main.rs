//! The admin client and its socket against the running gateway: what it shows, what it ends, what it
//! refuses, and whom it lets in.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../support/mod.rs"]
mod support;

mod bans;
mod client;
mod commands;
mod library;
mod socket;
