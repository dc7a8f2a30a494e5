//! The connection that an event is about.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::values::{RequestSummary, UserKey, clock_is_sound};

/// Describes a connection to the journal; filled in while the connection proceeds.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The id of the connection in every record, in the problem body and in X-Request-Id.
    pub request_id: String,
    /// The client's address, canonical; behind a trusted proxy, the address that the proxy forwarded.
    pub peer: SocketAddr,
    /// The route, once one was found.
    pub route: Option<Arc<str>>,
    /// The subprotocol that the upstream selected.
    pub subprotocol: Option<String>,
    /// The subprotocols that the client offered and the route does not list.
    pub unlisted: Option<String>,
    /// The user in the token, once the token was verified.
    pub user: Option<UserKey>,
    /// The method, host and path of the request, from the parsed head to the 101.
    pub request: Option<Box<RequestSummary>>,
    /// The upstream of the session, or the last one that was tried.
    pub upstream: Option<Arc<str>>,
}

/// Creates the id of a connection. If the clock is outside of 1970 to 9999, ids do not sort by time.
fn request_id() -> uuid::Uuid {
    if clock_is_sound() {
        uuid::Uuid::now_v7()
    } else {
        uuid::Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, 0, 0))
    }
}

impl Subject {
    /// A subject that knows only the peer, with a new id (UUID version 7, RFC 9562: ids sort by time).
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
