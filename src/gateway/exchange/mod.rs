//! One TCP connection on its way to a session, under one deadline from accept to the 101. Its task
//! ends where the session's begins, so that nothing of the handshake stays in memory.

mod reception;

use std::cell::Cell;
use std::future::poll_fn;
use std::net::SocketAddr;
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
use crate::gateway::listen::{Slot, read_header};
use crate::gateway::session::{Permits, Session};
use crate::gateway::{Gateway, InForce};
use crate::handshake::{self, HeadLimits, HeadTap, Peer, RawHead, Respelled, Spelling};
use crate::journal::{self, Event, Subject};
use crate::policy::AddressAdmission;
use crate::tls::transport::Transport;
use crate::tls::{ClientCertificate, PROXY_HEADER_UNASKED, Terminated, describe_failure};
use crate::values::AddressKey;
use crate::values::Offence;
use crate::values::clock_is_sound;
use crate::values::spoken::Spoken;
use crate::values::{Reason, Refusal};
use reception::{Established, Reception};

/// How long a connection has to ask while the gateway stops.
const FAREWELL_WITHIN: Duration = Duration::from_secs(2);
/// How long an answer may take to be written once the deadline has passed.
const ANSWER_GRACE: Duration = Duration::from_secs(2);

/// A connection that nothing was read of.
pub(crate) struct Accepted {
    pub(crate) stream: TcpStream,
    /// Its peer, canonical.
    pub(crate) address: SocketAddr,
    pub(crate) slot: Slot,
    /// Its admitted address; `None`: it is a trusted proxy, and its client is not known.
    pub(crate) admitted: Option<AddressAdmission>,
    /// What it is judged by, up to its 101.
    pub(crate) in_force: Arc<InForce>,
}

/// Takes an accepted connection to a session, or refuses it.
pub(crate) async fn serve(gateway: Arc<Gateway>, accepted: Accepted) {
    let Accepted { stream, address, slot, mut admitted, in_force } = accepted;
    let mut deadline = Instant::now() + in_force.server.handshake_timeout;
    let mut patience = gateway.stopping.clone();
    // It came to be told that the gateway stops.
    if patience.is_cancelled() {
        patience = CancellationToken::new();
        deadline = deadline.min(Instant::now() + FAREWELL_WITHIN);
    }
    let mut subject = Subject::new(address);
    if !clock_is_sound() {
        let now = "this machine's clock says no time from 1970 to 9999: set it";
        return gateway.connection_error(&subject, Reason::Internal, now);
    }
    let mut heard = false;
    let securing = secure(&gateway, &in_force, stream, &mut subject, &mut admitted, &mut heard);
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
                gateway,
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
            gateway.journal.record(Event::Silent { subject: &subject, detail });
        }
        Err(refusal) if journal::is_error(refusal.reason) => {
            gateway.connection_error(&subject, refusal.reason, &refusal.detail);
        }
        Err(refusal) => gateway.dropped(subject.peer, &refusal),
    }
}

/// A connection that can be spoken HTTP on.
struct Secured {
    stream: Transport,
    peer: Peer,
    server_name: Option<String>,
    certificate: Option<ClientCertificate>,
}

/// Waits for the first byte. `false`: the connection ended without one.
async fn speaks(stream: &TcpStream) -> bool {
    matches!(stream.peek(&mut [0]).await, Ok(count) if count > 0)
}

