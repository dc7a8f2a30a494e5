//! permessage-deflate (RFC 7692) through the running gateway: what is negotiated, what crosses, and
//! what is refused by what it inflates to.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../support/mod.rs"]
mod support;

mod bombs;
mod client;
mod handover;
mod negotiation;
mod peers;
mod ratio;
mod upstream;

use support::{Gateway, GatewayBuilder, RawUpstream, Request, Session};

const FIELD: &str = "Sec-WebSocket-Extensions";
const ACCEPTED: &str = "Sec-WebSocket-Extensions: permessage-deflate\r\n";

/// A gateway that lets compression be negotiated.
fn inspecting(upstream: &RawUpstream) -> GatewayBuilder {
    Gateway::to(&[upstream.address()]).websocket("compression = \"inspect\"")
}

fn offering(offer: &str) -> Request {
    Request::upgrade("/ws").and(FIELD, offer)
}

/// A session in which both ends may compress.
fn open(gateway: &Gateway, upstream: &RawUpstream) -> Session {
    Session::open_with(gateway, upstream, &offering("permessage-deflate"), ACCEPTED)
}
