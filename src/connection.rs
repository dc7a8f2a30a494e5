//! One TCP connection on its way to a session, under one deadline from accept to the 101. Its task
//! ends where the session's begins, so that nothing of the handshake stays in memory.

use std::cell::Cell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsStream;

use crate::config::ProxyProtocol;
use crate::gateway::Gateway;
use crate::handshake::{
    self, Body, ClientAddress, HeadTap, MAX_HEAD, Peer, Provenance, RawHead, UpgradeRequest,
};
use crate::listener::{Slot, read_header};
use crate::observe::{self, Subject};
use crate::policy::{Admission, Arrival};
use crate::refusal::{Reason, Refusal};
use crate::relay::Streams;
use crate::session::Session;
use crate::tls::describe_failure;
use crate::transport::Transport;
use crate::upstream::{self, Failure, Upstream};

/// How long an answer may take to be written once the deadline has passed.
const ANSWER_GRACE: Duration = Duration::from_secs(2);
/// How long, and how much, a refused client is still read from, so that it reads the answer and
/// not a reset.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: u64 = 256 * 1024;

/// Takes an accepted connection to a session, or refuses it.
pub(crate) async fn serve(
    gateway: Arc<Gateway>,
    stream: TcpStream,
    address: SocketAddr,
    slot: Slot,
) {
    let deadline = Instant::now() + gateway.server.handshake_timeout;
    let mut subject = Subject::new(address);
    let secured = match timeout_at(deadline, secure(&gateway, stream, &mut subject)).await {
        Ok(secured) => secured,
        Err(_) => Err(Refusal::new(
            Reason::HandshakeTimeout,
            "the PROXY protocol header or the TLS handshake took too long",
        )),
    };
    match secured {
        Ok(secured) => exchange(gateway, secured, subject, slot, deadline).await,
        Err(refusal) => observe::connection_error(&subject, refusal.reason, &refusal.detail),
    }
}

/// A connection that can be spoken HTTP on.
struct Secured {
    stream: Transport,
    peer: Peer,
    server_name: Option<String>,
}

/// The PROXY protocol and TLS, as far as they are configured.
async fn secure(
    gateway: &Gateway,
    mut stream: TcpStream,
    subject: &mut Subject,
) -> Result<Secured, Refusal> {
    let trusted = &gateway.server.trusted_proxies;
    if gateway.server.proxy_protocol == ProxyProtocol::Required {
        let malformed = |detail: String| Refusal::new(Reason::ProxyMalformed, detail);
        if !Peer::is_trusted(subject.peer.ip(), trusted) {
            return Err(malformed("the peer is not in trusted_proxies".to_owned()));
        }
        let client =
            read_header(&mut stream).await.map_err(|error| malformed(error.to_string()))?;
        subject.peer = client.unwrap_or(subject.peer);
    }
    let peer = Peer {
        address: subject.peer,
        trusted: Peer::is_trusted(subject.peer.ip(), trusted),
        tls: gateway.terminator.is_some(),
    };
    let Some(terminator) = &gateway.terminator else {
        return Ok(Secured { stream: Transport::Tcp(stream), peer, server_name: None });
    };
    let stream = terminator
        .acceptor
        .accept(stream)
        .await
        .map_err(|error| Refusal::new(Reason::TlsFailed, describe_failure(&error)))?;
    let server_name = stream.get_ref().1.server_name().map(str::to_owned);
    let stream = Transport::Tls(Box::new(TlsStream::Server(stream)));
    Ok(Secured { stream, peer, server_name })
}

