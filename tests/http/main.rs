//! Plain HTTP beside sockets, against the running gateway: requests and answers, their bodies, and the
//! connections that carry them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../support/mod.rs"]
mod support;

mod access;
mod bodies;
mod connections;
mod endings;
mod forwarding;
mod redirect;
mod smuggling;

use std::net::SocketAddr;

use support::{Gateway, GatewayBuilder as Builder, Request, Response, Wire};

/// A gateway whose one route serves handshakes and plain requests on every path.
fn serving(upstreams: &[SocketAddr]) -> Builder {
    Gateway::to(upstreams).path("/*").route("serve = [\"websocket\", \"http\"]")
}

/// A plain request.
fn plain(line: &str) -> Request {
    Request::with_line(line)
        .without("Upgrade")
        .without("Connection")
        .without("Sec-WebSocket-Version")
        .without("Sec-WebSocket-Key")
}

fn get(path: &str) -> Request {
    plain(&format!("GET {path} HTTP/1.1"))
}

/// Reads a request head, and gives this answer.
fn answer(application: &mut Wire, answer: &str) -> Response {
    let request = application.read_head();
    application.send(answer.as_bytes());
    request
}

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
