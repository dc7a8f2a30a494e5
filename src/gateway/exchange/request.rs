//! One request of a connection: runs the checks, connects to an upstream, and builds the answer.

use std::sync::Arc;

use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, Method, Request, Response, Version, request};
use hyper::body::{Body as _, Incoming};
use tokio::time::{Instant, timeout_at};

use super::connection::{Connection, MAX_REQUESTS};
use crate::config::Server;
use crate::gateway::listen::Slot;
use crate::gateway::session::{Caller, Next, Session};
use crate::gateway::upstream::{Answer, Failure};
use crate::handshake::fields::list;
use crate::handshake::{self, Body, ClientAddress, Letters, Persistence, RawHead, UpgradeRequest};
use crate::journal::Subject;
use crate::policy::{AddressAdmission, Admission, Arrival, Checks, Principal, Room, UserAdmission};
use crate::state::limits::UserPermit;
use crate::values::{Offence, RequestContext, RequestSummary};
use crate::values::{Reason, Refusal};

/// A request head, and the way to its answer.
pub(super) struct Exchange<'c> {
    pub(super) connection: &'c Connection,
    pub(super) head: &'c RawHead,
    pub(super) subject: Subject,
    /// The admitted address. A session takes it, after a refusal it stays with the connection. `None`: behind a
    /// trusted proxy, until the forwarded fields are read.
    pub(super) address: &'c mut Option<AddressAdmission>,
    /// Counts the requests of the connection, from 1.
    pub(super) number: usize,
    pub(super) deadline: Instant,
}

/// The answer to a request.
pub(super) enum Reply {
    /// The 101, and the session that starts once it is written.
    Upgrade { response: Response<Body>, session: Box<Session>, next: Next },
    /// Any other answer.
    Final(Response<Body>, Persistence),
}

/// An admitted request, with the parts of its session.
struct Admitted {
    /// Sec-WebSocket-Key.
    key: String,
    admission: Admission,
    next: Next,
    user: Option<UserPermit>,
}