/// One request and its answer; then a session, or the end.
async fn exchange(
    gateway: Arc<Gateway>,
    secured: Secured,
    subject: Subject,
    slot: Slot,
    deadline: Instant,
) {
    let Secured { stream, peer, server_name } = secured;
    let (tap, head) = HeadTap::new(stream);
    let (established, mut admitted) = oneshot::channel();
    let early_subject = subject.clone();
    let reception = Cell::new(Some(Reception {
        gateway: Arc::clone(&gateway),
        peer,
        server_name,
        head: head.clone(),
        subject,
        full: matches!(slot, Slot::Told(_)),
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
        .header_read_timeout(None)
        .max_header_size(MAX_HEAD)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(tap), service);
    let mut served = std::pin::pin!(poll_fn(|cx| connection.poll_without_shutdown(cx)));
    let outcome = match timeout_at(deadline, &mut served).await {
        Err(_) if head.is_complete() => timeout(ANSWER_GRACE, &mut served).await.ok(),
        outcome => outcome.ok(),
    };
    let parts = connection.into_parts();
    let stream = parts.io.into_inner().into_inner();
    if let Ok(Established { upstream, admission, subject }) = admitted.try_recv() {
        let streams = Streams {
            client: stream,
            client_early: Bytes::copy_from_slice(&parts.read_buf),
            upstream: upstream.stream,
            upstream_early: Bytes::copy_from_slice(&upstream.early),
        };
        let route = Arc::clone(admission.route());
        Session { streams, route, subject, identity: None, slot }.start(&gateway);
        return;
    }
    conclude(stream, outcome, &head, &early_subject).await;
}

/// A connection carries one request: every answer but a 101 says `Connection: close`.
#[derive(Debug, thiserror::Error)]
#[error("a second request on a connection")]
struct SecondRequest;

/// Says in the log what came of a connection without a session, where the answer did not already,
/// and closes it so that the client can read what it was told.
async fn conclude(
    mut stream: Transport,
    outcome: Option<hyper::Result<()>>,
    head: &RawHead,
    subject: &Subject,
) {
    match outcome {
        Some(Ok(())) if head.is_complete() => {}
        Some(Ok(())) => {
            let detail = "the client closed before it sent a request";
            observe::connection_error(subject, Reason::ClientLost, detail);
        }
        Some(Err(error)) if error.is_parse_too_large() => {
            let detail = format!("the head is larger than {MAX_HEAD} bytes or has too many fields");
            observe::refused(subject, Reason::HeadTooLarge, &detail);
        }
        Some(Err(error)) if error.is_parse() => {
            observe::refused(subject, Reason::HandshakeMalformed, &error.to_string());
        }
        Some(Err(error)) => {
            observe::connection_error(subject, Reason::ClientLost, &error.to_string());
        }
        None if head.is_complete() => {
            let detail = "the client did not take the answer";
            observe::connection_error(subject, Reason::ClientLost, detail);
        }
        None => {
            let detail = "the request head did not arrive in time";
            observe::refused(subject, Reason::HandshakeTimeout, detail);
            let answer = handshake::problem_bytes(Reason::HandshakeTimeout, &subject.request_id);
            // The client may be gone; there is nobody else to tell.
            let _ = timeout(ANSWER_GRACE, stream.write_all(&answer)).await;
        }
    }
    linger(stream).await;
}

/// Half-closes, then reads and throws away what the client still sends until it closes, within
/// bounds. One that sends more is not read any further, and cut off only when the time is over.
async fn linger(mut stream: Transport) {
    let _ = timeout(LINGER, async {
        stream.shutdown().await?;
        let mut rest = (&mut stream).take(LINGER_BYTES);
        let read = tokio::io::copy(&mut rest, &mut tokio::io::sink()).await?;
        if read == LINGER_BYTES {
            std::future::pending::<()>().await;
        }
        std::io::Result::Ok(())
    })
    .await;
}

/// What the request needs to be answered. Used once.
struct Reception {
    gateway: Arc<Gateway>,
    peer: Peer,
    server_name: Option<String>,
    head: RawHead,
    subject: Subject,
    full: bool,
    deadline: Instant,
    established: oneshot::Sender<Established>,
}

/// A session that only waits for the client's 101 to be written.
#[derive(Debug)]
struct Established {
    upstream: Upstream,
    admission: Admission,
    subject: Subject,
}

impl Reception {
    /// The answer to the one request: a 101 once an upstream gave one, or a refusal.
    async fn answer(mut self, request: Request<Incoming>) -> Response<Body> {
        match self.admit(request).await {
            Ok((request, admission, upstream)) => {
                let subprotocol = upstream.subprotocol.clone().or_else(|| {
                    let first = admission.subprotocols().first()?;
                    let listed = !admission.route().subprotocols.is_empty();
                    listed.then(|| first.parse().ok()).flatten()
                });
                self.subject.subprotocol =
                    subprotocol.as_ref().and_then(|value| value.to_str().ok()).map(str::to_owned);
                let response = handshake::switching_protocols(
                    request.key(),
                    &upstream.headers,
                    subprotocol.as_ref(),
                );
                let established = Established { upstream, admission, subject: self.subject };
                // The receiver outlives the connection that polls this.
                let _ = self.established.send(established);
                response
            }
            Err(Failure::Refused(refusal)) => {
                observe::refused(&self.subject, refusal.reason, &refusal.detail);
                handshake::problem(refusal.reason, &self.subject.request_id)
            }
            Err(Failure::Answered(answer)) => {
                observe::answered(&self.subject, answer.status.as_u16());
                let id = &self.subject.request_id;
                handshake::relayed(answer.status, &answer.headers, id, answer.body)
            }
        }
    }

    /// Every check in its order, then the upstream.
    async fn admit(
        &mut self,
        request: Request<Incoming>,
    ) -> Result<(UpgradeRequest, Admission, Upstream), Failure> {
        let (head, _body) = request.into_parts();
        let trusted = &self.gateway.server.trusted_proxies;
        let client = ClientAddress::resolve(&self.peer, trusted, &head.headers);
        self.subject.peer = client.address;
        if let Some(id) = handshake::request_id(&self.peer, &head.headers) {
            self.subject.request_id = id;
        }
        if self.full {
            let detail = "max_connections is reached";
            return Err(Failure::Refused(Refusal::new(Reason::Capacity, detail)));
        }
        if self.gateway.sessions.are_ending() {
            return Err(Failure::Refused(Refusal::new(Reason::Shutdown, "the gateway stops")));
        }
        let target = self.head.judge().map_err(Failure::Refused)?;
        let request = UpgradeRequest::parse(target, head).map_err(Failure::Refused)?;
        let arrival = Arrival { client: &client, server_name: self.server_name.as_deref() };
        let policy = &self.gateway.policy;
        let route = policy.route(&request, arrival).map_err(Failure::Refused)?;
        self.subject.route = Some(route.name.clone());
        let admission = policy.admit(route, &request, arrival).map_err(Failure::Refused)?;
        let provenance =
            Provenance { peer: &self.peer, client: &client, request_id: &self.subject.request_id };
        let dialer = &self.gateway.dialer;
        let upstream =
            upstream::connect(dialer, &admission, &request, provenance, self.deadline).await?;
        Ok((request, admission, upstream))
    }
}
