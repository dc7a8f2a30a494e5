//! What breaks, stalls or vanishes at either end, and the gateway's own end.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../support/mod.rs"]
mod support;

mod balance;
mod client;
mod clock;
mod deadlines;
mod drain;
mod failover;
mod health;
mod probes;
mod scaling;
mod shutdown;
mod signals;
mod slow;
mod storm;
mod systemd;
mod upgrade;
mod upstream;
