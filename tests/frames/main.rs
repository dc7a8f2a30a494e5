//! Frames, good and bad, against the running gateway, in both directions: the offender is told the
//! rule, the other end that it is over, and no byte of the offence crosses.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../support/mod.rs"]
mod support;

mod client;
mod limits;
mod offences;
mod passing;
mod upstream;
