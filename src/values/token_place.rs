//! Where a client presents its token.

use std::fmt;

use http::HeaderName;

/// One entry of `token_from`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenPlace {
    /// `Authorization: Bearer TOKEN`.
    Header,
    /// `Sec-WebSocket-Protocol`: `bearer.TOKEN`, or the base64url form that Kubernetes and Jupyter
    /// use.
    Subprotocol,
    /// A query parameter.
    Query(String),
    /// A cookie.
    Cookie(String),
    /// Another header field than Authorization: the token, or `Bearer TOKEN`.
    Field(HeaderName),
    /// The first text message: only the token, or `{"token": "..."}`.
    Message,
}

impl fmt::Display for TokenPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => f.write_str("header"),
            Self::Subprotocol => f.write_str("subprotocol"),
            Self::Query(name) => write!(f, "query:{name}"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
            Self::Field(name) => write!(f, "header:{name}"),
            Self::Message => f.write_str("message"),
        }
    }
}
