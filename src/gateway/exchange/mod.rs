//! One TCP connection from accept to its session, under one deadline up to the 101. Its task ends where the
//! session's task begins, so that the state of the handshake is freed.

mod reception;

use std::cell::Cell;
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::config::{ProxyProtocol, Server};
use crate::gateway::listen::{Slot, Slots, read_header};
use crate::gateway::runtime::{Current, InForce, Runtime};
use crate::gateway::session::{Permits, Reporter, Session, SessionStarter};
use crate::handshake::{self, HeadBudget, HeadLimits, HeadTap, Peer, RawHead, Respelled, Spelling};
use crate::journal::{self, Event, Subject};
use crate::policy::AddressAdmission;
use crate::state::State;
use crate::tls::transport::Transport;
use crate::tls::{ClientCertificate, PROXY_HEADER_UNASKED, Terminated, describe_failure};
use crate::values::AddressKey;
use crate::values::Offence;
use crate::values::clock_is_sound;
use crate::values::spoken::Spoken;
use crate::values::{Reason, Refusal};
use reception::{Established, Reception};

/// How long a connection that is accepted during a stop has for its request.
const FAREWELL_WITHIN: Duration = Duration::from_secs(2);
/// How long an answer may take to be written once the deadline has passed.
const ANSWER_GRACE: Duration = Duration::from_secs(2);

/// The bytes that request heads beyond 16 KiB may hold together, and those of the connections of one
/// address.
const HEADS: usize = 64 * 1024 * 1024;
const HEADS_PER_ADDRESS: usize = 8 * 1024 * 1024;

/// Serves accepted connections up to their 101.
#[derive(Debug)]
pub(crate) struct Exchanges {
    runtime: Runtime,
    current: Arc<Current>,
    state: Arc<State>,
    sessions: Arc<SessionStarter>,
    reporter: Arc<Reporter>,
    slots: Slots,
    heads: HeadBudget,
}

/// A connection from which nothing was read yet.
struct Accepted {
    stream: TcpStream,
    /// The peer, canonical.
    address: SocketAddr,
    slot: Slot,
    /// The admission of the address; `None` for a trusted proxy, whose client is not known yet.
    admitted: Option<AddressAdmission>,
    /// The configuration that decides about the connection up to its 101.
    in_force: Arc<InForce>,
}

impl Exchanges {
    pub(crate) fn new(
        runtime: Runtime,
        current: Arc<Current>,
        state: Arc<State>,
        sessions: Arc<SessionStarter>,
        reporter: Arc<Reporter>,
    ) -> Self {
        let heads = HeadBudget::new(HEADS, HEADS_PER_ADDRESS);
        Self { runtime, current, state, sessions, reporter, slots: Slots::default(), heads }
    }

    /// Serves a connection in a task of its own, or drops it without an answer.
    pub(crate) fn accept(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        let in_force = self.current.get();
        let admitted = match self.admit_peer(peer.ip(), &in_force) {
            Ok(admitted) => admitted,
            Err(refusal) => return self.reporter.dropped(peer, &refusal),
        };
        let Some(slot) = self.slots.take(in_force.server.max_connections) else {
            let full = Refusal::new(Reason::Capacity, "max_connections is reached");
            return self.reporter.dropped(peer, &full);
        };
        let accepted = Accepted { stream, address: peer, slot, admitted, in_force };
        let serving = serve(Arc::clone(self), accepted);
        if self.runtime.is_stopping() {
            Runtime::spawn_unawaited(serving);
        } else {
            self.runtime.spawn(serving);
        }
    }

    /// Admits the peer's address; `None` for a trusted proxy, whose client is known later.
    fn admit_peer(
        &self,
        peer: IpAddr,
        in_force: &InForce,
    ) -> Result<Option<AddressAdmission>, Refusal> {
        if Peer::is_trusted(peer, &in_force.server.trusted_proxies) {
            return Ok(None);
        }
        in_force.policy.checks(peer).admit_address(&self.state).map(Some)
    }
}

