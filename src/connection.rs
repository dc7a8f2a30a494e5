//! One TCP connection on its way to a session, under one deadline from accept to the 101. Its task
//! ends where the session's begins, so that nothing of the handshake stays in memory.

use std::cell::Cell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsStream;

use crate::config::ProxyProtocol;
use crate::gateway::Gateway;
use crate::handshake::{
    self, Body, ClientAddress, HeadTap, MAX_HEAD, Peer, RawHead, UpgradeRequest,
};
use crate::listener::{Slot, read_header};
use crate::observe::{self, Subject};
use crate::policy::{Admission, Arrival, Standing, Trace};
use crate::refusal::{Reason, Refusal};
use crate::session::{Caller, Next, Session};
use crate::tls::describe_failure;
use crate::transport::Transport;
use crate::upstream::Failure;

/// How long an answer may take to be written once the deadline has passed.
const ANSWER_GRACE: Duration = Duration::from_secs(2);

/// Takes an accepted connection to a session, or refuses it.
pub(crate) async fn serve(
    gateway: Arc<Gateway>,
    stream: TcpStream,
    address: SocketAddr,
    slot: Slot,
) {
    let deadline = Instant::now() + gateway.server.handshake_timeout;
    let mut subject = Subject::new(address);
    let securing = timeout_at(deadline, secure(&gateway, stream, &mut subject));
    let Some(securing) = gateway.stopping.run_until_cancelled(securing).await else {
        return;
    };
    let secured = match securing {
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
    // A client that has not asked for anything when the gateway stops is not waited for.
    let abandoned = async {
        gateway.stopping.cancelled().await;
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
    let stream = parts.io.into_inner().into_inner();
    // Behind a 101 that was not written to its end there can be no frames.
    let answered = matches!(outcome, Some(Ok(())));
    if answered && let Ok(Established { admission, subject, next }) = admitted.try_recv() {
        let client_early = Bytes::copy_from_slice(&parts.read_buf);
        let session = Session { client: stream, client_early, admission, subject, slot, next };
        session.start(&gateway);
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
    stream: Transport,
    outcome: Option<hyper::Result<()>>,
    head: &RawHead,
    subject: &Subject,
) {
    let mut answer = Vec::new();
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
            answer = handshake::problem_bytes(Reason::HandshakeTimeout, &subject.request_id);
        }
    }
    stream.part(&answer).await;
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
    admission: Admission,
    subject: Subject,
    next: Next,
}

impl Reception {
    /// The answer to the one request: a 101 once an upstream gave one, or where the first message
    /// decides; or a refusal.
    async fn answer(mut self, request: Request<Incoming>) -> Response<Body> {
        match self.admit(request).await {
            Ok((key, admission, next)) => self.accept(&key, admission, next),
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

    fn accept(mut self, key: &str, admission: Admission, next: Next) -> Response<Body> {
        let none = HeaderMap::new();
        let (headers, chosen) = match &next {
            Next::Relay(upstream) => (&upstream.headers, upstream.subprotocol.clone()),
            Next::FirstMessage(_) => (&none, None),
        };
        let subprotocol = chosen.or_else(|| {
            let first = admission.subprotocols().first()?;
            let listed = !admission.route().subprotocols.is_empty();
            listed.then(|| first.parse().ok()).flatten()
        });
        self.subject.subprotocol =
            subprotocol.as_ref().and_then(|value| value.to_str().ok()).map(str::to_owned);
        let response = handshake::switching_protocols(key, headers, subprotocol.as_ref());
        // The receiver outlives the connection that polls this.
        let _ = self.established.send(Established { admission, subject: self.subject, next });
        response
    }

    /// Every check in its order, then the upstream, unless the first message comes before it.
    /// Returns the client's key beside.
    async fn admit(
        &mut self,
        request: Request<Incoming>,
    ) -> Result<(String, Admission, Next), Failure> {
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
        let mut request = UpgradeRequest::parse(target, head).map_err(Failure::Refused)?;
        let arrival = Arrival { client: &client, server_name: self.server_name.as_deref() };
        let (policy, mut trace) = (&self.gateway.policy, Trace::off());
        let route = policy.route(&request, arrival, &mut trace).map_err(Failure::Refused)?;
        self.subject.route = Some(route.name.clone());
        let admission = policy.admit(route, &mut request, arrival, &mut trace);
        let admission = timeout_at(self.deadline, admission)
            .await
            .map_err(|_| Refusal::new(Reason::TokenUnverifiable, "the keys did not come in time"))
            .flatten()
            .map_err(Failure::Refused)?;
        let key = request.key().to_owned();
        let caller = Caller { request, peer: self.peer, client };
        let next = match admission.standing() {
            Standing::Announced(_) => Next::FirstMessage(Box::new(caller)),
            standing => {
                if let Standing::Identified(identity) = standing {
                    self.subject.user = Some(identity.user().to_owned());
                }
                let id = &self.subject.request_id;
                let upstream = caller.connect(&self.gateway, &admission, id, self.deadline).await?;
                Next::Relay(Box::new(upstream))
            }
        };
        Ok((key, admission, next))
    }
}
