//! The kinds of requests that a route may serve.

use std::fmt;

/// Whether a request asks for a WebSocket (RFC 6455 section 4.1) or for anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestKind {
    /// Its field Upgrade names websocket.
    WebSocket,
    /// A plain HTTP request.
    Http,
}

impl RequestKind {
    /// The names in the configuration.
    pub const NAMES: [(&'static str, Self); 2] =
        [("websocket", Self::WebSocket), ("http", Self::Http)];
}

impl fmt::Display for RequestKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::NAMES.iter().find(|(_, kind)| kind == self);
        f.write_str(name.map_or("", |(name, _)| name))
    }
}
