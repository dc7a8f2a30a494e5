//! The application behind the gateway: picked, dialled, and its 101 verified. Takes an
//! [`Admission`], gives a connected [`Upstream`]; the client has had no answer yet.

mod dial;
mod exchange;
mod verify;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;

use crate::handshake::{Deflate, Letters, Provenance, UpgradeRequest, upstream_request};
use crate::policy::Admission;
use crate::refusal::{Reason, Refusal};
use crate::transport::Transport;
pub use dial::Dialer;

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

/// Connects to the first upstream of the admitted route that can be connected to, and performs the
/// opening handshake there, all by `deadline`. Once a request was sent no other upstream is tried.
pub async fn connect(
    dialer: &Dialer,
    admission: &Admission,
    request: &UpgradeRequest,
    provenance: Provenance<'_>,
    deadline: Instant,
) -> Result<Upstream, Failure> {
    let key = generate_key();
    let forwarded = upstream_request(request, provenance, admission.subprotocols(), &key)
        .map_err(|error| refused(Reason::HandshakeMalformed, error.to_string()))?;
    let (stream, address) =
        dialer.dial(admission.route(), deadline).await.map_err(Failure::Refused)?;
    let exchange = exchange::exchange(stream, forwarded);
    let Ok(outcome) = tokio::time::timeout_at(deadline, exchange).await else {
        let detail =
            format!("server.handshake_timeout: {address} did not answer the handshake in time");
        return Err(refused(Reason::UpstreamTimeout, detail));
    };
    let invalid = |what: String| {
        refused(Reason::UpstreamHandshake, format!("the answer of {address} is refused: {what}"))
    };
    match outcome.map_err(|error| invalid(error.to_string()))? {
        exchange::Outcome::Answered(answer) => Err(Failure::Answered(answer)),
        exchange::Outcome::Switched { stream, early, headers, letters } => {
            let (subprotocols, offers) = (admission.subprotocols(), request.offers());
            let verify::Chosen { subprotocol, deflate } =
                verify::switching_protocols(&headers, &key, subprotocols, offers)
                    .map_err(|what| invalid(what.to_owned()))?;
            Ok(Upstream { stream, early, headers, letters, subprotocol, deflate })
        }
    }
}

fn refused(reason: Reason, detail: String) -> Failure {
    Failure::Refused(Refusal::new(reason, detail))
}