/// The PROXY protocol and TLS, as far as they are configured. `heard` says whether the client, and
/// not only its proxy, sent a byte.
async fn secure(
    gateway: &Gateway,
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
            // Its header is not waited for, and the record has to say why it cannot connect.
            *heard = true;
            return Err(malformed("the peer is not in trusted_proxies".to_owned()));
        }
        *heard = speaks(&stream).await;
        let client =
            read_header(&mut stream).await.map_err(|error| malformed(error.to_string()))?;
        own = client.is_none();
        subject.peer = client.unwrap_or(subject.peer);
        if !Peer::is_trusted(subject.peer.ip(), trusted) {
            let mut checks = in_force.policy.checks(subject.peer.ip());
            *admitted = Some(checks.admit_address(gateway.shared())?);
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

/// A connection whose one request is awaited.
struct Connection {
    gateway: Arc<Gateway>,
    in_force: Arc<InForce>,
    subject: Subject,
    slot: Slot,
    address: Option<AddressAdmission>,
    deadline: Instant,
    /// Cancelled when a client that has not asked for anything is not waited for any longer.
    patience: CancellationToken,
}

impl Connection {
    /// One request and its answer; then a session, or the end.
    async fn exchange(self, secured: Secured) {
        let Self { gateway, in_force, mut subject, slot, address, deadline, patience } = self;
        let Secured { stream, peer, server_name, certificate } = secured;
        let (mut tap, head) = HeadTap::new(stream);
        let Server { max_head, max_fields, .. } = in_force.server;
        let limits = HeadLimits { bytes: max_head, fields: max_fields };
        let client = address.is_some().then(|| AddressKey::from(peer.address.ip()));
        let mut share = gateway.heads.share(client);
        // A client that has not asked for anything when the gateway stops is not waited for.
        let gathering = timeout_at(deadline, tap.gather(limits, &mut share));
        let Some(gathered) = patience.run_until_cancelled(gathering).await else {
            return;
        };
        match gathered {
            Ok(Ok(())) => {}
            Ok(Err(fault)) => {
                drop(share);
                subject.request = Some(Box::new(head.summary()));
                return refuse_head(&gateway, tap.into_parts().0, &fault.into(), &subject).await;
            }
            Err(_) => {
                drop(share);
                let stream = tap.into_parts().0;
                return conclude(&gateway, stream, None, &head, subject, &peer).await;
            }
        }
        let (established, mut admitted) = oneshot::channel();
        let early_subject = subject.clone();
        let reception = Cell::new(Some(Reception {
            gateway: Arc::clone(&gateway),
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
        // Nor is one that has asked for nothing that HTTP knows.
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
        // Behind a 101 that was not written to its end there can be no frames.
        let answered = matches!(outcome, Some(Ok(())));
        if answered && let Ok(established) = admitted.try_recv() {
            let Established { admission, subject, next, address, user } = established;
            let permits = Permits { slot: slot.into_taken(), address, user };
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
            session.start(&gateway);
            return;
        }
        conclude(&gateway, stream, outcome, &head, early_subject, &peer).await;
    }
}

/// Answers a head that is not read to its end.
async fn refuse_head(gateway: &Gateway, stream: Transport, refusal: &Refusal, subject: &Subject) {
    gateway.refused(subject, refusal);
    let answer = handshake::problem_bytes(refusal.reason, &subject.request_id);
    stream.part(&answer).await;
}

/// A connection carries one request: every answer but a 101 says `Connection: close`.
#[derive(Debug, thiserror::Error)]
#[error("a second request on a connection")]
struct SecondRequest;

/// What the log says of a client that speaks another protocol than HTTP/1.1, if it is known which.
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

/// Says in the log what came of a connection without a session, where the answer did not already,
/// and closes it so that the client can read what it was told.
async fn conclude(
    gateway: &Gateway,
    stream: Transport,
    outcome: Option<hyper::Result<()>>,
    head: &RawHead,
    mut subject: Subject,
    peer: &Peer,
) {
    // Where no request was made of the head, its bytes are still there.
    let summary = head.summary();
    let context = peer.context(&summary);
    subject.request = Some(Box::new(summary));
    let subject = &subject;
    let mut answer = Vec::new();
    match outcome {
        Some(Ok(())) if head.is_complete() => {}
        Some(Ok(()) | Err(_)) if head.is_empty() => {
            let detail = "the connection ended before a request";
            gateway.journal.record(Event::Silent { subject, detail });
        }
        Some(Ok(())) => {
            let detail = "the client closed before it sent a request";
            gateway.connection_error(subject, Reason::ClientLost, detail);
        }
        Some(Err(error)) if error.is_parse_too_large() => {
            let detail =
                "the head is larger than server.max_head, or has more fields than max_fields";
            gateway.refused(subject, &Refusal::new(Reason::HeadTooLarge, detail));
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
            gateway.refused(subject, &refusal.as_offence(offence));
        }
        Some(Err(error)) => {
            gateway.connection_error(subject, Reason::ClientLost, &error.to_string());
        }
        None if head.is_complete() => {
            let detail = "the client did not take the answer";
            gateway.connection_error(subject, Reason::ClientLost, detail);
        }
        None => {
            let detail = "server.handshake_timeout: the request head did not arrive in time";
            if head.is_empty() {
                gateway.journal.record(Event::Silent { subject, detail });
            } else {
                gateway.refused(subject, &Refusal::new(Reason::HandshakeTimeout, detail));
            }
            answer = handshake::problem_bytes(Reason::HandshakeTimeout, &subject.request_id);
        }
    }
    stream.part(&answer).await;
}
