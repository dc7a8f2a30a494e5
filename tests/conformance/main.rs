//! As strict as the standard: the families of cases that the Autobahn test suite is known for,
//! written as data from RFC 6455, against the running gateway in both directions.
//!
//! A [`Case`] says what one end sends, what of it arrives and how the session ends; [`drive`] sends
//! it once from the client and once from the application, and what is in order once through a real
//! echo. Each is driven once more beside compressed messages, in a session that agreed on them.
//! `docs/conformance.md` has the counts and the table of rules, and is held to both.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../support/mod.rs"]
mod support;

mod agreement;
mod automatic;
mod case;
mod closing;
mod compressed;
mod docs;
mod drive;
mod echo;
mod family;
mod fragments;
mod framing;
mod opcodes;
mod parameters;
mod peers;
mod pings;
mod reserved;
mod sizes;
mod utf8;

use case::Case;
use family::Family;

/// Every family, in the order of `docs/conformance.md`.
const FAMILIES: [Family; 11] = [
    framing::FAMILY,
    pings::FAMILY,
    reserved::FAMILY,
    opcodes::FAMILY,
    fragments::FAMILY,
    utf8::FAMILY,
    closing::FAMILY,
    sizes::FAMILY,
    automatic::FAMILY,
    compressed::FAMILY,
    parameters::FAMILY,
];
