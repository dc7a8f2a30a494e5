//! The records, as the rooms hand them over.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::values::Endpoint;
use crate::values::Flow;
use crate::values::Reason;
use crate::values::RequestSummary;
use crate::values::clock_is_sound;

/// Whom a record is about; filled in as the connection goes on its way.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Names the connection in every record, in the problem body and in X-Request-Id.
    pub request_id: String,
    /// The client's address, canonical; behind a trusted proxy the one that the proxy gave.
    pub peer: SocketAddr,
    /// Known once a route was found.
    pub route: Option<Arc<str>>,
    /// What upstream and client agreed on.
    pub subprotocol: Option<String>,
    /// Offered subprotocols that the route does not list.
    pub unlisted: Option<String>,
    /// Whom the token names; known once it was verified.
    pub user: Option<String>,
    /// What its request asked for; known from the head to the 101.
    pub request: Option<Box<RequestSummary>>,
    /// The upstream that the session is with, or the last that was tried.
    pub upstream: Option<Arc<str>>,
}

/// An id of a connection. A clock that says no time from 1970 to 9999 gives ids without order.
fn request_id() -> uuid::Uuid {
    if clock_is_sound() {
        uuid::Uuid::now_v7()
    } else {
        uuid::Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, 0, 0))
    }
}

impl Subject {
    /// A connection of which only its peer is known, with an id of its own (UUID version 7, RFC
    /// 9562: ids sort by time).
    #[must_use]
    pub fn new(peer: SocketAddr) -> Self {
        Self {
            request_id: request_id().to_string(),
            peer,
            route: None,
            subprotocol: None,
            unlisted: None,
            user: None,
            request: None,
            upstream: None,
        }
    }
}

/// How a session ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// Which end closed, or was at fault; `None` is the gateway itself.
    pub by: Option<Endpoint>,
    /// The reason of the table.
    pub reason: Reason,
    /// The close code that crossed the wire, if one did.
    pub code: Option<u16>,
    /// More than the reason says, for the log alone.
    pub detail: Option<String>,
    /// From the 101 to the end.
    pub duration: Duration,
    /// What the client sent.
    pub client: Flow,
    /// What the upstream sent.
    pub upstream: Flow,
    /// How often limits that only report let something through.
    pub let_through: u64,
}

/// A frame that breaks a rule, as precisely as it can be said without its payload.
#[derive(Debug, Clone, Copy)]
pub struct ProtocolError<'a> {
    /// The reason of the table.
    pub reason: Reason,
    /// Which end sent the frame.
    pub from: Endpoint,
    /// Where the frame begins: bytes of this direction before it, counted from the 101.
    pub frame_offset: u64,
    /// The byte at which the rule was broken, counted likewise.
    pub offset: u64,
    /// The frame's header as far as it was read: 14 bytes at most (RFC 6455 section 5.2), more are
    /// not written.
    pub header: &'a [u8],
    /// What the header says, decoded: `FIN=1 RSV=000 opcode=text MASK=1 length=5`.
    pub decoded: &'a str,
    /// The section of RFC 6455, or the key of the configuration, that the rule is from.
    pub section: &'a str,
    /// The rule, in one sentence.
    pub rule: &'a str,
}

impl ProtocolError<'_> {
    /// Which way the frame went.
    #[must_use]
    pub fn direction(&self) -> &'static str {
        match self.from {
            Endpoint::Client => "client to upstream",
            Endpoint::Upstream => "upstream to client",
        }
    }
}
