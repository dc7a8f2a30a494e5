//! The two peers of a session.

/// One of the two peers that the gateway relays between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// The peer that connected to the gateway. Its frames are masked (RFC 6455 section 5.1).
    Client,
    /// The application. Its frames are not masked.
    Upstream,
}

impl Endpoint {
    /// The other peer of the session.
    #[must_use]
    pub fn opposite(self) -> Self {
        match self {
            Self::Client => Self::Upstream,
            Self::Upstream => Self::Client,
        }
    }

    /// The name in logs: "client" or "upstream".
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Upstream => "upstream",
        }
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
