//! Frames both ways until somebody closes. The frame rules are pure: bytes in, verdict out, no
//! socket and no clock; the pumps drive them from the sockets.
//!
//! A [`Gate`] judges what one endpoint sends. It names every rule it holds a frame to ([`Rule`]),
//! forwards bytes as they came, and never lets a byte of a frame pass before its header was judged.
//! [`relay`] runs a session: two gates, two streams, deadlines, and the way to a clean end.

mod allowance;
mod budget;
mod clock;
mod close;
mod closing;
mod end;
mod gate;
mod gcra;
mod header;
mod hold;
mod inflate;
mod lease;
mod mask;
mod meter;
mod opening;
mod pair;
mod pump;
mod reader;
mod rules;
mod side;
mod terms;
mod utf8;
mod violation;

#[cfg(test)]
mod tests;

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::refusal::Reason;
use crate::transport::Transport;
pub use allowance::Allowance;
pub use budget::HoldBudget;
pub use close::{CloseFrame, ControlFrame, close_frame, control_frame};
pub use end::{Cause, SessionEnd};
pub use gate::{Event, Gate, Judged};
pub use header::{Header, HeaderBytes};
pub use inflate::Context;
pub use lease::{Lease, Renewal, Verifying};
pub use meter::Meter;
pub use opening::{LONGEST_OPENING, Opened, Opening};
use pair::Pair;
pub use rules::Limits;
pub use terms::{Amendments, Terms};
pub use violation::{Rule, Violation};

/// The two streams of a session, and what was read behind each side's handshake.
#[derive(Debug)]
pub struct Streams {
    /// Behind the 101 that the client got.
    pub client: Transport,
    /// Bytes that the client sent before it had its 101.
    pub client_early: Bytes,
    /// Behind the 101 that the upstream gave.
    pub upstream: Transport,
    /// Bytes that came right behind it.
    pub upstream_early: Bytes,
    /// How messages may be compressed; `None`: they may not.
    pub compression: Option<Contexts>,
}

/// What compressed messages of each end may refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contexts {
    /// Of the client's.
    pub client: Context,
    /// Of the upstream's.
    pub upstream: Context,
}

/// Relays frames between the two until the session ends, and closes both. `stop` resolves when the
/// gateway wants the session to end. What either end sent is published to `meter` whenever somebody
/// asked, and this task was woken; so are new terms taken.
pub async fn relay(
    streams: Streams,
    terms: Terms,
    budget: &HoldBudget,
    lease: Lease,
    stop: impl Future<Output = Reason>,
    outside: Outside<'_>,
) -> SessionEnd {
    let Outside { meter, amendments, would_refuse } = outside;
    let mut pair = Pair::new(streams, terms, budget, lease, Instant::now());
    let mut timer = pin!(tokio::time::sleep(FAR));
    let mut stop = pin!(stop);
    let mut stopped = false;
    poll_fn(|cx| {
        if !stopped && let Poll::Ready(reason) = stop.as_mut().poll(cx) {
            stopped = true;
            pair.stop(reason, Instant::now());
        }
        if let Some(terms) = amendments.take() {
            pair.amend(*terms, Instant::now());
        }
        let polled = pair.poll(cx, timer.as_mut());
        while let Some(reason) = pair.untold() {
            would_refuse(reason);
        }
        if meter.is_asked() {
            meter.publish(pair.client.gate.flow(), pair.upstream.gate.flow());
        }
        polled
    })
    .await;
    pair.into_end()
}

/// What a session that runs hears from outside, and says there.
#[derive(Clone, Copy)]
pub struct Outside<'a> {
    /// Where it publishes what was sent.
    pub meter: &'a Meter,
    /// Where it finds new terms.
    pub amendments: &'a Amendments,
    /// Called once for each reason for which limits that only report let something through.
    pub would_refuse: &'a (dyn Fn(Reason) + Sync),
}

/// A timer that is not armed yet.
const FAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Random bytes for masking keys and ping payloads. Should the system have none, zeros do: a
/// masking key keeps intermediaries from being confused (RFC 6455 section 10.3), and there is none
/// between the gateway and its upstream.
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let _ = getrandom::fill(&mut bytes);
    bytes
}

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