/// Takes an accepted connection to a session, or refuses it.
async fn serve(exchanges: Arc<Exchanges>, accepted: Accepted) {
    let Accepted { stream, address, slot, mut admitted, in_force } = accepted;
    let mut deadline = Instant::now() + in_force.server.handshake_timeout;
    let mut patience = exchanges.runtime.stopping().clone();
    // The connection was accepted during a stop: the client only learns that the gateway stops.
    if patience.is_cancelled() {
        patience = CancellationToken::new();
        deadline = deadline.min(Instant::now() + FAREWELL_WITHIN);
    }
    let mut subject = Subject::new(address);
    if !clock_is_sound() {
        let now = "this machine's clock says no time from 1970 to 9999: set it";
        return exchanges.reporter.connection_error(&subject, Reason::Internal, now);
    }
    let mut heard = false;
    let securing = secure(&exchanges, &in_force, stream, &mut subject, &mut admitted, &mut heard);
    let securing = timeout_at(deadline, securing);
    let Some(securing) = patience.run_until_cancelled(securing).await else {
        return;
    };
    let secured = match securing {
        Ok(secured) => secured,
        Err(_) => Err(Refusal::new(
            Reason::HandshakeTimeout,
            "server.handshake_timeout: the PROXY protocol header or the TLS handshake took too long",
        )),
    };
    match secured {
        Ok(secured) => {
            let connection = Connection {
                exchanges,
                in_force,
                subject,
                slot,
                address: admitted,
                deadline,
                patience,
            };
            connection.exchange(secured).await;
        }
        Err(refusal) if journal::is_error(refusal.reason) && !heard => {
            let detail = "nothing was sent before TLS";
            exchanges.reporter.journal().record(Event::Silent { subject: &subject, detail });
        }
        Err(refusal) if journal::is_error(refusal.reason) => {
            exchanges.reporter.connection_error(&subject, refusal.reason, &refusal.detail);
        }
        Err(refusal) => exchanges.reporter.dropped(subject.peer, &refusal),
    }
}

/// A connection that is ready for HTTP, after the PROXY protocol header and TLS.
struct Secured {
    stream: Transport,
    peer: Peer,
    server_name: Option<String>,
    certificate: Option<ClientCertificate>,
}

/// Waits for the first byte. Returns `false` if the connection ended without one.
async fn speaks(stream: &TcpStream) -> bool {
    matches!(stream.peek(&mut [0]).await, Ok(count) if count > 0)
}

/// Reads the PROXY protocol header and performs the TLS handshake, as far as they are configured. Sets
/// `heard` once the client, and not only its proxy, sent a byte.
async fn secure(
    exchanges: &Exchanges,
    in_force: &InForce,
    mut stream: TcpStream,
    subject: &mut Subject,
    admitted: &mut Option<AddressAdmission>,
    heard: &mut bool,
) -> Result<Secured, Refusal> {
    let trusted = &in_force.server.trusted_proxies;
    let mut own = false;
    if in_force.server.proxy_protocol == ProxyProtocol::Required {
        let malformed = |detail: String| Refusal::new(Reason::ProxyMalformed, detail);
        if !Peer::is_trusted(subject.peer.ip(), trusted) {
            // The header is not awaited, and the log must say why this peer cannot connect.
            *heard = true;
            return Err(malformed("the peer is not in trusted_proxies".to_owned()));
        }
        *heard = speaks(&stream).await;
        let client =
            read_header(&mut stream).await.map_err(|error| malformed(error.to_string()))?;
        own = client.is_none();
        subject.peer = client.unwrap_or(subject.peer);
        if !Peer::is_trusted(subject.peer.ip(), trusted) {
            *admitted = exchanges.admit_peer(subject.peer.ip(), in_force)?;
        }
    }
    let peer = Peer {
        address: subject.peer,
        trusted: Peer::is_trusted(subject.peer.ip(), trusted),
        tls: in_force.terminator.is_some(),
        own,
    };
    let Some(terminator) = &in_force.terminator else {
        let stream = Transport::Tcp(stream);
        return Ok(Secured { stream, peer, server_name: None, certificate: None });
    };
    *heard = false;
    *heard = speaks(&stream).await;
    let Terminated { stream, server_name, certificate } = terminator
        .accept(stream)
        .await
        .map_err(|error| Refusal::new(Reason::TlsFailed, describe_failure(&error)))?;
    let stream = Transport::Tls(stream);
    Ok(Secured { stream, peer, server_name, certificate })
}