impl Exchange<'_> {
    /// Answers the request: with a 101 once an upstream gave one, or at once if the token comes in the
    /// first message; otherwise with a refusal.
    pub(super) async fn answer(mut self, request: Request<Incoming>) -> Reply {
        let persistence = self.persistence(&request);
        let Connection { exchanges, .. } = self.connection;
        if self.is_health_check(&request) {
            let is_stopping = exchanges.runtime.is_stopping();
            return Reply::Final(handshake::health(is_stopping, persistence), persistence);
        }
        let mut address = self.address.take();
        let admitted = self.admit(request, &mut address).await;
        *self.address = address;
        match admitted {
            Ok(admitted) => self.upgrade(admitted),
            Err(Failure::Refused(refusal)) => {
                exchanges.reporter.refused(&self.subject, &refusal);
                let persistence = match persistence {
                    Persistence::Keep if keeps_connection(&refusal) => Persistence::Keep,
                    _ => Persistence::Close,
                };
                let id = &self.subject.request_id;
                Reply::Final(handshake::problem(&refusal, id, persistence), persistence)
            }
            Err(Failure::Answered(answer)) => {
                let Answer { status, headers, letters, body, cut } = answer;
                exchanges.reporter.answered(&self.subject, status.as_u16(), cut);
                let id = &self.subject.request_id;
                let mut response = handshake::relayed(status, &headers, id, body);
                letters.give(response.extensions_mut());
                Reply::Final(response, Persistence::Close)
            }
        }
    }

    /// Whether the connection may carry another request after this one: the request is no opening handshake and
    /// ends with its head, the client did not ask for the end of the connection (RFC 9112 section 9.3), and the
    /// gateway is not about to end it.
    fn persistence(&self, request: &Request<Incoming>) -> Persistence {
        let asks_close = || {
            let options = list(request.headers(), &CONNECTION);
            options.is_ok_and(|names| names.iter().any(|name| name.eq_ignore_ascii_case("close")))
        };
        let keeps = request.version() == Version::HTTP_11
            && !request.headers().contains_key(UPGRADE)
            && request.body().is_end_stream()
            && self.head.is_complete()
            && self.may_continue()
            && !asks_close();
        if keeps { Persistence::Keep } else { Persistence::Close }
    }

    /// Whether the gateway would serve another request on the connection. After a reload it would not, so that
    /// the next one comes under the new configuration.
    fn may_continue(&self) -> bool {
        let Connection { exchanges, in_force, slot, .. } = self.connection;
        matches!(slot, Slot::Open(_))
            && self.number < MAX_REQUESTS
            && !exchanges.runtime.is_stopping()
            && exchanges.current.get().generation == in_force.generation
    }

    /// Whether the request is a load balancer's health check. A handshake for the same path is for a route.
    fn is_health_check(&self, request: &Request<Incoming>) -> bool {
        let path = self.connection.in_force.server.health_path.as_deref();
        path == Some(request.uri().path())
            && matches!(*request.method(), Method::GET | Method::HEAD)
            && !request.headers().contains_key(UPGRADE)
    }

    fn upgrade(mut self, admitted: Admitted) -> Reply {
        let Admitted { key, admission, next, user } = admitted;
        let none = HeaderMap::new();
        let (headers, letters, chosen, deflate) = match &next {
            Next::Relay(upstream) => {
                let chosen = upstream.subprotocol.clone();
                (&upstream.headers, upstream.letters.clone(), chosen, upstream.deflate)
            }
            Next::FirstMessage(_) => (&none, Letters::default(), None, None),
        };
        // Before there is an upstream that could choose a subprotocol, the gateway has to choose.
        let answered = match &next {
            Next::Relay(_) => admission.fallback(),
            Next::FirstMessage(_) => admission.first_listed(),
        };
        let subprotocol = chosen.or_else(|| answered?.parse().ok());
        self.subject.subprotocol =
            subprotocol.as_ref().and_then(|value| value.to_str().ok()).map(str::to_owned);
        let admission = match &next {
            Next::Relay(_) => admission,
            Next::FirstMessage(_) => admission.told(self.subject.subprotocol.as_deref()),
        };
        let mut response =
            handshake::switching_protocols(&key, headers, subprotocol.as_ref(), deflate);
        letters.give(response.extensions_mut());
        let address = self.address.take().and_then(AddressAdmission::into_permit);
        let session = Session {
            admission,
            subject: self.subject,
            address,
            user,
            generation: self.connection.in_force.generation,
        };
        Reply::Upgrade { response, session: Box::new(session), next }
    }

    /// Runs every check in its order, then connects to an upstream, unless the first message comes before
    /// it.
    async fn admit(
        &mut self,
        request: Request<Incoming>,
        address: &mut Option<AddressAdmission>,
    ) -> Result<Admitted, Failure> {
        let (mut head, _body) = request.into_parts();
        let letters = Letters::take(&mut head.extensions);
        let summary = RequestSummary::of(&head);
        let Connection { exchanges, in_force, slot, client: secured } = self.connection;
        let peer = &secured.peer;
        let context = peer.context(&summary);
        self.subject.request = Some(Box::new(summary));
        if let Some(id) = handshake::request_id(peer, &head.headers) {
            self.subject.request_id = id;
        }
        let Server { trusted_proxies, unknown_clients, .. } = &in_force.server;
        let client =
            ClientAddress::resolve(peer, trusted_proxies, *unknown_clients, &head.headers)?;
        self.subject.peer = client.address;
        let mut checks = in_force.policy.checks(client.address.ip());
        let address = self.enter(&mut checks, address)?;
        let full = matches!(slot, Slot::Told(_));
        let room = Room { full, stopping: exchanges.sessions.are_ending() };
        let exchange = checks.admit_exchange(address, &exchanges.state, room);
        // A client that was banned while it waited with its request is refused and nothing else.
        if !matches!(&exchange, Err(refusal) if refusal.reason == Reason::BanActive) {
            for refusal in address.let_through() {
                exchanges.reporter.let_through(&self.subject, refusal);
            }
        }
        let exchange = exchange?;
        let mut request = self.parse(head, context)?.asked_by(&client);
        let server_name = secured.server_name.as_deref();
        let by_proxy = peer.trusted;
        let certificate = secured.certificate.as_ref();
        let arrival =
            Arrival { exchange, client: &client, server_name, by_proxy, certificate, context };
        let route = checks.route(&request, arrival)?;
        self.subject.route = Some(Arc::clone(&route.name));
        let admission = checks.admit(route, &mut request, arrival);
        let admission = timeout_at(self.deadline, admission)
            .await
            .map_err(|_| Refusal::new(Reason::TokenUnverifiable, "the keys did not come in time"))
            .flatten()?;
        self.subject.unlisted = admission.unlisted().map(str::to_owned);
        let user = self.enter_user(&mut checks, &admission)?;
        checks.open(&admission, &mut request)?;
        let key = request.key().to_owned();
        let in_force = Arc::clone(in_force);
        let caller = Caller { request, peer: *peer, client, letters, in_force };
        let next = if matches!(admission.principal(), Principal::Awaited(_)) {
            Next::FirstMessage(Box::new(caller))
        } else {
            let journal = exchanges.reporter.journal();
            let connecting = caller.connect(journal, &admission, &mut self.subject, self.deadline);
            Next::Relay(Box::new(connecting.await?))
        };
        Ok(Admitted { key, admission, next, user })
    }

    /// Parses the request as a handshake. A malformed request is an offence if no browser writes such a
    /// head.
    fn parse(
        &self,
        head: request::Parts,
        context: RequestContext,
    ) -> Result<UpgradeRequest, Refusal> {
        let parsed = self.head.judge().and_then(|target| UpgradeRequest::parse(target, head));
        let parsed = parsed.map_err(|refusal| match refusal.reason {
            Reason::HandshakeMalformed if self.head.is_forged() => {
                refusal.as_offence(Offence::head(context))
            }
            _ => refusal,
        });
        self.head.release();
        parsed
    }

    /// Admits the client's address, if it was not admitted at accept. Each further request of a connection is
    /// admitted like a new connection, so that a ban or a rate reaches it.
    fn enter<'a>(
        &self,
        checks: &mut Checks<'_>,
        address: &'a mut Option<AddressAdmission>,
    ) -> Result<&'a AddressAdmission, Refusal> {
        // Released first: it counts against the limit of the address.
        let at_accept = address.take().filter(|_| self.number == 1);
        let admitted = match at_accept {
            Some(admitted) => admitted,
            None => checks.admit_address(&self.connection.exchanges.state)?,
        };
        Ok(address.insert(admitted))
    }

    /// Counts the session for its user, if the token of the head names one.
    fn enter_user(
        &mut self,
        checks: &mut Checks<'_>,
        admission: &Admission,
    ) -> Result<Option<UserPermit>, Refusal> {
        let Principal::Identified(identity) = admission.principal() else {
            return Ok(None);
        };
        self.subject.user = Some(identity.user().to_owned());
        let UserAdmission { permit, let_through } =
            checks.admit_user(identity, &self.connection.exchanges.state)?;
        for refusal in &let_through {
            self.connection.exchanges.reporter.let_through(&self.subject, refusal);
        }
        Ok(Some(permit))
    }
}

/// Whether the connection may stay open after the refusal: plain HTTP is not served, and load balancers probe
/// with it.
fn keeps_connection(refusal: &Refusal) -> bool {
    matches!(refusal.reason, Reason::UpgradeRequired | Reason::Method)
}
