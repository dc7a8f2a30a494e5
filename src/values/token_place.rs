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
    /// The first message, which opens a protocol.
    Opening(OpeningPlace),
}

/// The place of a token in the message that opens a protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpeningPlace {
    /// A member of the payload of `connection_init` of graphql-ws.
    ConnectionInit(String),
    /// A member of the auth of CONNECT of Socket.IO.
    SocketIo(String),
    /// A header of CONNECT of STOMP.
    Stomp(String),
    /// The password of CONNECT of MQTT.
    Mqtt,
}

impl TokenPlace {
    /// Whether the token comes in a message, after the handshake.
    #[must_use]
    pub fn is_in_message(&self) -> bool {
        matches!(self, Self::Message | Self::Opening(_))
    }
}

impl OpeningPlace {
    /// Reads `connection_init:NAME`, `socketio:NAME`, `stomp:HEADER` or `mqtt`; `None` for any other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text == "mqtt" {
            return Some(Self::Mqtt);
        }
        let (kind, name) = text.split_once(':')?;
        let plain = |character: char| character.is_ascii_graphic() && character != ':';
        if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
            return None;
        }
        match kind {
            "connection_init" => Some(Self::ConnectionInit(name.to_owned())),
            "socketio" => Some(Self::SocketIo(name.to_owned())),
            "stomp" => Some(Self::Stomp(name.to_owned())),
            _ => None,
        }
    }
}

impl fmt::Display for OpeningPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConnectionInit(name) => write!(f, "connection_init:{name}"),
            Self::SocketIo(name) => write!(f, "socketio:{name}"),
            Self::Stomp(name) => write!(f, "stomp:{name}"),
            Self::Mqtt => f.write_str("mqtt"),
        }
    }
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
            Self::Opening(place) => place.fmt(f),
        }
    }
}