/// A connection that awaits its one request.
struct Connection {
    exchanges: Arc<Exchanges>,
    in_force: Arc<InForce>,
    subject: Subject,
    slot: Slot,
    address: Option<AddressAdmission>,
    deadline: Instant,
    /// Cancelled when clients that have sent no request are not waited for any longer.
    patience: CancellationToken,
}

impl Connection {
    /// Serves one request; then starts a session, or closes the connection.
    async fn exchange(self, secured: Secured) {
        let Self { exchanges, in_force, mut subject, slot, address, deadline, patience } = self;
        let Secured { stream, peer, server_name, certificate } = secured;
        let reporter = &exchanges.reporter;
        let (mut tap, head) = HeadTap::new(stream);
        let Server { max_head, max_fields, .. } = in_force.server;
        let limits = HeadLimits { bytes: max_head, fields: max_fields };
        let client = address.is_some().then(|| AddressKey::from(peer.address.ip()));
        let mut share = exchanges.heads.share(client);
        // When the gateway stops, it does not wait for a client that has sent no request.
        let gathering = timeout_at(deadline, tap.gather(limits, &mut share));
        let Some(gathered) = patience.run_until_cancelled(gathering).await else {
            return;
        };
        match gathered {
            Ok(Ok(())) => {}
            Ok(Err(fault)) => {
                drop(share);
                subject.request = Some(Box::new(head.summary()));
                return refuse_head(reporter, tap.into_parts().0, &fault.into(), &subject).await;
            }
            Err(_) => {
                drop(share);
                let stream = tap.into_parts().0;
                return conclude(reporter, stream, None, &head, subject, &peer).await;
            }
        }
        let (established, mut admitted) = oneshot::channel();
        let early_subject = subject.clone();
        let reception = Cell::new(Some(Reception {
            exchanges: Arc::clone(&exchanges),
            in_force: Arc::clone(&in_force),
            peer,
            server_name,
            certificate,
            head: head.clone(),
            subject,
            full: matches!(slot, Slot::Told(_)),
            address,
            deadline,
            established,
        }));
        let service = service_fn(move |request| {
            let reception = reception.take();
            Box::pin(async move {
                match reception {
                    Some(reception) => Ok(reception.answer(request).await),
                    None => Err(SecondRequest),
                }
            })
        });
        let mut connection = http1::Builder::new()
            .title_case_headers(true)
            .preserve_header_case(true)
            .header_read_timeout(None)
            .max_headers(max_fields)
            .max_header_size(max_head)
            .max_buf_size(max_head)
            .serve_connection(TokioIo::new(Respelled::new(tap, Spelling::default())), service);
        let mut served = std::pin::pin!(poll_fn(|cx| connection.poll_without_shutdown(cx)));
        // Nor for a client with an incomplete request head.
        let abandoned = async {
            patience.cancelled().await;
            if head.is_complete() {
                std::future::pending::<()>().await;
            }
        };
        let served_in_time = tokio::select! {
            outcome = timeout_at(deadline, &mut served) => outcome,
            () = abandoned => return,
        };
        let outcome = match served_in_time {
            Err(_) if head.is_complete() => timeout(ANSWER_GRACE, &mut served).await.ok(),
            outcome => outcome.ok(),
        };
        let parts = connection.into_parts();
        let (stream, behind) = parts.io.into_inner().into_inner().into_parts();
        drop(share);
        // No frames can follow a 101 that was not written to its end.
        let answered = matches!(outcome, Some(Ok(())));
        if answered && let Ok(established) = admitted.try_recv() {
            let Established { admission, subject, next, address, user } = established;
            let permits = Permits { slot: slot.into_permit(), address, user };
            let client_early = Bytes::from([&parts.read_buf[..], &behind].concat());
            let generation = in_force.generation;
            let session = Session {
                client: stream,
                client_early,
                admission,
                subject,
                permits,
                next,
                generation,
            };
            exchanges.sessions.start(session);
            return;
        }
        conclude(reporter, stream, outcome, &head, early_subject, &peer).await;
    }
}

