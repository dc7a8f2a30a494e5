//! Connects to the application behind the gateway. `connect` takes an [`Admission`], picks an upstream, dials
//! it, verifies its 101, and gives a connected [`Upstream`]; `forward` takes a plain request and gives the head
//! of an answer, with its body to come. The client has had no answer yet, unless its token is in the first message.

mod attempt;
mod balance;
mod body;
mod check;
mod checks;
mod dial;
mod exchange;
mod health;
mod load;
mod lookup;
mod plain;
mod pool;
mod resolve;
mod servers;
mod slow_start;
mod target;
mod turns;
mod verify;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::time::Instant;

use crate::handshake::{Deflate, Letters, Provenance, UpgradeRequest};
use crate::journal::Journal;
use crate::policy::Admission;
use crate::tls::transport::Transport;
use crate::values::{Reason, Refusal};
use attempt::Attempts;
pub(crate) use body::{HeldBody, RequestContent};
pub use dial::Dialer;
use load::Need;
pub(crate) use plain::{AnswerBody, PlainAnswer, PlainCall, forward};
pub use target::Live;
pub(crate) use target::configured_server;
use turns::Turn;
pub(crate) use turns::{Affinity, Turns};

/// A stream to an application that accepted the WebSocket.
#[derive(Debug)]
pub struct Upstream {
    /// The stream, after the upstream's 101.
    pub stream: Transport,
    /// Bytes that followed the 101.
    pub early: Bytes,
    /// The header fields of the 101.
    pub headers: HeaderMap,
    /// The letter case of their names.
    pub letters: Letters,
    /// The subprotocol that the upstream chose.
    pub subprotocol: Option<HeaderValue>,
    /// The compression that the upstream accepted among the client's offers.
    pub deflate: Option<Deflate>,
    /// Counts for the server until the session ends.
    pub live: Live,
}

/// Why there is no upstream.
#[derive(Debug)]
pub enum Failure {
    /// The gateway refuses on the upstream's behalf.
    Refused(Refusal),
    /// The upstream refused by itself, with an answer that the client gets.
    Answered(Answer),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// An upstream's answer of 300 and above.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its header fields, hop-by-hop ones included.
    pub headers: HeaderMap,
    /// The letter case of their names.
    pub letters: Letters,
    /// At most 64 KiB of its body.
    pub body: Bytes,
    /// Whether the body has more bytes.
    pub cut: bool,
}

/// How long the answer to a client may take.
#[derive(Debug, Clone, Copy)]
pub struct AnswerDeadlines {
    /// By then the upstream must have answered.
    pub deadline: Instant,
    /// `handshake_timeout`: the time that is left if the client causes no delay.
    pub whole: Duration,
}

/// Connects to an upstream of the admitted route and performs the opening handshake there, all by the
/// deadline. Upstreams are tried in the order of `turns`. The next one is tried if an
/// upstream does not accept a connection within `dial_timeout`, or does not answer within its share of the
/// time that is left; any answer is final. `subject` names the upstream that was tried last.
pub(crate) async fn connect(
    mut turns: Turns,
    journal: &Journal,
    admission: &Admission,
    request: &UpgradeRequest,
    provenance: Provenance<'_>,
    subject: &mut Option<Arc<str>>,
    allowance: AnswerDeadlines,
) -> Result<Upstream, Failure> {
    if let Some(refusal) = turns.drained.take() {
        return Err(refusal.into());
    }
    let mut attempts = Attempts {
        journal,
        admission,
        request,
        provenance,
        allowance,
        upstreams: turns.left(),
        missed: Vec::new(),
        reason: Reason::UpstreamUnavailable,
    };
    while let Some(Turn { target, permits }) =
        turns.next(Need::Handshake, allowance, journal).await?
    {
        *subject = Some(Arc::clone(&target.name));
        if let Some(outcome) = attempts.attempt(target, permits).await {
            return outcome;
        }
    }
    Err(refused(attempts.reason, attempts.missed.join("; ")))
}

fn refused(reason: Reason, detail: String) -> Failure {
    Failure::Refused(Refusal::new(reason, detail))
}
