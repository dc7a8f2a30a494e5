//! The application behind the gateway: picked, dialled, and its 101 verified. Takes an
//! [`Admission`], gives a connected [`Upstream`]; the client has had no answer yet.

mod attempt;
mod dial;
mod doubt;
mod exchange;
mod health;
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
use attempt::{Attempts, now};
pub use dial::Dialer;
use health::Turn;

/// A stream to an application that accepted the WebSocket.
#[derive(Debug)]
pub struct Upstream {
    /// The stream, behind the upstream's 101.
    pub stream: Transport,
    /// Bytes that came right behind the 101.
    pub early: Bytes,
    /// The header fields of the 101.
    pub headers: HeaderMap,
    /// The letters of their names.
    pub letters: Letters,
    /// The subprotocol that the upstream chose.
    pub subprotocol: Option<HeaderValue>,
    /// The compression that it accepted of what the client offered.
    pub deflate: Option<Deflate>,
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
    /// The letters of their names.
    pub letters: Letters,
    /// At most 64 KiB of its body.
    pub body: Bytes,
    /// Whether the body goes on.
    pub cut: bool,
}

/// How long the answer to a client may take.
#[derive(Debug, Clone, Copy)]
pub struct AnswerDeadlines {
    /// Until then the upstream must have answered.
    pub deadline: Instant,
    /// `handshake_timeout`: the time that a client leaves which does not take any for itself.
    pub whole: Duration,
}

/// Connects to an upstream of the admitted route and performs the opening handshake there, all by the
/// deadline. The upstreams are tried in their order, those that failed lately last. The next is tried
/// where one cannot be connected to within `dial_timeout`, or does not answer within its share of the
/// time that is left; one that answered is final, whatever it said. `subject` names the one that was
/// tried last.
pub(crate) async fn connect(
    dialer: &Dialer,
    journal: &Journal,
    admission: &Admission,
    request: &UpgradeRequest,
    provenance: Provenance<'_>,
    subject: &mut Option<Arc<str>>,
    allowance: AnswerDeadlines,
) -> Result<Upstream, Failure> {
    let targets = dialer.targets(admission.route());
    let mut attempts = Attempts {
        journal,
        admission,
        request,
        provenance,
        allowance,
        upstreams: targets.len(),
        missed: Vec::new(),
        reason: Reason::UpstreamUnavailable,
    };
    let mut resting = Vec::new();
    for target in targets {
        match target.health.turn(now(), now() + attempts.share()) {
            Turn::Now => {
                *subject = Some(Arc::clone(&target.name));
                if let Some(outcome) = attempts.attempt(target).await {
                    return outcome;
                }
            }
            Turn::Later(due) => resting.push((due, target)),
        }
    }
    resting.sort_by_key(|(due, _)| *due);
    for (_, target) in resting {
        *subject = Some(Arc::clone(&target.name));
        if let Some(outcome) = attempts.attempt(target).await {
            return outcome;
        }
    }
    Err(refused(attempts.reason, attempts.missed.join("; ")))
}

fn refused(reason: Reason, detail: String) -> Failure {
    Failure::Refused(Refusal::new(reason, detail))
}
