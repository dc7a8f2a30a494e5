//! One TCP connection: the PROXY protocol header, the TLS handshake, then one exchange after the other, until a
//! session starts or the connection ends.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::Either;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::ending::{conclude, refuse_head};
use super::http1::{Http1, HttpEnd, HttpOutcome};
use super::request::{Exchange, Reply};
use super::wait::{ClientWait, WaitEnd};
use super::{Accepted, Exchanges};
use crate::config::{ProxyProtocol, Server};
use crate::gateway::listen::{Purpose, Slot, read_header};
use crate::gateway::runtime::InForce;
use crate::gateway::session::{Client, Next, Session};
use crate::handshake::{HeadLimits, Peer, Persistence};
use crate::journal::{self, Event, Subject};
use crate::policy::AddressAdmission;
use crate::tls::transport::Transport;
use crate::tls::{ClientCertificate, Terminated, Terminator, describe_failure};
use crate::values::AddressKey;
use crate::values::clock_is_sound;
use crate::values::{Reason, Refusal};

/// How long a connection stays open after an answer, until its next request begins.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How many requests one connection may carry.
pub(super) const MAX_REQUESTS: usize = 1000;

/// Takes an accepted connection to a session, or refuses it.
pub(super) async fn serve(exchanges: Arc<Exchanges>, accepted: Accepted) {
    let Accepted { stream, address, purpose, slot, mut admitted, in_force } = accepted;
    let wait =
        ClientWait::at_accept(in_force.server.handshake_timeout, exchanges.runtime.stopping());
    let mut subject = Subject::new(address);
    if !clock_is_sound() {
        let now = "this machine's clock says no time from 1970 to 9999: set it";
        return exchanges.reporter.connection_error(&subject, Reason::Internal, now);
    }
    let mut heard = false;
    let terminator = in_force.terminator.as_ref().filter(|_| purpose == Purpose::Serve);
    let server = &in_force.server;
    let admit = |peer| exchanges.admit_peer(peer, &in_force);
    let securing =
        secure(server, terminator, admit, stream, &mut subject, &mut admitted, &mut heard);
    let secured = match wait.until(securing).await {
        Ok(secured) => secured,
        Err(WaitEnd::Stopping) => return,
        Err(WaitEnd::Deadline) => Err(Refusal::new(
            Reason::HandshakeTimeout,
            "server.handshake_timeout: the PROXY protocol header or the TLS handshake took too long",
        )),
    };
    match secured {
        Ok((stream, client)) => {
            let generation = in_force.generation;
            let connection = Connection { exchanges, generation, in_force, purpose, slot, client };
            connection.serve(stream, subject, admitted, wait).await;
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

/// Waits for the first byte. Returns `false` if the connection ended without one.
async fn speaks(stream: &TcpStream) -> bool {
    matches!(stream.peek(&mut [0]).await, Ok(count) if count > 0)
}

/// Reads the PROXY protocol header and performs the TLS handshake, as far as they are configured. Sets
/// `heard` once the client, and not only its proxy, sent a byte.
async fn secure(
    server: &Server,
    terminator: Option<&Terminator>,
    admit: impl Fn(IpAddr) -> Result<Option<AddressAdmission>, Refusal>,
    mut stream: TcpStream,
    subject: &mut Subject,
    admitted: &mut Option<AddressAdmission>,
    heard: &mut bool,
) -> Result<(Transport, SecuredClient), Refusal> {
    let trusted = &server.trusted_proxies;
    let mut own = false;
    if server.proxy_protocol == ProxyProtocol::Required {
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
            *admitted = admit(subject.peer.ip())?;
        }
    }
    let peer = Peer {
        address: subject.peer,
        trusted: Peer::is_trusted(subject.peer.ip(), trusted),
        tls: terminator.is_some(),
        own,
    };
    let Some(terminator) = terminator else {
        let client = SecuredClient { peer, server_name: None, certificate: None };
        return Ok((Transport::Tcp(stream), client));
    };
    *heard = false;
    *heard = speaks(&stream).await;
    let Terminated { stream, server_name, certificate } = terminator
        .accept(stream)
        .await
        .map_err(|error| Refusal::new(Reason::TlsFailed, describe_failure(&error)))?;
    Ok((Transport::Tls(stream), SecuredClient { peer, server_name, certificate }))
}

/// The client of a connection, known from the PROXY protocol header and TLS.
pub(super) struct SecuredClient {
    pub(super) peer: Peer,
    pub(super) server_name: Option<String>,
    /// The client certificate from the TLS handshake.
    pub(super) certificate: Option<ClientCertificate>,
}

/// A connection that is ready for requests, with the parts that its exchanges share.
pub(super) struct Connection {
    pub(super) exchanges: Arc<Exchanges>,
    /// The generation of the configuration at accept.
    pub(super) generation: u64,
    /// The configuration that decides about the present request.
    pub(super) in_force: Arc<InForce>,
    pub(super) purpose: Purpose,
    pub(super) slot: Slot,
    pub(super) client: SecuredClient,
}

/// The continuation of a connection after one exchange.
enum After {
    /// Another request, on the same connection.
    Exchange(Http1),
    /// The session: the client got its 101.
    Session { session: Box<Session>, next: Next, end: HttpEnd },
    /// Nothing: the connection is closed.
    Nothing,
}

impl Connection {
    /// Serves requests one after the other, until a session starts or the connection ends. Each has a record,
    /// and an id, of its own.
    async fn serve(
        mut self,
        stream: Transport,
        mut subject: Subject,
        mut address: Option<AddressAdmission>,
        mut wait: ClientWait,
    ) {
        let mut http = Http1::new(stream, Vec::new());
        for number in 1.. {
            // Boxed: nothing of it is left while the connection waits for another request.
            let exchange = Box::pin(self.exchange(http, subject, &mut address, &wait, number));
            match exchange.await {
                After::Exchange(next) => http = next,
                After::Session { session, next, end } => {
                    let HttpEnd { stream, behind, .. } = end;
                    let Self { exchanges, slot, .. } = self;
                    let early = Bytes::from(behind);
                    let client = Client { stream, early, slot: slot.into_permit() };
                    return exchanges.sessions.start(*session, next, client);
                }
                After::Nothing => return,
            }
            let begins = timeout(KEEP_ALIVE, http.begins());
            let begins = self.exchanges.runtime.retiring().run_until_cancelled(begins);
            if wait.stopping.run_until_cancelled(begins).await != Some(Some(Ok(true))) {
                return;
            }
            subject = Subject::new(self.client.peer.address);
            if let Err(refusal) = self.renew(&mut address) {
                return self.exchanges.reporter.refused(&subject, &refusal);
            }
            wait.restart(self.in_force.server.handshake_timeout);
        }
    }

    /// Puts the next request under the configuration in force: a connection may have waited since a reload, or its
    /// last answer may have taken long. The TLS handshake is not repeated, so the client certificate is reviewed.
    fn renew(&mut self, address: &mut Option<AddressAdmission>) -> Result<(), Refusal> {
        let Self { exchanges, in_force, client, .. } = self;
        let current = exchanges.current.get();
        let is_reloaded = current.generation != in_force.generation;
        if is_reloaded {
            *address = None;
            let ip = client.peer.address.ip();
            client.peer.trusted = Peer::is_trusted(ip, &current.server.trusted_proxies);
            *in_force = current;
        }
        let certificate = client.certificate.as_ref();
        let now = SystemTime::now();
        let is_expired = certificate.is_some_and(|certificate| certificate.ends() <= now);
        if client.peer.tls && (is_reloaded || is_expired) {
            in_force.policy.review_certificate(certificate, now)?;
        }
        Ok(())
    }

    /// Serves one request.
    async fn exchange(
        &self,
        mut http: Http1,
        mut subject: Subject,
        address: &mut Option<AddressAdmission>,
        wait: &ClientWait,
        number: usize,
    ) -> After {
        let (exchanges, peer) = (&self.exchanges, &self.client.peer);
        let Server { max_head, max_fields, .. } = self.in_force.server;
        let limits = HeadLimits { bytes: max_head, fields: max_fields };
        let client = address.is_some().then(|| AddressKey::from(peer.address.ip()));
        let mut share = exchanges.heads.share(client);
        let head = http.head().clone();
        match wait.until(http.gather(limits, &mut share)).await {
            Ok(Ok(())) => {}
            Ok(Err(fault)) => {
                drop(share);
                subject.request = Some(Box::new(head.summary()));
                let stream = http.into_stream();
                refuse_head(&exchanges.reporter, stream, &fault.into(), &subject).await;
                return After::Nothing;
            }
            Err(WaitEnd::Stopping) => return After::Nothing,
            Err(WaitEnd::Deadline) => {
                drop(share);
                let (stream, behind) = (http.into_stream(), Vec::new());
                let end = HttpEnd { stream, behind, is_at_end: false, outcome: HttpOutcome::Late };
                conclude(&exchanges.reporter, end, &head, subject, peer).await;
                return After::Nothing;
            }
        }
        let exchange = Exchange {
            connection: self,
            head: &head,
            share: Some(share),
            subject: subject.clone(),
            address,
            number,
            wait,
        };
        let mut upgraded = None;
        let mut persistence = Persistence::Close;
        let mut is_forwarded = false;
        let answer = http.answer(limits, wait, |request| async {
            match exchange.answer(request).await {
                Reply::Upgrade { response, session, next } => {
                    upgraded = Some((session, next));
                    response.map(Either::Left)
                }
                Reply::Final(response, stays) => {
                    persistence = stays;
                    response.map(Either::Left)
                }
                Reply::Forwarded(response, stays) => {
                    (persistence, is_forwarded) = (stays, true);
                    response.map(Either::Right)
                }
            }
        });
        let end = answer.await;
        match (upgraded, &end.outcome) {
            // No frames can follow a 101 that was not written to its end.
            (Some((session, next)), outcome) if outcome.is_answered() => {
                After::Session { session, next, end }
            }
            (None, HttpOutcome::Answered) if persistence == Persistence::Keep && end.is_at_end => {
                After::Exchange(Http1::new(end.stream, end.behind))
            }
            // The answer has a record of its own.
            (None, _) if is_forwarded => {
                let linger = end.linger();
                end.stream.part(&[], linger).await;
                After::Nothing
            }
            _ => {
                conclude(&exchanges.reporter, end, &head, subject, peer).await;
                After::Nothing
            }
        }
    }
}
