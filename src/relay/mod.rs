//! Frames both ways until somebody closes. The frame rules are pure: bytes in, verdict out, no
//! socket and no clock; the pumps drive them from the sockets.
//!
//! A [`Gate`] judges what one endpoint sends. It names every rule it holds a frame to ([`Rule`]),
//! forwards bytes as they came, and never lets a byte of a frame pass before its header was judged.

mod budget;
mod close;
mod gate;
mod header;
mod hold;
mod mask;
mod reader;
mod rules;
mod utf8;
mod violation;

#[cfg(test)]
mod tests;

pub use budget::HoldBudget;
pub use close::{CloseFrame, ControlFrame, close_frame, control_frame};
pub use gate::{Event, Gate, Judged};
pub use header::{Header, HeaderBytes};
pub use rules::Limits;
pub use violation::{Rule, Violation};

/// One of the two ends that the gateway stands between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// Who connected to the gateway. Its frames are masked (RFC 6455 section 5.1).
    Client,
    /// The application. Its frames are not masked.
    Upstream,
}

impl Endpoint {
    /// The other end.
    #[must_use]
    pub fn opposite(self) -> Self {
        match self {
            Self::Client => Self::Upstream,
            Self::Upstream => Self::Client,
        }
    }

    /// "client" or "upstream", as logs have it.
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