/// Refuses a head that was not read to its end.
async fn refuse_head(reporter: &Reporter, stream: Transport, refusal: &Refusal, subject: &Subject) {
    reporter.refused(subject, refusal);
    let answer = handshake::problem_bytes(refusal.reason, &subject.request_id);
    stream.part(&answer).await;
}

/// A connection carries one request: every answer but a 101 says `Connection: close`.
#[derive(Debug, thiserror::Error)]
#[error("a second request on a connection")]
struct SecondRequest;

/// The log text for a client that speaks another protocol than HTTP/1.1, if that protocol is known.
fn another_protocol(spoken: Option<Spoken>) -> Option<&'static str> {
    match spoken? {
        Spoken::Tls => Some(
            "the client speaks TLS on a port without it: give certificates in [tls], or let the \
             client use ws:// or http://",
        ),
        Spoken::ProxyHeader => Some(PROXY_HEADER_UNASKED),
        Spoken::Http2 => Some("the client speaks HTTP/2, and this port speaks HTTP/1.1"),
        Spoken::HttpRequest | Spoken::HttpAnswer => None,
    }
}

/// Records the outcome of a connection without a session, unless its answer was recorded, and closes the
/// connection so that the client can read the answer.
async fn conclude(
    reporter: &Reporter,
    stream: Transport,
    outcome: Option<hyper::Result<()>>,
    head: &RawHead,
    mut subject: Subject,
    peer: &Peer,
) {
    // If no request was parsed, the bytes of the head are still there.
    let summary = head.summary();
    let context = peer.context(&summary);
    subject.request = Some(Box::new(summary));
    let subject = &subject;
    let mut answer = Vec::new();
    match outcome {
        Some(Ok(())) if head.is_complete() => {}
        Some(Ok(()) | Err(_)) if head.is_empty() => {
            let detail = "the connection ended before a request";
            reporter.journal().record(Event::Silent { subject, detail });
        }
        Some(Ok(())) => {
            let detail = "the client closed before it sent a request";
            reporter.connection_error(subject, Reason::ClientLost, detail);
        }
        Some(Err(error)) if error.is_parse_too_large() => {
            let detail =
                "the head is larger than server.max_head, or has more fields than max_fields";
            reporter.refused(subject, &Refusal::new(Reason::HeadTooLarge, detail));
        }
        Some(Err(error)) if error.is_parse() => {
            let malformed = |detail| Refusal::new(Reason::HandshakeMalformed, detail);
            let refusal = match another_protocol(head.spoken()) {
                Some(words) => malformed(words.to_owned()),
                None => head
                    .refused_target()
                    .unwrap_or_else(|| malformed(format!("the request is not HTTP/1.1: {error}"))),
            };
            let offence = head.is_forged().then(|| Offence::head(context)).flatten();
            reporter.refused(subject, &refusal.as_offence(offence));
        }
        Some(Err(error)) => {
            reporter.connection_error(subject, Reason::ClientLost, &error.to_string());
        }
        None if head.is_complete() => {
            let detail = "the client did not take the answer";
            reporter.connection_error(subject, Reason::ClientLost, detail);
        }
        None => {
            let detail = "server.handshake_timeout: the request head did not arrive in time";
            if head.is_empty() {
                reporter.journal().record(Event::Silent { subject, detail });
            } else {
                reporter.refused(subject, &Refusal::new(Reason::HandshakeTimeout, detail));
            }
            answer = handshake::problem_bytes(Reason::HandshakeTimeout, &subject.request_id);
        }
    }
    stream.part(&answer).await;
}

#[cfg(test)]
mod tests;
